"""Tests that source names are parsed, and files identified as media."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.stream.camera_name import CAMERA_NAME, camera_name
from footage.stream.frame import Clock, Kind
from footage.stream.source import SourceError, check_camera_name, identify_media, parse_source
from tests import films


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Empty files: parsing does not open them."""
    root = tmp_path / "Front door"
    for name in ("clip 10.mp4", "clip 9.MP4", "notes.txt", ".hidden.mp4", "2024/b.jpg", ".trash/c.mp4", "2024/._b.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_a_file_is_a_source(folder: Path) -> None:
    source = parse_source(str(folder / "clip 9.MP4"))
    assert (source.name, source.live, source.paths) == ("clip-9", False, (folder / "clip 9.MP4",))
    assert parse_source(f"file://{folder}/clip%209.MP4").paths == source.paths


def test_a_file_with_a_pattern_in_its_name_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "clip[1].mp4").touch()
    assert parse_source(str(tmp_path / "clip[1].mp4")).paths == (tmp_path / "clip[1].mp4",)


def test_a_folder_is_walked_in_natural_order_without_hidden_files(folder: Path) -> None:
    source = parse_source(str(folder))
    assert source.name == "Front-door"
    assert [str(p.relative_to(folder)) for p in source.paths] == ["2024/b.jpg", "clip 9.MP4", "clip 10.mp4"]


def test_a_hidden_folder_may_be_named(folder: Path) -> None:
    assert [p.name for p in parse_source(str(folder / ".trash")).paths] == ["c.mp4"]


def test_the_current_folder_has_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert parse_source(".").name == "Front-door"
    assert parse_source("*.mp4").paths == (folder / "clip 10.mp4",)
    assert parse_source("**/*.jpg").name == "2024"


def test_a_glob_takes_the_name_of_the_folder_of_its_matches(folder: Path) -> None:
    assert [p.name for p in parse_source(f"{folder}/clip*").paths] == ["clip 9.MP4", "clip 10.mp4"]
    assert parse_source(f"{folder}/clip*").name == "Front-door"
    assert [p.name for p in parse_source(f"{folder.parent}/**/*.jpg").paths] == ["b.jpg"]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("rtsp://user:secret@cam1.local:554/stream?x=1", "cam1.local"),
        ("http://10.0.0.7/video", "10.0.0.7"),
        ("RTMP://host/app", "host"),
        ("0", "webcam-0"),
        ("/dev/video2", "video2"),
    ],
)
def test_a_url_or_webcam_is_a_live_source(spec: str, name: str) -> None:
    source = parse_source(spec)
    assert (source.spec, source.name, source.live, source.paths) == (spec, name, True, ())
    assert "secret" not in repr(source)


@pytest.mark.parametrize("spec", ["gone.mp4", "gone/*.mp4", "ftp://host/a.mp4", "", "a\0b"])
def test_a_missing_source_is_reported(spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError):
        parse_source(spec)


def test_a_folder_without_media_is_reported(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(SourceError, match="no video or photograph"):
        parse_source(str(tmp_path))


@given(st.text())
def test_every_text_gives_a_valid_camera_name(text: str) -> None:
    name = camera_name(text)
    assert check_camera_name(name) == name
    assert CAMERA_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "a b", "a~b", "a/b", "..", "x" * 65, "a\n"])
def test_a_bad_camera_name_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match="cannot name a camera"):
        check_camera_name(name)


def test_letters_of_every_script_name_a_camera() -> None:
    assert check_camera_name("Tür_2-süd.1") == "Tür_2-süd.1"
    assert camera_name("門口 カメラ") == "門口-カメラ"


def test_identity_follows_camera_and_content_not_the_name(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "a.mp4", films.numbered(30))
    first, probe = identify_media(path, "door")
    assert (first.kind, first.path, first.duration) == (Kind.VIDEO, str(path), pytest.approx(1.2))
    assert (probe.width, probe.height, probe.fps) == (192, 128, 25)
    moved = path.rename(tmp_path / "b.mp4")
    assert identify_media(moved, "door")[0].id == first.id
    assert identify_media(moved, "yard")[0].id != first.id
    films.encode(moved, films.numbered(31))
    assert identify_media(moved, "door")[0].id != first.id
    assert len(first.id) == 16


def test_a_huge_file_is_identified_by_a_few_blocks(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "huge.mp4", films.numbered(30))
    before = identify_media(path, "door")[0].id
    os.truncate(path, 100_000_000_000)  # a sparse file: reading it all would take minutes
    assert identify_media(path, "door")[0].id != before


def test_a_given_start_is_kept(tmp_path: Path) -> None:
    start = datetime(2024, 5, 1, 12, tzinfo=UTC)
    found, _ = identify_media(films.encode(tmp_path / "a.mp4", films.numbered(5)), "door", start)
    assert (found.start, found.clock) == (start, Clock.GIVEN)
