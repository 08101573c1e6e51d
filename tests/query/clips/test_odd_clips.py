"""Tests clips of unusual files: all frames, rising times, and the picture that was asked for from the first frame."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from footage.query.clips import remux, transcode
from footage.query.clips.clip import Clip, cut_clip
from footage.query.clips.source import ClipError
from footage.query.clips.verify import verify_clip
from footage.stream.files.frame_at import read_image_at
from footage.stream.frame import Kind
from footage.stream.source import identify_media
from tests import films

ODD = Path(__file__).parents[2] / "files" / "odd"


def cut(path: Path, out: Path, start: float, end: float, *, precise: bool = False) -> tuple[Clip, list[float]]:
    """A clip, and the times of the frames that a player shows; the clip's frames are those of the file."""
    media, _ = identify_media(path, "yard")
    at = [media.start + timedelta(seconds=s) for s in (start, (start + end) / 2, end - 0.35, end)]
    clip = cut_clip([media], at[0], at[-1], out / "clip.mp4", precise=precise)
    with av.open(str(clip.path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0) if frame.pts is not None]
    for time in at[:-1]:
        best = read_image_at(path, Kind.VIDEO, (time - media.start).total_seconds())
        assert verify_clip(clip.path, round(clip.offset(time) * 1000), best).found, time - media.start
    return clip, times


WHOLE = ["gdr.mp4", "bavi.avi", "wma.asf", "ps_h265.mpg", "restart.ts", "joined_back.ts", "hdr.mp4", "matrix_hflip.mp4"]


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("name", [*WHOLE, "thumb_first.mov", "two_cameras.mp4", "piped.avi"])
def test_a_clip_has_all_its_frames(tmp_path: Path, name: str, precise: bool) -> None:
    clip, times = cut(ODD / name, tmp_path, 2, 5, precise=precise)
    assert all(a < b for a, b in pairwise(times))
    assert len(times) == pytest.approx(10 * (clip.end - clip.start).total_seconds(), abs=0.01)
    assert (len(times) == 30) if clip.precise else (len(times) >= 30)
    assert times[0] == 0
    if precise:
        _, times = cut(ODD / name, tmp_path, 0, 6, precise=True)
        assert len(times) == 60


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize("name", ["restart.ts", "joined_back.ts"])
def test_a_clip_goes_on_across_a_joint(tmp_path: Path, name: str, precise: bool) -> None:
    clip, times = cut(ODD / name, tmp_path, 7, 10, precise=precise)
    assert not clip.gaps
    assert max(b - a for a, b in pairwise(times)) == pytest.approx(0.1, abs=0.001)


@pytest.mark.parametrize(("start", "end"), [(3, 5), (5, 7)])
def test_a_clip_goes_on_across_a_joint_in_matroska(tmp_path: Path, start: int, end: int) -> None:
    """FFmpeg knows no decoding times behind it, so it is not copied."""
    whole = films.encode(tmp_path / "a.mkv", films.numbered(100)).read_bytes()
    (path := tmp_path / "joined.mkv").write_bytes(2 * whole)
    clip, times = cut(path, tmp_path, start, end)
    assert (clip.precise, len(times), clip.gaps) == (True, 50, ())


