"""Clips cut from real films: which frames are in them is read from the pictures themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import av
import pytest

from footage.query.clips.clip import Clip, ClipError, cut, plan
from footage.stream.frame import Clock, Kind, Media
from tests.query.clips.clipfilms import (
    HEIGHT,
    RATE,
    START,
    WIDTH,
    Recipe,
    film,
    hertz,
    numbered,
    numbers,
    rotated,
    tones,
)

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
OPEN_GOP = {"x264-params": "open-gop=1:b-adapt=0"}

COPIED = {
    "mp4": ("film.mp4", Recipe(audio="aac")),
    "no B-frames": ("film.mp4", Recipe(bframes=0)),
    "late origin, Matroska": ("film.mkv", Recipe(origin=50.0, audio="aac")),
    "late origin, transport stream": ("film.ts", Recipe(origin=50.0, audio="aac")),
    "fragments": ("film.mp4", Recipe(origin=10.0, audio="aac", container=FRAGMENTS)),
    "open groups": ("film.ts", Recipe(gop=15, options=OPEN_GOP)),
    "open groups, Matroska": ("film.mkv", Recipe(gop=15, options=OPEN_GOP)),
    "HEVC": ("film.mp4", Recipe(codec="libx265", audio="aac")),
    "PCM": ("film.mkv", Recipe(audio="pcm_s16le")),
}
ENCODED = {
    "MS MPEG-4": ("film.avi", Recipe(codec="msmpeg4", bframes=0)),
    "MPEG-4 with B-frames": ("film.avi", Recipe(codec="mpeg4", bframes=2)),
    "Motion JPEG of odd size": ("film.avi", Recipe(codec="mjpeg", size=(WIDTH + 3, HEIGHT + 1))),
}

IO = Path("/proc/self/io")


def at(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def make(media: Media | Sequence[Media], out: Path, start: float, end: float, *, precise: bool = False) -> Clip:
    one = [media] if isinstance(media, Media) else media
    return cut(one, START + at(start), START + at(end), out / "clip.mp4", precise=precise)


def seconds(clip: Clip) -> tuple[float, float]:
    return (clip.start - START).total_seconds(), (clip.end - START).total_seconds()


def facts(path: Path) -> tuple[float, float, str, str]:
    """Time of the first picture in a file and how long the pictures last (s), then codec and tag."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        context = video.codec_context
        length = float(video.duration * video.time_base)
        first = min(packet.pts for packet in container.demux(video) if packet.size and packet.pts is not None)
        return float(first * video.time_base), length, context.name, context.codec_tag


def in_step(clip: Clip) -> None:
    """Each second's tone is heard within 50 ms of its own second, in all of the clip."""
    pitch, (start, end) = tones(clip.path), seconds(clip)
    for second in range(int(start) + 1, int(end - 0.1) + 1):
        assert pitch(second - 0.05 - start) == pytest.approx(hertz(second - 1), abs=75)
        assert pitch(second + 0.05 - start) == pytest.approx(hertz(second), abs=75)


@pytest.mark.parametrize("name", COPIED)
def test_a_copy_begins_at_the_keyframe_and_holds_all_that_was_asked_for(name: str, tmp_path: Path) -> None:
    file, recipe = COPIED[name]
    clip = make(film(tmp_path / file, recipe), tmp_path, 3.71, 7.31)
    first, last = round(seconds(clip)[0] * RATE), round(seconds(clip)[1] * RATE) - 1
    assert not clip.precise
    assert first == 111 // recipe.gop * recipe.gop
    assert 219 <= last <= 219 + recipe.bframes
    assert numbers(clip.path) == list(range(first, last + 1))
    assert clip.lead == pytest.approx(3.71 - first / RATE, abs=0.002)
    begin, end, *_ = facts(clip.path)
    assert begin == 0
    assert end == pytest.approx(seconds(clip)[1] - seconds(clip)[0], abs=0.002)
    assert clip.audio == bool(recipe.audio)
    assert clip.gaps == ()
    if clip.audio:
        in_step(clip)


@pytest.mark.parametrize("name", [*COPIED, *ENCODED])
def test_a_precise_clip_holds_exactly_the_frames_on_show(name: str, tmp_path: Path) -> None:
    file, recipe = {**COPIED, **ENCODED}[name]
    clip = make(film(tmp_path / file, recipe), tmp_path, 3.71, 7.31, precise=True)
    assert clip.precise
    assert numbers(clip.path) == list(range(111, 220))
    assert seconds(clip) == (3.71, 7.31)
    assert clip.lead == 0
    begin, end, *_ = facts(clip.path)
    assert (begin, end) == (0, pytest.approx(3.6, abs=0.001))
    if clip.audio:
        in_step(clip)
        with av.open(str(clip.path)) as container:
            heard = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
        assert heard == pytest.approx(3.6, abs=0.03)


