"""Tests that frames are decoded at the right times, upright and in true colors, from every kind of file."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from footage.stream.files import decode
from footage.stream.files.decode import read_frames
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Media
from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.source import identify_media
from tests import films
from tests.stream.conftest import COUNT, MAKERS

TIMES = [i / 25 for i in range(COUNT)]


def seen(media: Media, every: float, after: float | None = None) -> list[tuple[float, int]]:
    """Offset and drawn number of each frame."""
    return [(f.offset, films.number(f.image)) for f in read_frames(media, every, 128, after)]


@cache
def seen_from_the_start(film: Callable[[str], Media], name: str, every: float) -> list[tuple[float, int]]:
    """The same for a video of ``MAKERS``, read once."""
    return seen(film(name), every)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("every", [1.0, 0.3])
def test_the_grid_picks_the_first_frame_at_or_after_each_multiple(
    film: Callable[[str], Media], name: str, every: float
) -> None:
    got = seen(film(name), every)
    assert [n for _, n in got] == films.expected(TIMES, every)
    assert [o for o, _ in got] == pytest.approx([TIMES[n] for _, n in got], abs=0.0011)


@pytest.mark.parametrize("name", MAKERS)
def test_every_frame_comes_once_and_in_order(film: Callable[[str], Media], name: str) -> None:
    assert [n for _, n in seen(film(name), 0)] == list(range(COUNT))


@pytest.mark.parametrize("every", [0, 0.1, 1.0, 2.5])
def test_times_of_a_variable_frame_rate_are_exact(uneven: Media, every: float) -> None:
    times = films.uneven(COUNT)
    got = seen(uneven, every)
    assert [n for _, n in got] == (films.expected(times, every) if every else list(range(COUNT)))
    assert [o for o, _ in got] == pytest.approx([times[n] for _, n in got], abs=1e-4)


def test_only_keyframes_are_decoded_where_they_suffice(film: Callable[[str], Media]) -> None:
    assert [n for _, n in seen(film("mp4"), 2)] == [0, 50, 100, 150, 200]
    assert [n for _, n in seen(film("mp4"), 3)] == [0, 100, 150]


def test_a_wide_gap_between_keyframes_is_decoded(film: Callable[[str], Media]) -> None:
    got = [n for _, n in seen(film("mp4-uneven-keyframes"), 2)]
    assert got == [0, 50, 100, 150, 200]


def test_gradually_refreshed_frames_are_waited_for(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "refresh.mp4", films.numbered(COUNT), bframes=0, x264="intra-refresh=1:keyint=50")
    offsets = [o for o, _ in seen(identify_media(path, "door")[0], 2)]
    assert len(offsets) >= 5
    assert max(np.diff(offsets)) < 4


def count_decoded(monkeypatch: pytest.MonkeyPatch, media: Media, every: float) -> int:
    opened: list[VideoFile] = []

    class Counted(VideoFile):
        def __init__(self, path: Path | str, decoder: Decoder = SOFTWARE) -> None:
            super().__init__(path, decoder)
            opened.append(self)

    monkeypatch.setattr(decode, "VideoFile", Counted)
    list(read_frames(media, every, 64))
    return sum(f.decoded_frames for f in opened)


def test_no_more_is_decoded_than_sampled_frames_need(
    monkeypatch: pytest.MonkeyPatch, film: Callable[[str], Media]
) -> None:
    assert count_decoded(monkeypatch, film("mp4"), 0) == COUNT
    assert count_decoded(monkeypatch, film("mp4"), 2) == 5
    assert count_decoded(monkeypatch, film("mp4"), 4) == 3
    assert count_decoded(monkeypatch, film("avi-mjpeg"), 1) == 10
    between = count_decoded(monkeypatch, film("mp4"), 1)  # half of each group, without what nothing refers to
    assert between < COUNT * 0.4


@pytest.mark.parametrize(("gop", "alone"), [(25, True), (27, True), (29, False)])
def test_keyframes_a_tenth_further_apart_than_the_samples_suffice(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gop: int, alone: bool
) -> None:
    """At 25 frames a second the last frame of a group is 0.96, 1.04 or 1.12 s after its keyframe."""
    media = identify_media(films.encode(tmp_path / "film.mp4", films.numbered(COUNT), gop=gop), "door")[0]
    keyframes = len(range(0, COUNT, gop))
    assert (count_decoded(monkeypatch, media, 1.0) == keyframes) is alone
    if not alone:
        assert [n for _, n in seen(media, 1.0)] == films.expected(TIMES, 1.0)


@pytest.mark.parametrize("name", ["mp4", "ts-late-start", "mp4-open-gop", "mp4-uneven-keyframes", "mkv-longer-sound"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.sampled_from([0, 0.04, 0.1, 0.25, 0.3, 1, 1.001, 2, 2.7]), after=st.floats(0, 11))
@example(every=0, after=3.92)  # the next frame is displayed before a keyframe, and follows it in the file
@example(every=0.04, after=3.9375)
def test_a_resumed_run_continues_as_an_uninterrupted_one(
    film: Callable[[str], Media], name: str, every: float, after: float
) -> None:
    whole = seen_from_the_start(film, name, every)
    assert seen(film(name), every, after) == [s for s in whole if s[0] > after + decode.OFFSET_ROUNDING]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(every=st.floats(0.01, 9), place=st.integers(0, 10_000))
def test_resuming_at_a_stored_time(uneven: Media, every: float, place: int) -> None:
    whole = list(read_frames(uneven, every, 32))
    place %= len(whole)
    after = (whole[place].time - uneven.start).total_seconds()
    assert [f.offset for f in read_frames(uneven, every, 32, after)] == [f.offset for f in whole[place + 1 :]]


def test_resuming_does_not_decode_from_the_start(monkeypatch: pytest.MonkeyPatch, film: Callable[[str], Media]) -> None:
    fed: list[int] = []
    original = VideoFile.decode

    def spy(self: VideoFile, packet: object, needed: bool = True) -> list[object]:
        fed.append(1)
        return original(self, packet, needed)  # type: ignore[arg-type, return-value]

    monkeypatch.setattr(VideoFile, "decode", spy)
    assert [n for _, n in seen(film("mp4"), 0, after=9.5)] == list(range(238, COUNT))
    assert len(fed) <= 52


@pytest.mark.parametrize(("degrees", "red", "green"), [(90, "NE", "SE"), (180, "SE", "SW"), (270, "SW", "NW")])
def test_a_rotated_video_is_decoded_upright(tmp_path: Path, degrees: int, red: str, green: str) -> None:
    path = films.turn(films.encode(tmp_path / "turned.mp4", films.numbered(10)), degrees)
    found, probe = identify_media(path, "door")
    image = next(iter(read_frames(found, 1, 64))).image
    corners = {"NW": image[4, 4], "NE": image[4, -5], "SW": image[-5, 4], "SE": image[-5, -5]}
    assert corners[red] == pytest.approx([255, 0, 0], abs=24)
    assert corners[green] == pytest.approx([0, 255, 0], abs=24)
    assert min(image.shape[:2]) == 64
    assert (probe.width < probe.height) == (image.shape[1] < image.shape[0]) == (degrees != 180)


@pytest.mark.parametrize("bt709", [False, True])
def test_colors_are_correct(tmp_path: Path, bt709: bool) -> None:
    path = films.encode(tmp_path / "colors.mp4", films.numbered(5), bt709=bt709)
    image = next(iter(read_frames(identify_media(path, "door")[0], 1, 128))).image
    assert image[10, 10] == pytest.approx([255, 0, 0], abs=6)
    assert image[10, -10] == pytest.approx([0, 255, 0], abs=6)
    assert image[20, 96] == pytest.approx([96, 96, 96], abs=4)


def test_the_shorter_side_is_scaled_and_nothing_is_enlarged(film: Callable[[str], Media]) -> None:
    assert next(iter(read_frames(film("mp4"), 1, 64))).image.shape == (64, 96, 3)
    assert next(iter(read_frames(film("mp4"), 1, 999))).image.shape == (128, 192, 3)


def test_closing_early_releases_the_file(monkeypatch: pytest.MonkeyPatch, film: Callable[[str], Media]) -> None:
    closed: list[str] = []
    original = VideoFile.close
    monkeypatch.setattr(VideoFile, "close", lambda self: (closed.append(str(self.path)), original(self)))
    frames = read_frames(film("mp4"), 0, 64)
    next(frames)
    frames.close()  # type: ignore[attr-defined]
    assert closed == [film("mp4").path]