def test_a_clip_across_a_change_of_size_is_encoded_again(tmp_path: Path) -> None:
    for i, size in enumerate([(192, 128), (384, 256)]):
        films.encode(tmp_path / f"{i}.ts", films.numbered(100, size), start=50 - 20 * i)
    (path := tmp_path / "joined.ts").write_bytes(b"".join((tmp_path / f"{i}.ts").read_bytes() for i in range(2)))
    media, _ = identify_media(path, "yard")
    for start, end in ((3, 5), (5, 7)):  # across the joint, and after it: the file's own header is of the first size
        clip = cut_clip(
            [media],
            media.start + timedelta(seconds=start),
            media.start + timedelta(seconds=end),
            tmp_path / "clip.mp4",
        )
        assert clip.precise
        with av.open(str(clip.path)) as container:
            shown = [films.number(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
        assert shown == [n % 100 for n in range(25 * start, 25 * end)]


@pytest.mark.parametrize(
    ("name", "pixels"),
    [("h264_yuv422p.mp4", None), ("10.mp4", "yuv420p10le"), ("444.mp4", "yuv444p")],
)
def test_what_browsers_do_not_play_is_encoded_again(tmp_path: Path, name: str, pixels: str | None) -> None:
    path = ODD / name
    if pixels:
        path = films.encode(tmp_path / name, films.numbered(100), pixels=pixels)
    clip, _ = cut(path, tmp_path, 1, 3)
    with av.open(str(clip.path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_a_copy_with_a_long_lead_is_cut_precisely_and_says_so(tmp_path: Path) -> None:
    clip, times = cut(ODD / "long_gop.mp4", tmp_path, 95, 98)
    assert (clip.precise, len(times), (clip.end - clip.start).total_seconds()) == (True, 15, 3.0)
    assert "95 s too early" in "; ".join(clip.notes)
    near, _ = cut(ODD / "long_gop.mp4", tmp_path, 5, 8)
    assert (near.precise, near.notes) == (False, ())


def test_sound_of_an_unknown_codec_is_left_out_and_told(tmp_path: Path) -> None:
    clip, _ = cut(ODD / "unknown_sound.mp4", tmp_path, 2, 5)
    assert not clip.audio
    assert "without sound" in "; ".join(clip.notes)


def test_a_mirrored_clip_is_shown_as_its_matrix_says(tmp_path: Path) -> None:
    clip, _ = cut(ODD / "matrix_hflip.mp4", tmp_path, 2, 5, precise=True)
    with av.open(str(clip.path)) as cut_file, av.open(str(ODD / "matrix_hflip.mp4")) as source:
        shown = next(cut_file.decode(video=0)).to_ndarray(format="rgb24")
        stored = list(source.decode(video=0))[20].to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - stored[:, ::-1]).mean() < 6
    assert np.abs(shown.astype(int) - stored).mean() > 20


@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_high_range_is_mapped_to_normal_range(tmp_path: Path, transfer: str) -> None:
    """Gray steps from black to white: white of a normal picture (203 cd/m2) is bright, and black stays black."""
    path = films.gray_steps(tmp_path / "hdr.mp4", transfer)
    picture = read_image_at(path, Kind.VIDEO, 0.2)
    clip, _ = cut(path, tmp_path, 0, 1, precise=True)
    with av.open(str(clip.path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.pix_fmt, context.color_primaries, context.color_trc) == ("yuv420p", 1, 1)
        frame = next(container.decode(video=0)).to_ndarray(format="rgb24")
    for image in (picture, frame):
        steps = cv2.resize(image, (5, 1), interpolation=cv2.INTER_AREA)[0].astype(int)
        assert np.abs(steps - steps.mean(axis=1, keepdims=True)).max() < 6  # gray stays gray
        levels = steps.mean(axis=1)
        assert levels[0] < 12
        assert all(b - a > 12 for a, b in pairwise(levels))
        assert 175 < levels[3] <= 245  # white of a normal picture
        assert levels[4] > 245  # the brightest


def test_colors_of_full_range_keep_their_contrast(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "camera.avi", films.numbered(30), codec="mjpeg", bframes=0)
    cut(path, tmp_path, 0, 1, precise=True)
    source, shown = read_image_at(path, Kind.VIDEO, 0.2), read_image_at(tmp_path / "clip.mp4", Kind.VIDEO, 0.2)
    assert np.abs(source.astype(int) - shown).mean() < 2


def test_a_clip_of_what_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media, _ = identify_media(ODD / "bavi.avi", "yard")
    for module in (remux, transcode):  # as where a part of the file is damaged
        monkeypatch.setattr(module, {remux: "copy_video", transcode: "encode_video"}[module], lambda *_: iter(()))
    with pytest.raises(ClipError, match="nothing there can be read"):
        cut_clip([media], media.start, media.end, tmp_path / "clip.mp4")
    assert list(tmp_path.iterdir()) == []
