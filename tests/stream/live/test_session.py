"""Tests that a session repairs odd streams, begins a new timeline or asks for a new connection."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from footage.stream.live.connection import ConnectionLostError
from footage.stream.live.contracts import LivePacket
from footage.stream.live.sampler import Sampler
from footage.stream.live.session import LiveSession, ReconnectError
from tests.films import encode, number, numbered
from tests.rtsp.film import encode_elementary_stream
from tests.stream.live.livefeed import FileConnection, RecordingSink

BEGIN = 1_800_000_000.0
FPS = 25


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds, a keyframe each second."""
    return encode(tmp_path_factory.mktemp("live") / "yard.mp4", numbered(8 * FPS), gop=FPS, bframes=0)


def play(
    path: Path,
    edit: Callable[[int, LivePacket], LivePacket | None] = lambda _, p: p,
    every: float = 1.0,
    arrival: Callable[[int], float] = lambda i: i / FPS,
    each: Callable[[LiveSession, int], None] = lambda *_: None,
) -> tuple[RecordingSink, dict[str, Any], LiveSession]:
    """Run a film through a session until the connection ends."""
    notes, status = RecordingSink(), {}  # type: ignore[var-annotated]
    feed = FileConnection(path, edit)
    session = LiveSession(feed, notes, every, 64, None, lambda **changed: status.update(changed))
    i = 0
    try:
        while (packet := feed.read()) is not None:
            each(session, i)
            session.add(packet, BEGIN + arrival(i))
            i += 1
    except (ConnectionLostError, ReconnectError) as end:
        session.close(str(end))
    feed.close()
    assert notes.faults == []
    return notes, status, session


def shift(packet: LivePacket, seconds: float) -> LivePacket:
    assert packet.pts is not None
    assert packet.dts is not None
    packet.pts += round(seconds / packet.time_base)
    packet.dts += round(seconds / packet.time_base)
    return packet


def test_a_good_stream_gives_every_packet_and_a_frame_a_second(yard: Path) -> None:
    notes, status, session = play(yard)
    assert len(notes.times) == 8 * FPS
    assert len(notes.frames) == 8
    (span,) = notes.spans
    assert [number(image) for _, image in span.frames] == [FPS * i for i in range(8)]
    assert status["gop"] == pytest.approx(1.0)
    assert status["fps"] == pytest.approx(FPS)
    assert status["keyframes_only"]
    assert session.dropped == 0
    assert span.start.timestamp() == pytest.approx(BEGIN, abs=0.01)


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize(("every", "gop"), [(1.0, 150), (0.2, 50), (0.0, 50), (2.0, 100)])
def test_frames_between_distant_keyframes_are_sampled_in_time(
    tmp_path: Path, every: float, gop: int, bframes: int
) -> None:
    path = encode(tmp_path / "long.mp4", numbered(8 * FPS), gop=gop, bframes=bframes)
    notes, status, _ = play(path, every=every)
    assert len(notes.frames) == pytest.approx(8 / every if every else 8 * FPS, abs=1 + bool(bframes) * 4)
    steps = [(b - a).total_seconds() for a, b in pairwise(notes.frames)]
    assert max(steps) <= (every or 1 / FPS) + 3 / FPS
    assert not status["keyframes_only"]
    first = notes.spans[0].frames[0][0]
    for time, image in notes.spans[0].frames:  # each picture has its own time
        assert number(image) == round((time - first).total_seconds() * FPS) + number(notes.spans[0].frames[0][1])


def test_a_growing_keyframe_interval_is_sampled_without_a_gap(tmp_path: Path) -> None:
    path = encode(tmp_path / "grows.mp4", numbered(10 * FPS), gop=[0, 25, 50, 75, 100, 220], bframes=0)
    notes, _, _ = play(path)
    steps = [(b - a).total_seconds() for a, b in pairwise(notes.frames)]
    assert max(steps) < 1.5
    assert len(notes.frames) >= 9


