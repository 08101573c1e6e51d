"""Tests that verification tolerates re-encoding and detects any other change, however small."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from footage.query.clips.clip import Clip, cut_clip
from footage.query.clips.verify import MAX_DIFFERENCE, image_difference, verify_clip
from footage.query.export.manifest import ceil_milliseconds, file_stem
from footage.stream.files.frame_at import encode_jpeg, read_image_at
from footage.stream.frame import Clock, Image, Kind, Media
from tests import films
from tests.query.clips.numbered_videos import START

ENCODED = {
    "a change of scene": (["coffee"] * 20 + ["cat"] * 20, {}),
    "high definition's matrix": (["coffee"] * 20 + ["cat"] * 20, {"bt709": True}),
    "HEVC": (["coffee"] * 20 + ["cat"] * 20, {"codec": "libx265"}),
    "MPEG-4": (["coffee"] * 20 + ["cat"] * 20, {"codec": "mpeg4", "bframes": 0}),
}


def clip(media: Media, out: Path, start: float, end: float, precise: bool) -> Clip:
    return cut_clip([media], START + timedelta(seconds=start), START + timedelta(seconds=end), out, precise=precise)


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("name", ENCODED)
def test_the_frame_is_found_and_another_scene_is_not(name: str, precise: bool, tmp_path: Path) -> None:
    shots, how = ENCODED[name]
    path = tmp_path / ("video.avi" if name == "MPEG-4" else "video.mp4")
    films.encode(path, (films.photograph(shot) for shot in shots), fps=10, gop=10, **how)
    media = Media("0" * 16, "yard", str(path), Kind.VIDEO, START, Clock.GIVEN, 4.0)
    made = clip(media, tmp_path / "clip.mp4", 1.5, 3.0, precise)
    for offset in (1.9, 2.0):
        best = read_image_at(path, Kind.VIDEO, offset)
        at = ceil_milliseconds(made.offset(START + timedelta(seconds=offset)))
        result = verify_clip(made.path, at, best)
        assert result.found, result
        assert result.difference is not None
        assert result.difference <= MAX_DIFFERENCE / 2
        step = -100 if offset == 2.0 else 100  # the next frame, across the change of scene
        assert not verify_clip(made.path, at + step, best).found
    other = clip(media, tmp_path / "other.mp4", 0.0, 1.2, precise)
    assert not verify_clip(other.path, 300, read_image_at(path, Kind.VIDEO, 2.5)).found


def test_a_file_that_is_no_clip_fails(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"not a clip")
    for path in (tmp_path / "clip.mp4", tmp_path / "none.mp4"):
        result = verify_clip(path, 0, films.photograph("cat"))
        assert (result.found, result.difference) == (False, None)


@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
def test_a_missing_small_person_is_detected_and_jpeg_is_tolerated(size: tuple[int, int]) -> None:
    scene = films.photograph("coffee", size)
    with_someone = scene.copy()
    width, height = size
    with_someone[height // 2 : height // 2 + height // 16, width // 3 : width // 3 + width // 50] = 0
    assert image_difference(scene, with_someone) > MAX_DIFFERENCE
    again: Image = np.asarray(Pillow.open(io.BytesIO(encode_jpeg(scene, 60))).convert("RGB"))
    assert image_difference(scene, again) < MAX_DIFFERENCE / 2
    half: Image = np.asarray(Pillow.fromarray(scene).resize((width // 2, height // 2), Pillow.Resampling.BOX))
    assert image_difference(scene, half) < MAX_DIFFERENCE


@given(
    st.text(min_size=1, max_size=64),
    st.datetimes(timezones=st.just(START.tzinfo)),
    st.integers(1, 2000),
    st.data(),
)
def test_file_names_are_valid_everywhere_and_sorted(camera: str, start, of: int, data: st.DataObject) -> None:  # type: ignore[no-untyped-def]
    a, b = sorted(data.draw(st.lists(st.integers(1, of), min_size=2, max_size=2)))
    names = [file_stem(number, of, camera, start) for number in (a, b)]
    assert names == sorted(names)
    assert (names[0] == names[1]) == (a == b)
    for name in names:
        whole = f"{name}.mp4"
        assert len(whole.encode()) <= 200
        assert not set(whole) & set('<>:"/\\|?*\n\r\0 ')
        assert whole.isprintable()
        assert name[:3].isdecimal()  # so it is no device's name (CON, NUL) and does not begin with a dot
        assert name.endswith("Z")


@given(st.integers(0, 10**7), st.sampled_from([24, 25, 30, 60, 120]))
def test_milliseconds_point_into_their_frame(frame: int, rate: int) -> None:
    at = ceil_milliseconds(frame / rate) / 1000
    assert frame / rate - 1e-5 <= at < (frame + 1) / rate
