"""Tests files of unusual kinds: which frames are read, what is told, and what counts as looked at."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from footage.stream.files.decode import ReadReport, read_frames
from footage.stream.files.frame_at import read_image_at
from footage.stream.files.frames_at import read_images_at
from footage.stream.frame import Kind, Media
from footage.stream.source import identify_media
from tests import films

ODD = Path(__file__).parents[2] / "files" / "odd"
OPEN = "open-gop=1:b-pyramid=normal:b-adapt=0"
WRAP = 2**33 / 90_000  # seconds after which MPEG's clock starts again


def read(media: Media, every: float) -> tuple[list[float], ReadReport]:
    report = ReadReport()
    return [round(frame.offset, 3) for frame in read_frames(media, every, 64, report=report)], report


def numbers(media: Media, every: float = 0) -> list[tuple[float, int]]:
    return [(round(f.offset, 3), films.number(f.image)) for f in read_frames(media, every, 128)]


SAMPLED = {  # seconds between samples, how many there are, and what is told
    "gdr.mp4": (1, 8, ""),
    "bavi.avi": (1, 8, ""),
    "wma.asf": (1, 8, ""),
    "ps_h265.mpg": (1, 8, ""),
    "lapse.mp4": (10, 80, ""),
    "restart.ts": (1, 16, "clock starts again at 8.0 s"),
    "joined_back.ts": (1, 16, "clock starts again at 8.0 s"),
    "piped.avi": (1, 8, ""),
    "hdr.mp4": (1, 8, ""),
    "matrix_hflip.mp4": (1, 8, ""),
    "thumb_first.mov": (1, 8, ""),
    "two_cameras.mp4": (1, 8, "another video track"),
    "unknown_sound.mp4": (1, 8, "codec that is unknown"),
}


@pytest.mark.parametrize("name", SAMPLED)
def test_every_second_is_looked_at(name: str) -> None:
    every, count, told = SAMPLED[name]
    media, _ = identify_media(ODD / name, "yard")
    offsets, report = read(media, every)
    assert offsets == pytest.approx([i * every for i in range(count)], abs=0.01)
    assert media.duration == pytest.approx(count * every, abs=0.1)
    assert report.gaps == []
    assert told in "; ".join(report.notes)
    assert bool(told) == bool(report.notes)


@pytest.mark.parametrize("name", ["gdr.mp4", "bavi.avi", "wma.asf", "ps_h265.mpg", "restart.ts", "joined_back.ts"])
def test_a_frame_is_the_same_whether_all_or_only_it_is_decoded(name: str) -> None:
    media, _ = identify_media(ODD / name, "yard")
    every = {round(f.offset, 3): f.image for f in read_frames(media, 0, 144)}
    assert len(every) == round(10 * media.duration)
    for offset in list(every)[3::13]:
        alone = read_image_at(ODD / name, Kind.VIDEO, offset, 144)
        assert np.abs(alone.astype(int) - every[offset]).max() == 0, offset
    some = dict(read_images_at(ODD / name, list(every)[5::17], 144))
    assert [o for o, image in some.items() if np.abs(image.astype(int) - every[round(o, 3)]).max() > 0] == []
    assert len(some) == len(list(every)[5::17])


@pytest.mark.parametrize("cores", [1, 4])
def test_every_picture_of_a_film_that_refreshes_bit_by_bit_is_found(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """The header counts reference frames until all is whole, and FFmpeg's threads lose what is skipped in between."""
    monkeypatch.setattr("footage.stream.files.video_file.available_processors", lambda: cores)
    media, _ = identify_media(ODD / "gdr.mp4", "yard")
    for frame in read_frames(media, 0, 144):
        alone = read_image_at(ODD / "gdr.mp4", Kind.VIDEO, frame.offset, 144)
        assert np.abs(alone.astype(int) - frame.image).max() == 0, frame.offset


def test_a_thumbnail_is_not_the_film() -> None:
    media, probe = identify_media(ODD / "thumb_first.mov", "yard")
    assert (probe.width, probe.height, media.duration) == (192, 144, 8.0)


