"""Tests clips cut from real videos, by the frame numbers drawn in their images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import av
import pytest

from footage.query.clips.clip import Clip, cut_clip, plan_spans
from footage.query.clips.source import ClipError
from footage.stream.frame import Clock, Kind, Media
from tests.query.clips.numbered_videos import (
    HEIGHT,
    RATE,
    START,
    WIDTH,
    Recipe,
    make_video,
    read_numbered_frames,
    read_numbers,
    read_pitches,
    rotate_video,
    tone_frequency,
)

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
OPEN_GOP = {"x264-params": "open-gop=1:b-adapt=0"}

COPIED = {
    "mp4": ("video.mp4", Recipe(audio="aac")),
    "no B-frames": ("video.mp4", Recipe(bframes=0)),
    "late origin, Matroska": ("video.mkv", Recipe(origin=50.0, audio="aac")),
    "late origin, transport stream": ("video.ts", Recipe(origin=50.0, audio="aac")),
    "fragments": ("video.mp4", Recipe(origin=10.0, audio="aac", container=FRAGMENTS)),
    "open groups": ("video.ts", Recipe(gop=15, options=OPEN_GOP)),
    "open groups, Matroska": ("video.mkv", Recipe(gop=15, options=OPEN_GOP)),
    "HEVC": ("video.mp4", Recipe(codec="libx265", audio="aac")),
    "PCM": ("video.mkv", Recipe(audio="pcm_s16le")),
}
ENCODED = {
    "MS MPEG-4": ("video.avi", Recipe(codec="msmpeg4", bframes=0)),
    "MPEG-4 with B-frames": ("video.avi", Recipe(codec="mpeg4", bframes=2)),
    "Motion JPEG of odd size": ("video.avi", Recipe(codec="mjpeg", size=(WIDTH + 3, HEIGHT + 1))),
}

IO = Path("/proc/self/io")


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def cut(media: Media | Sequence[Media], out: Path, start: float, end: float, *, precise: bool = False) -> Clip:
    one = [media] if isinstance(media, Media) else media
    return cut_clip(one, START + at(start), START + at(end), out / "clip.mp4", precise=precise)


def seconds(clip: Clip) -> tuple[float, float]:
    return (clip.start - START).total_seconds(), (clip.end - START).total_seconds()


def probe_clip(path: Path) -> tuple[float, float, str, str]:
    """Returns the time of the first frame and the duration of the video (s), then codec and tag."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        length = float(video.duration * video.time_base)
        first = min(packet.pts for packet in container.demux(video) if packet.size and packet.pts is not None)
        return float(first * video.time_base), length, context.name, context.codec_tag


def assert_in_sync(clip: Clip) -> None:
    """Asserts that each second's tone is within 50 ms of that second, in all of the clip."""
    pitch, (start, end) = read_pitches(clip.path), seconds(clip)
    for second in range(int(start) + 1, int(end - 0.1) + 1):
        assert pitch(second - 0.05 - start) == pytest.approx(tone_frequency(second - 1), abs=75)
        assert pitch(second + 0.05 - start) == pytest.approx(tone_frequency(second), abs=75)


@pytest.mark.parametrize("name", COPIED)
def test_a_copy_starts_at_the_keyframe_and_contains_the_request(name: str, tmp_path: Path) -> None:
    file, recipe = COPIED[name]
    clip = cut(make_video(tmp_path / file, recipe), tmp_path, 3.71, 7.31)
    first, last = round(seconds(clip)[0] * RATE), round(seconds(clip)[1] * RATE) - 1
    assert not clip.precise
    assert first == 111 // recipe.gop * recipe.gop
    assert 219 <= last <= 219 + recipe.bframes
    assert read_numbers(clip.path) == list(range(first, last + 1))
    assert clip.lead == pytest.approx(3.71 - first / RATE, abs=0.002)
    begin, end, *_ = probe_clip(clip.path)
    assert begin == 0
    assert end == pytest.approx(seconds(clip)[1] - seconds(clip)[0], abs=0.002)
    assert clip.audio == bool(recipe.audio)
    assert clip.gaps == ()
    if clip.audio:
        assert_in_sync(clip)


@pytest.mark.parametrize("name", [*COPIED, *ENCODED])
def test_a_precise_clip_contains_exactly_the_displayed_frames(name: str, tmp_path: Path) -> None:
    file, recipe = {**COPIED, **ENCODED}[name]
    clip = cut(make_video(tmp_path / file, recipe), tmp_path, 3.71, 7.31, precise=True)
    assert clip.precise
    assert read_numbers(clip.path) == list(range(111, 220))
    assert seconds(clip) == (3.71, 7.31)
    assert clip.lead == 0
    begin, end, *_ = probe_clip(clip.path)
    assert (begin, end) == (0, pytest.approx(3.6, abs=0.001))
    if clip.audio:
        assert_in_sync(clip)
        with av.open(str(clip.path)) as container:
            heard = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
        assert heard == pytest.approx(3.6, abs=0.03)