@pytest.mark.parametrize("name", ENCODED)
def test_what_browsers_do_not_play_is_encoded_anew(name: str, tmp_path: Path) -> None:
    file, recipe = ENCODED[name]
    clip = make(film(tmp_path / file, recipe), tmp_path, 3.7, 7.3)
    assert clip.precise
    assert numbers(clip.path) == list(range(111, 219))
    assert facts(clip.path)[2] == "h264"


def test_a_clip_can_be_streamed_and_is_known_to_apple(tmp_path: Path) -> None:
    clip = make(film(tmp_path / "film.mp4", Recipe(codec="libx265")), tmp_path, 3, 5)
    data = clip.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert facts(clip.path)[3] == "hvc1"


def test_a_clip_knows_when_it_was_filmed(tmp_path: Path) -> None:
    clip = make(film(tmp_path / "film.mp4"), tmp_path, 3, 5)
    with av.open(str(clip.path)) as container:
        assert container.metadata["creation_time"].startswith("2026-05-04T12:00:02")


@pytest.mark.parametrize("precise", [False, True])
def test_a_turned_film_gives_an_upright_clip(precise: bool, tmp_path: Path) -> None:
    clip = make(rotated(film(tmp_path / "film.mp4")), tmp_path, 4, 6, precise=precise)
    assert set(range(120, 180)) <= set(numbers(clip.path))
    with av.open(str(clip.path)) as container:
        frame = next(container.decode(video=0))
    turned = frame.rotation in (-90, 90)
    assert (frame.width, frame.height, turned) == ((HEIGHT, WIDTH, False) if precise else (WIDTH, HEIGHT, True))


def test_a_variable_rate_is_kept(tmp_path: Path) -> None:
    times = [0.0]
    for step in [1, 1, 2, 5] * 90:
        times.append(times[-1] + step / 50)
    media = film(tmp_path / "film.mp4", Recipe(times=times))
    for precise in (False, True):
        clip = make(media, tmp_path, 3.7, 7.33, precise=precise)
        begin, end = seconds(clip)
        shown = numbered(clip.path)
        assert [n for _, n in shown] == list(range(shown[0][1], shown[-1][1] + 1))
        for time, number in shown:
            assert time == pytest.approx(max(times[number], begin) - begin, abs=0.001)
        assert end == pytest.approx(7.33 if precise else times[shown[-1][1] + 1], abs=0.001)
        with av.open(str(clip.path)) as container:
            assert container.duration / 1e6 == pytest.approx(end - begin, abs=0.002)
    assert shown[0][1] == max(n for n, t in enumerate(times) if t <= 3.7)
    assert shown[-1][1] == max(n for n, t in enumerate(times) if t < 7.33)


def segments(folder: Path, recipe: Recipe, *starts: float) -> list[Media]:
    """Segments of four seconds, whose frames are numbered and timed by when they were filmed."""
    made = []
    for start in starts:
        times = [i / RATE for i in range(4 * RATE)]
        one = replace(recipe, times=times, first=round(start * RATE), heard=start)
        made.append(film(folder / f"{start}.mp4", one, kind=Kind.SEGMENT, start=START + at(start)))
    return made


@pytest.mark.parametrize("name", COPIED)
def test_a_copy_that_ends_just_after_a_keyframe_is_whole(name: str, tmp_path: Path) -> None:
    """There Matroska does not tell in which order frames are decoded."""
    file, recipe = COPIED[name]
    clip = make(film(tmp_path / file, recipe), tmp_path, 2.5, 4.05)
    assert set(range(75, 122)) <= set(numbers(clip.path))


@pytest.mark.parametrize("precise", [False, True])
def test_segments_are_joined(precise: bool, tmp_path: Path) -> None:
    parts = segments(tmp_path, Recipe(audio="aac", container=FRAGMENTS), 8, 0, 4)
    clip = make(parts, tmp_path, 2.5, 9.5, precise=precise)
    assert clip.precise == precise
    assert clip.gaps == ()
    first, last = (75, 284) if precise else (60, 285)
    shown = numbered(clip.path)
    assert [number for _, number in shown][: last - first + 1] == list(range(first, last + 1))
    for time, number in shown:
        assert time == pytest.approx((number - first) / RATE, abs=0.001)
    in_step(clip)


def test_holes_between_segments_are_told(tmp_path: Path) -> None:
    parts = segments(tmp_path, Recipe(audio="aac"), 0, 7)
    clip = make(parts, tmp_path, 2, 13, precise=True)
    assert numbers(clip.path) == [*range(60, 120), *range(210, 330)]
    holes = [tuple((t - START).total_seconds() for t in gap) for gap in clip.gaps]
    assert holes == [pytest.approx((4, 7)), pytest.approx((11, 13))]
    assert facts(clip.path)[1] == pytest.approx(6, abs=0.01)


