"""Checks the properties that the frames of every source have."""

from __future__ import annotations

from datetime import UTC
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from footage.stream.files.decode import read_frames
from footage.stream.frame import Frame
from footage.stream.source import check_camera_name, identify_media, parse_source
from tests import films

SIDE = 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sources")
    for name in ("photos", "films", "mixed"):
        (root / name).mkdir()
    films.encode(root / "films" / "a.mp4", films.numbered(60))
    films.encode(root / "films" / "b.mkv", films.numbered(60), times=films.uneven(60))
    films.turn(films.encode(root / "mixed" / "turned.mp4", films.numbered(60)), 90)
    for where, name in (("photos", "cat"), ("photos", "coffee"), ("mixed", "rocket")):
        Image.fromarray(films.photograph(name)).save(root / where / f"{name}.jpg")
    return root


@pytest.fixture(params=["films/a.mp4", "films", "films/*.m*", "photos", "photos/*.jpg", "mixed", "**/*.*"])
def frames(request: pytest.FixtureRequest, folder: Path) -> list[list[Frame]]:
    """The frames of each file of a source."""
    source = parse_source(str(folder / request.param))
    check_camera_name(source.name)
    assert source.paths
    return [list(read_frames(identify_media(path, source.name)[0], 0.5, SIDE)) for path in source.paths]


def test_each_file_starts_at_its_first_frame(frames: list[list[Frame]]) -> None:
    for one in frames:
        assert one[0].offset == 0
        assert one[0].time == one[0].media.start


def test_times_are_utc_rise_and_agree_with_offsets(frames: list[list[Frame]]) -> None:
    for one in frames:
        assert all(f.time.tzinfo is UTC and f.time == f.media.at(f.offset) for f in one)
        assert all(a.offset < b.offset for a, b in pairwise(one))
        assert one[-1].offset <= one[0].media.duration


def test_images_have_the_requested_size(frames: list[list[Frame]]) -> None:
    for one in frames:
        for frame in one:
            assert frame.image.dtype == np.uint8
            assert frame.image.flags.c_contiguous
            assert min(frame.image.shape[:2]) == SIDE
            assert frame.image.shape[2] == 3


def test_reading_can_resume_anywhere(frames: list[list[Frame]]) -> None:
    for one in frames:
        for i, frame in enumerate(one):
            rest = list(read_frames(frame.media, 0.5, SIDE, after=frame.offset))
            assert [f.time for f in rest] == [f.time for f in one[i + 1 :]]
            assert all(np.array_equal(a.image, b.image) for a, b in zip(rest, one[i + 1 :], strict=True))


def test_media_are_identified_again(frames: list[list[Frame]]) -> None:
    for one in frames:
        again, _ = identify_media(Path(one[0].media.path), one[0].camera)
        assert again == one[0].media
        assert Path(again.path).is_absolute()