WITHOUT_TIMES: dict[str, Callable[[Path], Path]] = {
    "avi": lambda d: films.encode(d / "a.avi", films.numbered(250), gop=50),
    "avi, no B-frames": lambda d: films.encode(d / "a.avi", films.numbered(250), bframes=0),
    "avi, open groups": lambda d: films.encode(d / "a.avi", films.numbered(250), x264=OPEN, gop=30),
    "avi, one keyframe": lambda d: films.encode(d / "a.avi", films.numbered(250), gop=10_000),
    "avi, intra refresh": lambda d: films.encode(
        d / "a.avi", films.numbered(250), x264="intra-refresh=1", gop=25, bframes=0
    ),
    "asf": lambda d: films.encode(d / "a.asf", films.numbered(250)),
    "asf, open groups": lambda d: films.encode(d / "a.asf", films.numbered(250), x264=OPEN, gop=30),
    "program stream": lambda d: films.encode(d / "a.mpg", films.numbered(250)),
    "program stream, HEVC": lambda d: films.encode(d / "a.vob", films.numbered(250), codec="libx265"),
}


@pytest.mark.parametrize("name", WITHOUT_TIMES)
def test_frames_have_their_times_where_the_container_has_none(tmp_path: Path, name: str) -> None:
    media, _ = identify_media(WITHOUT_TIMES[name](tmp_path), "yard")
    got = numbers(media)
    assert [n for _, n in got] == list(range(250))
    assert max(abs(offset - n / 25) for offset, n in got) < 0.002
    for number in (7, 60, 61, 149, 244):
        assert films.number(read_image_at(Path(media.path), Kind.VIDEO, number / 25)) == number
    report = ReadReport()
    resumed = [films.number(f.image) for f in read_frames(media, 1, 128, 4.0, report)]
    assert resumed == [125, 150, 175, 200, 225]


def part(path: Path, start: float, count: int = 100, **more: object) -> bytes:
    images = films.numbered(count, **({"size": more.pop("size")} if "size" in more else {}))  # type: ignore[arg-type]
    return films.encode(path, images, start=start, **more).read_bytes()  # type: ignore[arg-type]


FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
RELATIVE = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
JOINED: dict[str, tuple[str, list[dict[str, object]]]] = {
    "the same clock": ("ts", [{"start": 10}, {"start": 10}]),
    "an earlier clock": ("ts", [{"start": 3600}, {"start": 2}]),
    "three": ("ts", [{"start": 50}, {"start": 20}, {"start": 5}]),
    "open groups": ("ts", [{"start": 50, "x264": OPEN, "gop": 25}, {"start": 20, "x264": OPEN, "gop": 25}]),
    "another size": ("ts", [{"start": 50}, {"start": 20, "size": (256, 160)}]),
    "HEVC": ("ts", [{"start": 50, "codec": "libx265"}, {"start": 20, "codec": "libx265"}]),
    "program streams": ("mpg", [{"start": 50}, {"start": 20}]),
    "across the end of 33 bits": ("ts", [{"start": WRAP - 2}, {"start": WRAP - 2}]),
    "Matroska": ("mkv", [{"start": 0}, {"start": 0}]),
    "WebM": ("webm", [{"start": 0, "codec": "libvpx", "bframes": 0}] * 2),
}


@pytest.mark.parametrize("name", JOINED)
def test_joined_recordings_follow_each_other(tmp_path: Path, name: str) -> None:
    suffix, parts = JOINED[name]
    path = tmp_path / f"joined.{suffix}"
    path.write_bytes(b"".join(part(tmp_path / f"{i}.{suffix}", **more) for i, more in enumerate(parts)))  # type: ignore[arg-type]
    media, _ = identify_media(path, "yard")
    got, report = numbers(media), ReadReport()
    assert [n for _, n in got] == list(range(100)) * len(parts)
    assert [o for o, _ in got] == pytest.approx([i / 25 for i in range(100 * len(parts))], abs=0.01)
    assert media.duration == pytest.approx(4 * len(parts), abs=0.1)
    assert len(list(read_frames(media, 1, 64, report=report))) == 4 * len(parts)
    assert (report.gaps, len(report.notes)) == ([], 1)
    for number in (30, 130, 199):  # Matroska's times are milliseconds
        assert films.number(read_image_at(path, Kind.VIDEO, (number + 0.4) / 25)) == number % 100


TAILS: dict[str, Callable[[Path], bytes]] = {  # of which FFmpeg reads four seconds, without an error
    "mp4": lambda p: 2 * part(p, 0),
    "front.mp4": lambda p: 2 * part(p, 0, options={"movflags": "faststart"}),
    "flv": lambda p: 2 * part(p, 0, bframes=0),
    "asf": lambda p: 2 * part(p, 0),
    "zeroed.mp4": lambda p: zeroed(part(p, 0, 300, gop=25, options=FRAGMENTED), 0.33, 0.66),
}


