"""Tests damaged, truncated and non-video files: good frames are read, and the error names the file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from footage.stream.files.decode import read_frames
from footage.stream.files.probe import probe_file
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Media
from footage.stream.source import identify_media
from tests import films

FAST = {"movflags": "faststart"}


def film(path: Path) -> Path:
    return films.encode(path, films.numbered(250), options=FAST if path.suffix == ".mp4" else None)


def run(media: Media, every: float = 1) -> tuple[list[tuple[float, int]], MediaError | None]:
    got: list[tuple[float, int]] = []
    try:
        got.extend((frame.offset, films.number(frame.image)) for frame in read_frames(media, every, 128))
    except MediaError as error:
        return got, error
    return got, None


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("part", [0.3, 0.9])
@pytest.mark.parametrize("every", [0, 1, 2])
def test_a_truncated_file_gives_its_first_frames_then_an_error(
    tmp_path: Path, suffix: str, part: float, every: float
) -> None:
    path = films.truncate(film(tmp_path / f"cut{suffix}"), part)
    got, error = run(identify_media(path, "door")[0], every)
    assert error is not None
    assert "damaged after" in str(error)
    assert str(path) in str(error)
    assert error.readable_until is not None
    assert error.readable_until < 9.5
    assert got
    assert got[-1][0] >= error.readable_until - max(every, 0.6)
    assert all(abs(offset - n / 25) < 0.002 for offset, n in got[:-1])  # the last picture may be torn itself


def test_a_truncated_transport_stream_is_a_shorter_video(tmp_path: Path) -> None:
    path = films.truncate(film(tmp_path / "cut.ts"), 0.5)
    found = identify_media(path, "door")[0]
    got, error = run(found)
    assert error is None
    assert found.duration == pytest.approx(len(got), abs=1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
@pytest.mark.parametrize("every", [0.2, 1, 2])
def test_damaged_frames_in_the_middle_are_skipped(
    tmp_path: Path, suffix: str, every: float, caplog: pytest.LogCaptureFixture
) -> None:
    path = films.corrupt(film(tmp_path / f"noise{suffix}"), 0.5, 0.6)
    with caplog.at_level(logging.WARNING):
        got, error = run(identify_media(path, "door")[0], every)
    assert error is None
    assert got[0] == (0.0, 0)
    assert got[-1][1] >= 200
    wrong = [offset for offset, n in got if abs(offset - n / 25) > 0.002]
    assert all(4 <= offset < 8 for offset in wrong)  # a group of pictures that lost one shows older ones
    if suffix == ".mp4":  # elsewhere the packets themselves are gone
        assert f"{path}: " in caplog.text
        assert "damaged frames were skipped" in caplog.text


def test_noise_after_the_first_frames_is_reported_as_damage(tmp_path: Path) -> None:
    path = films.corrupt(film(tmp_path / "noise.mp4"), 0.5, 1.0)
    got, error = run(identify_media(path, "door")[0])
    assert error is not None
    assert "damaged after" in error.reason
    assert 2 <= len(got) <= 8


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "empty"),
        ("notes.mp4", b"hello " * 999, "not a video"),
        ("notes.jpg", b"hello " * 999, "photograph"),
    ],
)
def test_a_file_that_is_no_video_is_reported(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=words) as caught:
        identify_media(path, "door")
    assert str(path) in str(caught.value)
    assert caught.value.path == path


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.mp4.*check that it is there"):
        probe_file(tmp_path / "gone.mp4")


def test_a_bare_stream_without_times_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"bare\.h264.*without times"):
        probe_file(films.encode(tmp_path / "bare.h264", films.numbered(30)))


def test_a_file_with_audio_only_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"sound\.m4a.*only sound"):
        probe_file(films.sound_only(tmp_path / "sound.m4a"))


def test_an_mp4_without_its_index_is_reported(tmp_path: Path) -> None:
    path = films.truncate(films.encode(tmp_path / "cut.mp4", films.numbered(50)), 0.9)
    with pytest.raises(MediaError, match=r"cut\.mp4.*cut short"):
        probe_file(path)


def test_time_stamps_and_lengths_that_cannot_be_are_not_believed(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov"}
    content = bytearray(films.encode(tmp_path / "a.mp4", films.numbered(200), options=options).read_bytes())
    last = content.rindex(b"tfdt") + 8
    content[last : last + 8] = (1 << 60).to_bytes(8, "big")  # the time of the last fragment
    length = content.index(b"mvhd") + 20
    content[length : length + 4] = b"\xff\xff\xff\xfe"
    path = tmp_path / "b.mp4"
    path.write_bytes(content)
    media, _ = identify_media(path, "door")
    assert media.duration == pytest.approx(6, abs=0.1)
    got, _ = run(media)
    assert [n for _, n in got] == list(range(0, 150, 25))


@pytest.mark.parametrize("field", [44, 28])  # of the matrix in a track's header: the scale of width and of height
def test_pixels_of_a_shape_that_no_camera_has_are_taken_as_square(tmp_path: Path, field: int) -> None:
    path = films.encode(tmp_path / "a.mp4", films.numbered(10))
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") - 4
    end = header + int.from_bytes(content[header : header + 4], "big")
    content[end - field : end - field + 4] = (1 << 8).to_bytes(4, "big")  # a 256th
    path.write_bytes(content)
    frame = next(iter(read_frames(identify_media(path, "door")[0], 0, 64)))
    assert frame.image.shape == (64, 96, 3)


def test_a_first_time_stamp_that_cannot_be_costs_the_first_picture_alone(tmp_path: Path) -> None:
    epoch = 1_777_888_800.0
    times = [0.0, *(epoch + i / 10 for i in range(1, 60))]
    path = films.encode(tmp_path / "a.mkv", films.numbered(60), times=times, fps=10, gop=1, bframes=0)
    got, _ = run(identify_media(path, "door")[0], 0)
    assert [n for _, n in got] == list(range(1, 60))
    assert [offset for offset, _ in got] == pytest.approx([i / 10 for i in range(59)], abs=0.002)


@pytest.mark.parametrize("suffix", [".mp4", ".ts"])
def test_a_file_that_is_moved_while_it_is_read_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    media, _ = identify_media(film(tmp_path / f"a{suffix}"), "door")
    frames = read_frames(media, 1, 64)
    got = [films.number(next(frames).image)]
    Path(media.path).rename(tmp_path / "elsewhere")
    got.extend(films.number(frame.image) for frame in frames)
    assert got == list(range(0, 250, 25))
