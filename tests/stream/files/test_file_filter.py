"""Tests which files of a folder are indexed, whatever they are called."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image as Pillow

from footage.stream.files.unreadable import MediaError
from footage.stream.source import SourceError, identify_media, parse_source
from tests import films

ODD = Path(__file__).parents[2] / "files" / "odd"


def names(folder: Path, *exclude: str) -> list[str]:
    return [str(path.relative_to(folder)) for path in parse_source(str(folder), exclude).paths]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "a_thumb.jpg", "b.mp4", "old/c.jpg", "2024/may/d.jpg", "2024/e.jpg"):
        (path := tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_what_storage_keeps_for_itself_is_passed_over(tmp_path: Path) -> None:
    shutil.copytree(ODD / "nas", tmp_path / "nas")
    for name in ("System Volume Information", "#Recycle", ".@__thumb", "lost+found"):
        (tmp_path / "nas" / name).mkdir()
        shutil.copy(ODD / "nas" / "a.png", tmp_path / "nas" / name / "b.png")
    assert names(tmp_path / "nas") == ["a.png"]
    assert names(tmp_path / "nas" / "#recycle") == ["old.jpg"]  # where that is what is asked for


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([], ["2024/e.jpg", "2024/may/d.jpg", "a.jpg", "a_thumb.jpg", "b.mp4", "old/c.jpg"]),
        (["*_thumb.jpg"], ["2024/e.jpg", "2024/may/d.jpg", "a.jpg", "b.mp4", "old/c.jpg"]),
        (["old", "2024/"], ["a.jpg", "a_thumb.jpg", "b.mp4"]),
        (["2024/*.jpg", "*.mp4"], ["a.jpg", "a_thumb.jpg", "old/c.jpg"]),  # * matches / too
    ],
)
def test_patterns_leave_out_files_and_folders(folder: Path, exclude: list[str], left: list[str]) -> None:
    assert names(folder, *exclude) == left
    (folder / ".footageignore").write_text("# what is left out\n\n" + "\n".join(exclude), encoding="utf-8")
    assert names(folder) == left


def test_photographs_that_are_not_read_are_counted(folder: Path) -> None:
    for name in ("x.heic", "y.CR2", ".hidden.heic"):
        (folder / name).write_bytes(b"x")
    assert [path.name for path in parse_source(str(folder)).not_read] == ["x.heic", "y.CR2"]
    only = folder / "phone"
    only.mkdir()
    (only / "x.heic").write_bytes(b"x")
    with pytest.raises(SourceError, match=r"1 of \.heic: save them as JPEG"):
        parse_source(str(only))


def test_names_that_no_index_can_hold_are_refused_one_by_one(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Pillow.fromarray(films.photograph("cat")).save(tmp_path / "a.jpg")
    shutil.copy(tmp_path / "a.jpg", raw)
    paths = parse_source(str(tmp_path)).paths
    assert len(paths) == 2
    odd = next(path for path in paths if path.name != "a.jpg")
    with pytest.raises(MediaError, match=r"caf\\xe9\.jpg: its name is not valid text .* rename it") as caught:
        identify_media(odd, "yard")
    str(caught.value).encode()  # it can be printed


def test_links_to_themselves_and_folders_named_as_films_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "a.mp4").write_bytes(b"x")
    assert names(tmp_path) == ["a.mp4"]