def zeroed(content: bytes, begin: float, end: float) -> bytes:
    """A copy that broke off and was gone on with later, as downloads leave it."""
    first, last = round(begin * len(content)), round(end * len(content))
    return content[:first] + bytes(last - first) + content[last:]


@pytest.mark.parametrize("name", TAILS)
def test_what_is_behind_the_part_that_is_read_is_told(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"b.{name}"
    path.write_bytes(TAILS[name](tmp_path / f"a.{name}"))
    media, _ = identify_media(path, "yard")
    offsets, report = read(media, 1)
    assert offsets[:3] == pytest.approx([0, 1, 2], abs=0.01)
    assert media.duration == pytest.approx(4, abs=0.6), "what is behind it is not watched"
    (note,) = report.notes
    assert re.search(r"its video track ends \d+ bytes before the file does", note)


@pytest.mark.parametrize("how", ["options", "audio"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "flv", "asf", "avi"])
def test_an_index_at_the_end_is_nothing_that_was_left_out(tmp_path: Path, suffix: str, how: str) -> None:
    more = {"options": {"options": FRAGMENTED} if suffix == "mp4" else {}, "audio": {"audio": 10.0}}[how]
    path = films.encode(tmp_path / f"a.{suffix}", films.numbered(250), bframes=0, **more)  # type: ignore[arg-type]
    assert read(identify_media(path, "yard")[0], 1)[1].notes == []


LOST: dict[str, Callable[[Path], bytes]] = {
    "zeroed.mkv": lambda p: zeroed(part(p, 0, 400, gop=25), 0.3, 0.6),
    "zeroed.ts": lambda p: zeroed(part(p, 0, 400, gop=25), 0.3, 0.6),
    "cut.ts": lambda p: (whole := part(p, 0, 400, gop=25))[: len(whole) * 3 // 10] + whole[len(whole) * 6 // 10 :],
    "joined.mp4": lambda p: 2 * part(p, 0, 200, gop=100, bframes=0, options=RELATIVE),  # FFmpeg leaves out a fragment
}


@pytest.mark.parametrize("every", [0, 1])
@pytest.mark.parametrize("name", LOST)
def test_what_is_lost_in_the_middle_was_not_looked_at(tmp_path: Path, name: str, every: float) -> None:
    (path := tmp_path / f"b.{name}").write_bytes(LOST[name](tmp_path / f"a.{name}"))
    media, _ = identify_media(path, "yard")
    offsets, report = read(media, every)
    silent = [(a, b) for a, b in pairwise([*offsets, media.duration]) if b - a > 2.2]
    assert silent
    for a, b in silent:
        assert sum(min(b, g.end) - max(a, g.start) for g in report.gaps if g.start < b and g.end > a) > b - a - 2.2


def test_sound_that_is_longer_or_earlier_than_the_pictures_is_no_damage(tmp_path: Path) -> None:
    path = films.sound_first(tmp_path / "a.mkv", 3.0)
    media, _ = identify_media(path, "yard")
    assert read(media, 1) == ([0, 1, 2, 3], ReadReport())
    assert media.duration == pytest.approx(4, abs=0.1)


def test_a_recording_that_follows_in_another_track_is_told(tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    other = part(tmp_path / "b.ts", start=0, options={"mpegts_start_pid": "512"})
    path.write_bytes(part(tmp_path / "a.ts", start=0) + other)
    media, _ = identify_media(path, "yard")
    report = ReadReport()
    assert len(list(read_frames(media, 1, 64, report=report))) == 4
    assert media.duration == pytest.approx(4, abs=0.1)
    (note,) = report.notes
    assert int(re.findall(r"(\d+) bytes before", note)[0]) == pytest.approx(len(other), rel=0.1)
    probed = {"probesize": "2G", "analyzeduration": "2G"}  # as the note says
    with av.open(str(path), container_options=probed) as joined:
        track = joined.streams.video[1]
        with av.open(str(tmp_path / "copy.ts"), "w") as copy:
            stream = copy.add_stream_from_template(track)
            for packet in joined.demux(track):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
    assert [n for _, n in numbers(identify_media(tmp_path / "copy.ts", "yard")[0])] == list(range(100))


def test_a_stream_that_appears_at_the_end_of_a_file_does_no_harm(tmp_path: Path) -> None:
    content = bytearray(part(tmp_path / "a.ts", start=0))
    last = max(place for place in range(0, len(content), 188) if content[place + 1 : place + 3] == b"\x41\x00")
    content[last + 1] |= 2  # a picture begins in a packet with another identifier
    (tmp_path / "b.ts").write_bytes(content)
    media, _ = identify_media(tmp_path / "b.ts", "yard")
    assert [n for _, n in numbers(media)] == list(range(99))


def test_a_wrap_at_33_bits_is_no_joint(tmp_path: Path) -> None:
    media, _ = identify_media(films.encode(tmp_path / "a.ts", films.numbered(250), start=WRAP - 5), "yard")
    got, report = numbers(media), ReadReport()
    assert [n for _, n in got] == list(range(250))
    assert len(list(read_frames(media, 1, 64, report=report))) == 10
    assert (report.gaps, report.notes) == ([], [])
    assert films.number(read_image_at(Path(media.path), Kind.VIDEO, 8.0)) == 200


def test_a_hole_in_a_file_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "hole.ts"
    path.write_bytes(part(tmp_path / "1.ts", 10) + part(tmp_path / "2.ts", 54))
    media, _ = identify_media(path, "yard")
    offsets, report = read(media, 1)
    assert offsets == pytest.approx([0, 1, 2, 3, 44, 45, 46, 47], abs=0.01)
    assert [(round(g.start, 1), round(g.end, 1), g.cause) for g in report.gaps] == [(4, 44, "no frames in the file")]


@pytest.mark.parametrize("every", [0, 1, 2])
def test_frames_that_cannot_be_decoded_were_not_looked_at(tmp_path: Path, every: float) -> None:
    path = films.encode(tmp_path / "noise.mp4", films.numbered(500), gop=25, options={"movflags": "faststart"})
    films.corrupt(path, 0.4, 0.7)
    media, _ = identify_media(path, "yard")
    offsets, report = read(media, every)
    (gap,) = report.gaps
    assert gap.cause == "frames could not be decoded"
    assert 4 < gap.start < 9
    assert 12 < gap.end < 16
    assert [o for o in offsets if gap.start + 0.1 < o < gap.end - 0.1] == []


def test_an_interrupted_run_remembers_what_was_not_looked_at(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "noise.mp4", films.numbered(500), gop=25, options={"movflags": "faststart"})
    films.corrupt(path, 0.4, 0.7)
    media, _ = identify_media(path, "yard")
    whole, resumed = ReadReport(), ReadReport()
    taken = [f.offset for f in read_frames(media, 1, 64, report=whole)]
    until = next(i for i, offset in enumerate(taken) if offset > 17)
    resumed.earlier = taken[: until + 1]
    assert [f.offset for f in read_frames(media, 1, 64, taken[until], resumed)] == taken[until + 1 :]
    assert resumed.gaps == whole.gaps


def test_still_footage_of_a_variable_rate_has_no_gaps(tmp_path: Path) -> None:
    times = [0.0, 0.5, 30.0, 30.5, 90.0, 91.0]  # a screen recorder writes a frame when something changes
    media, _ = identify_media(films.encode(tmp_path / "screen.mp4", films.numbered(6), times=times), "yard")
    offsets, report = read(media, 1)
    assert offsets == pytest.approx([0, 30, 90, 91], abs=0.01)
    assert report.gaps == []


def test_a_mirrored_picture_is_shown_as_its_matrix_says() -> None:
    media, _ = identify_media(ODD / "matrix_hflip.mp4", "yard")
    shown = next(read_frames(media, 1, 144)).image
    with av.open(str(ODD / "matrix_hflip.mp4")) as container:
        stored = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - stored[:, ::-1]).mean() < 2


def test_a_file_that_begins_at_a_recovery_point_is_read_from_there() -> None:
    path = ODD / "gdr_middle.mkv"
    media, _ = identify_media(path, "yard")
    offsets, report = read(media, 1)
    assert len(offsets) >= 4
    assert report.gaps == []
    whole = read_image_at(ODD / "gdr.mp4", Kind.VIDEO, 7.0, 144)
    shown = read_image_at(path, Kind.VIDEO, media.duration - 1.0, 144)
    assert np.abs(whole.astype(int) - shown).mean() < 3
