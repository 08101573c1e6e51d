"""Tests that frames read by offset in one pass equal those of reading the whole file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from footage.stream.files import frames_at as module
from footage.stream.files.decode import read_frames
from footage.stream.files.frames_at import read_images_at
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Media
from tests import films
from tests.stream.conftest import COUNT, MAKERS


def found(path: Path | str, offsets: Sequence[float]) -> list[tuple[float, int]]:
    """Offset and drawn number of each frame."""
    return sorted((offset, films.number(image)) for offset, image in read_images_at(Path(path), offsets, 64))


@pytest.mark.parametrize("name", MAKERS)
def test_frames_of_any_video_are_found_at_their_offsets(film: Callable[[str], Media], name: str) -> None:
    media = film(name)
    all_of_it = [frame.offset for frame in read_frames(media, 0, 64)]
    chosen = np.random.default_rng(3).choice(COUNT, 60, replace=False).tolist()
    assert found(media.path, [all_of_it[n] for n in chosen]) == sorted((all_of_it[n], n) for n in chosen)
    late = [all_of_it[n] for n in (COUNT - 3, COUNT - 1)]
    assert [n for _, n in found(media.path, late)] == [COUNT - 3, COUNT - 1]


def test_a_variable_rate_and_an_offset_without_a_frame(uneven: Media) -> None:
    times = films.uneven(COUNT)
    chosen = list(range(0, COUNT, 7))
    between = times[11] + 0.0025
    got = found(uneven.path, [between, *(times[n] for n in chosen)])
    assert got == [(times[n], n) for n in chosen]
    assert found(uneven.path, []) == []


def test_no_more_is_decoded_than_the_wanted_frames_need(
    film: Callable[[str], Media], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    class Counting(VideoFile):
        def decode(self, packet, needed=True):
            given.append(packet)
            return super().decode(packet, needed)

    monkeypatch.setattr(module, "VideoFile", Counting)
    keyframes = [2.0 * n for n in range(5)]
    assert [n for _, n in found(film("mp4").path, keyframes)] == [50 * n for n in range(5)]
    assert sum(packet is not None for packet in given) == 5


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        found(tmp_path / "gone.mp4", [0.0])