def test_a_segment_that_has_expired_is_a_gap(tmp_path: Path) -> None:
    parts = segments(tmp_path, Recipe(), 0, 4)
    Path(parts[0].path).unlink()
    clip = make(parts, tmp_path, 2, 6)
    assert numbers(clip.path)[0] == 120
    assert clip.gaps == ((START + at(2), START + at(4)),)


def test_segments_of_another_size_are_encoded_anew(tmp_path: Path) -> None:
    first = segments(tmp_path, Recipe(audio="aac"), 0)
    second = segments(tmp_path, Recipe(size=(2 * WIDTH, HEIGHT)), 4)
    clip = make([*first, *second], tmp_path, 3, 5)
    assert clip.precise
    with av.open(str(clip.path)) as container:
        assert len(list(container.decode(video=0))) == 60


def test_overlapping_media_show_nothing_twice(tmp_path: Path) -> None:
    clip = make(segments(tmp_path, Recipe(bframes=0), 0, 3), tmp_path, 2, 5)
    assert numbers(clip.path) in ([*range(60, 90), *range(90, 151)], [*range(60, 91), *range(90, 151)])


def test_an_instant_lasts_as_long_as_a_frame(tmp_path: Path) -> None:
    media = film(tmp_path / "film.mp4", Recipe(audio="aac"))
    clip = make(media, tmp_path, 4.35, 4.35, precise=True)
    assert numbers(clip.path) == [130, 131]
    assert seconds(clip) == pytest.approx((4.35, 4.35 + 1 / RATE), abs=0.001)
    assert 130 in numbers(make(media, tmp_path, 4.35, 4.35).path)


def test_a_request_past_both_ends_gives_what_there_is(tmp_path: Path) -> None:
    media = film(tmp_path / "film.mp4")
    for precise in (False, True):
        clip = make(media, tmp_path, -2, 14, precise=precise)
        assert numbers(clip.path) == list(range(360))
        assert seconds(clip) == pytest.approx((0, 12))
        assert len(clip.gaps) == 2


@pytest.mark.skipif(not IO.exists(), reason="counts bytes in /proc/self/io, which only Linux has")
@pytest.mark.parametrize("precise", [False, True])
def test_only_what_is_needed_is_read(precise: bool, tmp_path: Path) -> None:
    recipe = Recipe(
        times=[i / RATE for i in range(120 * RATE)], options={"crf": "1"}, container={"movflags": "faststart"}
    )
    media = film(tmp_path / "film.mp4", recipe)
    before = _bytes_read()
    clip = make(media, tmp_path, 115, 119, precise=precise)
    assert _bytes_read() - before < Path(media.path).stat().st_size / 3
    assert set(range(115 * RATE, 119 * RATE)) <= set(numbers(clip.path))


def _bytes_read() -> int:
    return int(IO.read_text().split()[1])


def test_what_has_no_clip_says_why(tmp_path: Path) -> None:
    media = film(tmp_path / "film.mp4")
    photo = replace(media, kind=Kind.PHOTO, duration=0.0)
    with pytest.raises(ClipError, match="photograph"):
        make(photo, tmp_path, -1, 1)
    with pytest.raises(ClipError, match="not recorded"):
        make(replace(media, kind=Kind.FEED), tmp_path, 1, 2)
    with pytest.raises(ClipError, match="no footage between"):
        make(media, tmp_path, 20, 30)
    with pytest.raises(ClipError, match=r"gone\.mp4.*expired or moved"):
        make(replace(media, path=str(tmp_path / "gone.mp4")), tmp_path, 1, 2)
    with pytest.raises(ClipError, match=r"film\.mp4 ends before"):
        make(replace(media, duration=60.0), tmp_path, 30, 40)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(Path(media.path).read_bytes()[:5000])
    with pytest.raises(ClipError, match=r"broken\.mp4"):
        make(replace(media, path=str(broken)), tmp_path, 1, 2)
    assert not list(tmp_path.glob("clip.mp4*"))


def test_a_plan_takes_what_overlaps_in_order() -> None:
    def media(start: float, length: float) -> Media:
        return Media("0" * 16, "yard", f"/{start}.mp4", Kind.SEGMENT, START + at(start), Clock.ARRIVAL, length)

    cuts = plan(
        [media(20, 10), media(0, 10), media(9.5, 10.5), media(12, 2), media(40, 5)], START + at(4), START + at(25)
    )
    assert [(c.media.path, c.start, c.end) for c in cuts] == [
        ("/0.mp4", 4, 9.5),
        ("/9.5.mp4", 0, 10.5),
        ("/20.mp4", 0, 5),
    ]