@pytest.mark.parametrize("name", ENCODED)
def test_codecs_that_browsers_do_not_play_are_re_encoded(name: str, tmp_path: Path) -> None:
    file, recipe = ENCODED[name]
    clip = cut(make_video(tmp_path / file, recipe), tmp_path, 3.7, 7.3)
    assert clip.precise
    assert read_numbers(clip.path) == list(range(111, 219))
    assert probe_clip(clip.path)[2] == "h264"


def test_a_clip_is_streamable_and_has_apples_hevc_tag(tmp_path: Path) -> None:
    clip = cut(make_video(tmp_path / "video.mp4", Recipe(codec="libx265")), tmp_path, 3, 5)
    data = clip.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert probe_clip(clip.path)[3] == "hvc1"


def test_a_clip_has_its_creation_time(tmp_path: Path) -> None:
    clip = cut(make_video(tmp_path / "video.mp4"), tmp_path, 3, 5)
    with av.open(str(clip.path)) as container:
        assert container.metadata["creation_time"].startswith("2026-05-04T12:00:02")


@pytest.mark.parametrize("precise", [False, True])
def test_a_rotated_video_gives_an_upright_clip(precise: bool, tmp_path: Path) -> None:
    clip = cut(rotate_video(make_video(tmp_path / "video.mp4")), tmp_path, 4, 6, precise=precise)
    assert set(range(120, 180)) <= set(read_numbers(clip.path))
    with av.open(str(clip.path)) as container:
        frame = next(container.decode(video=0))
    turned = frame.rotation in (-90, 90)
    assert (frame.width, frame.height, turned) == ((HEIGHT, WIDTH, False) if precise else (WIDTH, HEIGHT, True))


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    times = [0.0]
    for step in [1, 1, 2, 5] * 90:
        times.append(times[-1] + step / 50)
    media = make_video(tmp_path / "video.mp4", Recipe(times=times))
    for precise in (False, True):
        clip = cut(media, tmp_path, 3.7, 7.33, precise=precise)
        begin, end = seconds(clip)
        shown = read_numbered_frames(clip.path)
        assert [n for _, n in shown] == list(range(shown[0][1], shown[-1][1] + 1))
        for time, number in shown:
            assert time == pytest.approx(max(times[number], begin) - begin, abs=0.001)
        assert end == pytest.approx(7.33 if precise else times[shown[-1][1] + 1], abs=0.001)
        with av.open(str(clip.path)) as container:
            assert container.duration / 1e6 == pytest.approx(end - begin, abs=0.002)
    assert shown[0][1] == max(n for n, t in enumerate(times) if t <= 3.7)
    assert shown[-1][1] == max(n for n, t in enumerate(times) if t < 7.33)


def make_segments(folder: Path, recipe: Recipe, *starts: float) -> list[Media]:
    """Makes segments of four seconds, whose frames and audio count from the start of the recording."""
    made = []
    for start in starts:
        times = [i / RATE for i in range(4 * RATE)]
        one = replace(recipe, times=times, first=round(start * RATE), first_second=start)
        made.append(make_video(folder / f"{start}.mp4", one, kind=Kind.SEGMENT, start=START + at(start)))
    return made


@pytest.mark.parametrize("name", COPIED)
def test_a_copy_that_ends_just_after_a_keyframe_is_complete(name: str, tmp_path: Path) -> None:
    """There Matroska does not store the decoding order of the frames."""
    file, recipe = COPIED[name]
    clip = cut(make_video(tmp_path / file, recipe), tmp_path, 2.5, 4.05)
    assert set(range(75, 122)) <= set(read_numbers(clip.path))


@pytest.mark.parametrize("precise", [False, True])
def test_segments_are_joined(precise: bool, tmp_path: Path) -> None:
    parts = make_segments(tmp_path, Recipe(audio="aac", container=FRAGMENTS), 8, 0, 4)
    clip = cut(parts, tmp_path, 2.5, 9.5, precise=precise)
    assert clip.precise == precise
    assert clip.gaps == ()
    first, last = (75, 284) if precise else (60, 285)
    shown = read_numbered_frames(clip.path)
    assert [number for _, number in shown][: last - first + 1] == list(range(first, last + 1))
    for time, number in shown:
        assert time == pytest.approx((number - first) / RATE, abs=0.001)
    assert_in_sync(clip)


def test_gaps_between_segments_are_reported(tmp_path: Path) -> None:
    parts = make_segments(tmp_path, Recipe(audio="aac"), 0, 7)
    clip = cut(parts, tmp_path, 2, 13, precise=True)
    assert read_numbers(clip.path) == [*range(60, 120), *range(210, 330)]
    gaps = [tuple((t - START).total_seconds() for t in gap) for gap in clip.gaps]
    assert gaps == [pytest.approx((4, 7)), pytest.approx((11, 13))]
    assert probe_clip(clip.path)[1] == pytest.approx(6, abs=0.01)