def test_missing_decoding_times_are_filled_in(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket:
        packet.dts = None
        return packet

    notes, _, _ = play(yard, edit)
    assert len(notes.times) == 8 * FPS
    assert len(notes.spans) == 1


def test_first_packets_without_times_are_timed_by_the_next(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket:
        if i < 2:
            packet.pts = packet.dts = None
        return packet

    notes, _, _ = play(yard, edit)
    assert len(notes.times) == 8 * FPS
    assert (notes.times[2] - notes.times[0]).total_seconds() == pytest.approx(2 / FPS)


def test_a_stream_that_has_no_times_is_timed_by_arrival(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket:
        packet.pts = packet.dts = None
        return packet

    notes, _, _ = play(yard, edit)
    assert len(notes.times) == 8 * FPS
    assert (notes.times[-1] - notes.times[0]).total_seconds() == pytest.approx(8, abs=0.1)


def test_a_packet_that_runs_backwards_is_dropped(yard: Path) -> None:
    notes, _, session = play(yard, lambda i, p: shift(p, -0.5) if i in (60, 90) else p)
    assert len(notes.times) == 8 * FPS - 2
    assert session.dropped == 2
    assert len(notes.spans) == 1


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 8.0])
def test_a_jump_begins_a_new_timeline_and_times_keep_rising(yard: Path, jump: float) -> None:
    notes, _, _ = play(yard, lambda i, p: shift(p, jump) if i >= 100 else p)
    assert len(notes.spans) == 2
    assert notes.spans[0].cause == f"time stamps jumped by {jump:.0f} s"
    assert len(notes.times) == 8 * FPS
    assert (notes.times[-1] - notes.times[0]).total_seconds() == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("at", [10, 90])  # while the first packets are held back, and later
@pytest.mark.parametrize("step", [3600.0, -3600.0, 86400.0 * 365])
def test_times_follow_a_clock_that_is_set(yard: Path, step: float, at: int) -> None:
    def set_clock(session: LiveSession, i: int) -> None:
        if i == at:
            assert session.set_clock(step)

    notes, _, _ = play(yard, arrival=lambda i: i / FPS + step * (i >= at), each=set_clock)
    assert len(notes.spans) == (2 if at == 90 else 1)
    last = notes.spans[-1]
    first = 4 if at == 90 else 1  # the next keyframe
    assert last.start.timestamp() == pytest.approx(BEGIN + step + first, abs=0.1)
    assert [number(image) for _, image in last.frames] == [FPS * i for i in range(first, 8)]
    assert (notes.times[-1] - last.start).total_seconds() == pytest.approx(8 - first, abs=0.1)
    if at == 90:
        assert notes.spans[0].cause == f"the clock was set {'forward' if step > 0 else 'back'} by {abs(step):.0f} s"


@pytest.mark.parametrize("step", [4.0, -1.0, -100.0])
def test_a_clock_that_is_set_by_little_needs_no_new_timeline(yard: Path, step: float) -> None:
    def set_clock(session: LiveSession, i: int) -> None:
        if i == 90:
            assert not session.set_clock(step)

    notes, _, _ = play(yard, arrival=lambda i: i / FPS + step * (i >= 90), each=set_clock)
    assert len(notes.times) == 8 * FPS
    assert len(notes.spans) == 1


def test_time_stamps_that_do_not_advance_are_detected(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket:
        if i >= 20:
            packet.pts = packet.dts = 0
        return packet

    notes, _, _ = play(yard, edit)
    assert notes.spans[0].cause == "time stamps do not advance"


def test_a_pause_of_the_camera_is_no_jump(yard: Path) -> None:
    notes, _, _ = play(
        yard, lambda i, p: shift(p, 8.0) if i >= 100 else p, arrival=lambda i: i / FPS + (8.0 if i >= 100 else 0.0)
    )
    assert len(notes.spans) == 1


def test_packets_before_the_first_keyframe_and_corrupt_ones_are_dropped(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket | None:
        return None if i == 0 else packet

    notes, _, _ = play(yard, edit)
    assert len(notes.times) == 7 * FPS


def test_damaged_packets_lose_only_their_own_frames(yard: Path) -> None:
    def edit(i: int, packet: LivePacket) -> LivePacket:
        if i % FPS == 0 or i % 7:
            return packet
        broken: Any = av.Packet(bytes(len(bytes(packet))))
        broken.stream, broken.time_base, broken.pts, broken.dts = (
            packet.stream,
            packet.time_base,
            packet.pts,
            packet.dts,
        )
        return broken  # type: ignore[no-any-return]

    notes, _, _ = play(yard, edit)
    assert len(notes.frames) == 8


def test_no_keyframe_for_a_minute_asks_for_a_new_connection(tmp_path: Path) -> None:
    path = encode(tmp_path / "slow.mp4", numbered(70), fps=1, gop=200, bframes=0)
    notes, _, _ = play(path, arrival=float, every=10)
    assert notes.spans[0].cause == "no keyframe for 60 s"


def test_a_new_size_asks_for_a_new_connection(tmp_path: Path) -> None:
    small, large = (
        encode_elementary_stream(tmp_path / "small.h264", gop=FPS),
        encode_elementary_stream(tmp_path / "large.h264", gop=FPS, size=(480, 256)),
    )
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    notes, _, _ = play(both)
    (span,) = notes.spans
    assert span.cause == "stream changed"
    assert len(span.packets) == 4 * FPS  # not one of the new size


def test_a_split_keyframe_is_joined(tmp_path: Path) -> None:
    path = encode_elementary_stream(tmp_path / "sliced.h264", gop=FPS, slices=2)
    with av.open(str(path)) as container:
        whole = [p for p in container.demux() if p.size]
        stream = container.streams.video[0]
        parts = [part for packet in whole for part in _cut(packet)]
    assert len(parts) == len(whole) + 4
    feed = FileConnection(path)
    for part in parts:
        part.stream = feed.video
    feed.packets = iter(parts)
    notes = RecordingSink()
    session = LiveSession(feed, notes, 1.0, 64, None, lambda **_: None)
    for i, part in enumerate(parts):
        session.add(part, BEGIN + i / FPS)
    session.close("ended")
    assert stream.codec_context.name == "h264"
    assert notes.faults == []
    assert len(notes.times) == 4 * FPS
    assert [number(image) for _, image in notes.spans[0].frames] == [0, 25, 50, 75]


def _cut(packet: Any) -> list[Any]:
    """A keyframe as two packets of one time, each beginning with a parameter set; other packets unchanged."""
    data = bytes(packet)
    cut = data.rfind(b"\x00\x00\x01\x65") if packet.is_keyframe else -1
    parts = [data] if cut < 0 else [data[:cut], b"\x00\x00\x00\x01\x09\x10" + data[cut:]]
    made = [av.Packet(part) for part in parts]
    for part in made:
        part.time_base, part.is_keyframe = packet.time_base, packet.is_keyframe
        part.pts = part.dts = packet.dts if packet.dts is not None else packet.pts
    return made


def test_audio_gets_the_clock_of_the_video(tmp_path: Path) -> None:
    path = encode(tmp_path / "loud.mp4", numbered(4 * FPS), gop=FPS, bframes=0, audio=4.0)
    notes, _, _ = play(path, arrival=lambda i: i / (FPS + 16_000 / 1024))
    (span,) = notes.spans
    assert len(span.packets) == 4 * FPS
    assert len(span.sounds) > 50
    assert span.sounds[0].timestamp() == pytest.approx(span.start.timestamp(), abs=0.2)


def test_a_camera_that_hardware_does_not_decode_gets_another_connection(
    yard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sampler, "hardware_failed", True)
    notes, _, _ = play(yard)
    assert [span.cause.partition(":")[0] for span in notes.spans] == ["the hardware decoder gives no pictures of it"]
