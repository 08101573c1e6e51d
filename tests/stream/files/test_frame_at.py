"""Tests reading the exact frame at an offset, and photographs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from footage.stream.files.decode import read_frames
from footage.stream.files.frame_at import encode_jpeg, read_image_at
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Kind, Media
from footage.stream.source import identify_media
from tests import films
from tests.stream.conftest import COUNT, MAKERS


@pytest.mark.parametrize("name", MAKERS)
def test_the_image_of_a_record_is_its_own_frame(film: Callable[[str], Media], name: str) -> None:
    found = film(name)
    for frame in [*read_frames(found, 1.7, 128)]:
        assert films.number(read_image_at(Path(found.path), found.kind, round(frame.offset, 6), 128)) == films.number(
            frame.image
        )


def test_frames_just_after_a_keyframe_are_exact(film: Callable[[str], Media]) -> None:
    """Matroska does not store decoding times there."""
    found = film("mkv-longer-sound")
    for frame in list(read_frames(found, 0.0, 128))[40:64]:
        assert films.number(read_image_at(Path(found.path), found.kind, frame.offset)) == films.number(frame.image)


def test_between_two_frames_the_earlier_one_is_shown(uneven: Media) -> None:
    times = films.uneven(COUNT)
    for n in (3, 57, 130, 200):
        middle = (times[n] + times[n + 1]) / 2
        assert films.number(read_image_at(Path(uneven.path), uneven.kind, middle)) == n


def test_after_the_end_the_last_frame_is_shown(film: Callable[[str], Media]) -> None:
    assert films.number(read_image_at(Path(film("mp4").path), Kind.VIDEO, 99)) == COUNT - 1


def test_only_the_group_around_it_is_decoded(film: Callable[[str], Media], monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[object] = []
    original = VideoFile.decode
    monkeypatch.setattr(
        VideoFile, "decode", lambda self, packet, needed=True: (fed.append(1), original(self, packet, needed))[1]
    )
    assert read_image_at(Path(film("mp4").path), Kind.VIDEO, 8.1).shape == (128, 192, 3)
    assert len(fed) < 12


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        read_image_at(tmp_path / "gone.mp4", Kind.VIDEO, 1)


def test_jpeg_keeps_colors() -> None:
    image = films.photograph("astronaut")
    back = np.asarray(Image.open(io.BytesIO(encode_jpeg(image))))
    assert np.abs(back.astype(int) - image).mean() < 4


@pytest.mark.parametrize(("orientation", "corner"), [(1, (0, 0)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_photograph_is_decoded_upright_and_scaled(
    tmp_path: Path, orientation: int, corner: tuple[int, int], suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(next(films.numbered(1, (1200, 800)))).save(path, exif=exif)
    found, probe = identify_media(path, "door")
    (frame,) = read_frames(found, 1, 100)
    tall = orientation > 4
    assert frame.image.shape == ((150, 100, 3) if tall else (100, 150, 3))
    assert (probe.width, probe.height) == ((800, 1200) if tall else (1200, 800))
    assert frame.image[corner] == pytest.approx([255, 0, 0], abs=12)
    assert (frame.offset, frame.time) == (0.0, found.start)
    assert read_image_at(path, Kind.PHOTO, 0).shape[0] == probe.height


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1"])
def test_photographs_of_every_mode_are_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (40, 30), (255, 255, 255)).convert(mode).save(path)
    image = read_image_at(path, Kind.PHOTO, 0, 999)
    assert (image.shape, image.dtype) == ((30, 40, 3), np.uint8)
    assert image.min() > 250


def test_a_truncated_photograph_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(films.photograph("coffee")).save(path)
    films.truncate(path, 0.5)
    found, _ = identify_media(path, "door")
    frames = read_frames(found, 1, 100)
    half = next(frames).image  # its upper half is there
    assert half[: len(half) // 3].std() > 20
    with pytest.raises(MediaError, match=r"a\.jpg: is damaged"):
        next(frames)