def test_a_segment_that_has_expired_is_a_gap(tmp_path: Path) -> None:
    parts = make_segments(tmp_path, Recipe(), 0, 4)
    Path(parts[0].path).unlink()
    clip = cut(parts, tmp_path, 2, 6)
    assert read_numbers(clip.path)[0] == 120
    assert clip.gaps == ((START + at(2), START + at(4)),)


def test_segments_of_different_sizes_are_re_encoded(tmp_path: Path) -> None:
    first = make_segments(tmp_path, Recipe(audio="aac"), 0)
    second = make_segments(tmp_path, Recipe(size=(2 * WIDTH, HEIGHT)), 4)
    clip = cut([*first, *second], tmp_path, 3, 5)
    assert clip.precise
    with av.open(str(clip.path)) as container:
        assert len(list(container.decode(video=0))) == 60


def test_overlapping_media_show_nothing_twice(tmp_path: Path) -> None:
    clip = cut(make_segments(tmp_path, Recipe(bframes=0), 0, 3), tmp_path, 2, 5)
    assert read_numbers(clip.path) in ([*range(60, 90), *range(90, 151)], [*range(60, 91), *range(90, 151)])


def test_an_empty_span_lasts_one_frame(tmp_path: Path) -> None:
    media = make_video(tmp_path / "video.mp4", Recipe(audio="aac"))
    clip = cut(media, tmp_path, 4.35, 4.35, precise=True)
    assert read_numbers(clip.path) == [130, 131]
    assert seconds(clip) == pytest.approx((4.35, 4.35 + 1 / RATE), abs=0.001)
    assert 130 in read_numbers(cut(media, tmp_path, 4.35, 4.35).path)


def test_a_request_past_both_ends_gives_all_footage(tmp_path: Path) -> None:
    media = make_video(tmp_path / "video.mp4")
    for precise in (False, True):
        clip = cut(media, tmp_path, -2, 14, precise=precise)
        assert read_numbers(clip.path) == list(range(360))
        assert seconds(clip) == pytest.approx((0, 12))
        assert len(clip.gaps) == 2


@pytest.mark.skipif(not IO.exists(), reason="counts bytes in /proc/self/io, which only Linux has")
@pytest.mark.parametrize("precise", [False, True])
def test_only_what_is_needed_is_read(precise: bool, tmp_path: Path) -> None:
    recipe = Recipe(
        times=[i / RATE for i in range(120 * RATE)], options={"crf": "1"}, container={"movflags": "faststart"}
    )
    media = make_video(tmp_path / "video.mp4", recipe)
    before = _bytes_read()
    clip = cut(media, tmp_path, 115, 119, precise=precise)
    assert _bytes_read() - before < Path(media.path).stat().st_size / 3
    assert set(range(115 * RATE, 119 * RATE)) <= set(read_numbers(clip.path))


def _bytes_read() -> int:
    return int(IO.read_text().split()[1])


def test_errors_say_why_there_is_no_clip(tmp_path: Path) -> None:
    media = make_video(tmp_path / "video.mp4")
    photo = replace(media, kind=Kind.PHOTO, duration=0.0)
    with pytest.raises(ClipError, match="photograph"):
        cut(photo, tmp_path, -1, 1)
    with pytest.raises(ClipError, match="not recorded"):
        cut(replace(media, kind=Kind.FEED), tmp_path, 1, 2)
    with pytest.raises(ClipError, match="no footage between"):
        cut(media, tmp_path, 20, 30)
    with pytest.raises(ClipError, match=r"gone\.mp4.*expired or moved"):
        cut(replace(media, path=str(tmp_path / "gone.mp4")), tmp_path, 1, 2)
    with pytest.raises(ClipError, match=r"video\.mp4 ends before"):
        cut(replace(media, duration=60.0), tmp_path, 30, 40)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(media.path).read_bytes()[:5000])
    with pytest.raises(ClipError, match=r"broken\.mp4"):
        cut(replace(media, path=str(broken)), tmp_path, 1, 2)
    assert not list(tmp_path.glob("*clip*"))


def test_spans_are_planned_in_order_without_overlap() -> None:
    def media(start: float, length: float) -> Media:
        return Media("0" * 16, "yard", f"/{start}.mp4", Kind.SEGMENT, START + at(start), Clock.ARRIVAL, length)

    spans = plan_spans(
        [media(20, 10), media(0, 10), media(9.5, 10.5), media(12, 2), media(40, 5)], START + at(4), START + at(25)
    )
    assert [(c.media.path, c.start, c.end) for c in spans] == [
        ("/0.mp4", 4, 9.5),
        ("/9.5.mp4", 0, 10.5),
        ("/20.mp4", 0, 5),
    ]
