"""Tests the reader against a real RTSP server that is killed, frozen and restarted."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from threading import Event
from time import monotonic, time

import pytest
from av.container import InputContainer

from footage.stream.frame import Clock
from footage.stream.hardware import Decoder
from footage.stream.live.contracts import ConnectionState, ConnectionStatus, LivePacket
from footage.stream.live.reader import Reader
from footage.stream.live.sampler import Sampler
from footage.stream.live.session import HOLD_SECONDS
from tests.films import number
from tests.ports import free_port
from tests.rtsp.fixture import Server
from tests.stream.live.livefeed import FileConnection, RecordingSink, until
from tests.stream.live.mjpegcamera import mjpeg_camera

reports = pytest.mark.skipif(
    not hasattr(InputContainer, "start_time_realtime"), reason="sender reports need av 18: pip install 'av>=18'"
)

Films = dict[str, Path]
Make = Callable[..., Server]
Watch = Callable[..., tuple[Reader, RecordingSink]]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Starts readers; they are stopped with the test, and every promise to their sinks is checked."""
    watched: list[tuple[Reader, RecordingSink]] = []

    def start(url: str, every: float = 1.0, **options: object) -> tuple[Reader, RecordingSink]:
        notes = RecordingSink()
        watched.append((Reader("yard", url, notes, every=every, side=64, **options), notes))  # type: ignore[arg-type]
        watched[-1][0].start()
        return watched[-1]

    yield start
    for reader, notes in watched:
        assert reader.stop(60)
        assert notes.faults == []


def live(reader: Reader, connects: int = 1) -> Callable[[], bool]:
    def check() -> bool:
        status = reader.snapshot()
        return status.state is ConnectionState.LIVE and status.connects >= connects

    return check


def has(reader: Reader, wanted: Callable[[ConnectionStatus], bool]) -> Callable[[], bool]:
    return lambda: wanted(reader.snapshot())


def agree(notes: RecordingSink) -> bool:
    """Whether each frame shows the number of its time, as far as a line of times is bent; the film lasts 4 seconds."""
    steps = [
        ((b - a).total_seconds(), (number(later) - number(earlier)) / 25)
        for span in notes.spans
        for (a, earlier), (b, later) in pairwise(span.frames)
    ]
    return all(abs((shown - passed + 2) % 4 - 2) < 0.3 * passed + 0.1 for passed, shown in steps)


@pytest.mark.parametrize(("name", "codec"), [("yard", "h264"), ("sliced", "h264"), ("gate", "hevc")])
def test_a_camera_is_live_with_frames_at_their_time(
    rtsp: Make, films: Films, watch: Watch, name: str, codec: str
) -> None:
    reader, notes = watch(rtsp(films).url(name))
    until(lambda: len(notes.frames) >= 4)
    until(live(reader))
    status = reader.snapshot()
    assert (status.error, status.transport) == ("", "tcp")
    assert (status.codec, status.width, status.height) == (codec, 320, 192)
    assert status.fps == pytest.approx(25, rel=0.5)  # by a line of times that may be bent
    assert status.gop == pytest.approx(1.0, rel=0.5)
    assert abs((datetime.now(UTC) - notes.frames[-1]).total_seconds()) < 60
    assert agree(notes)
    steps = [(b - a).total_seconds() for a, b in pairwise(time for time, _ in notes.spans[0].frames)]
    assert max(steps) < 2.3  # one in each second, as far as keyframes are no more than a tenth further apart
    assert status.dropped == 0


def test_a_camera_over_udp_is_live_and_no_damaged_frame_is_given(rtsp: Make, films: Films, watch: Watch) -> None:
    """A busy machine loses datagrams: seconds may be missing, but what is shown is whole and at its time."""
    reader, notes = watch(rtsp(films).url("yard"), transport="udp")
    until(lambda: len(notes.frames) >= 4)
    until(live(reader))
    status = reader.snapshot()
    assert status.transport == "udp"
    assert (status.codec, status.width, status.height) == ("h264", 320, 192)
    assert agree(notes)


@reports
def test_sender_reports_take_over_from_arrival(rtsp: Make, films: Films, watch: Watch) -> None:
    reader, _ = watch(rtsp(films).url("yard"))
    until(has(reader, lambda s: s.clock is Clock.RTCP))
    until(has(reader, lambda s: s.skew is not None and abs(s.skew) < 0.5))  # one clock: what remains is delay


@reports
def test_audio_is_delivered_with_the_video(rtsp: Make, films: Films, watch: Watch) -> None:
    reader, notes = watch(rtsp(films, sound=True).url("yard"))
    until(has(reader, lambda s: s.clock is Clock.RTCP))  # FFmpeg may shift time stamps with the first report
    until(lambda: len(notes.frames) >= 5)
    (span,) = notes.spans
    assert len(span.sounds) > 10
    until(lambda: abs((span.sounds[-1] - notes.times[-1]).total_seconds()) < 1)


def test_a_wrong_camera_clock_is_reported_once_and_not_used(
    films: Films, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(FileConnection):
        def sender_time(self, packet: LivePacket) -> float:
            return time() - 3600

    reader, notes = watch("rtsp://cam.invalid/yard", connect=lambda *_: _paced(Wrong(films["yard"])))
    until(lambda: len(notes.frames) >= 2)
    status = reader.snapshot()
    assert status.clock is Clock.ARRIVAL
    assert status.skew == pytest.approx(-3600, abs=60)
    assert abs((datetime.now(UTC) - notes.times[-1]).total_seconds()) < 60
    assert reader.stop(60)
    assert len([r for r in caplog.records if re.search(r"its clock is 3[56]\d\d\.\d s behind", r.getMessage())]) == 1


def test_a_camera_that_hardware_does_not_decode_is_decoded_by_the_processor(
    films: Films, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    used: list[str] = []
    monkeypatch.setattr(Sampler, "hardware_failed", property(lambda _: used[-1] == "cuda"))

    def connect(url: str, transport: str, options: dict[str, str], stopped: Event, decoder: Decoder) -> FileConnection:
        used.append(decoder.device)
        return _paced(FileConnection(films["yard"]))

    _, notes = watch("rtsp://cam.invalid/yard", connect=connect, decoder=Decoder("cuda"), backoff=(0.05, 0.1))
    until(lambda: len(used) >= 2 and len(notes.spans) >= 2 and len(notes.spans[1].frames) >= 2)
    assert used[:2] == ["cuda", ""]
    assert "hardware" in notes.spans[0].cause


def _paced(feed: FileConnection) -> FileConnection:
    """Delivers packets at the rate of a camera."""
    packets, began = feed.packets, monotonic()

    def pace() -> Iterator[LivePacket]:
        for i, packet in enumerate(packets):
            until(lambda i=i: monotonic() - began >= i / 25)  # type: ignore[misc]
            yield packet

    feed.packets = pace()
    return feed


def test_a_reader_that_was_held_up_for_long_keeps_its_connection(
    films: Films, monkeypatch: pytest.MonkeyPatch, watch: Watch
) -> None:
    held_up = 0.0
    monkeypatch.setattr("footage.stream.live.reader.monotonic", lambda: monotonic() + held_up)

    class Held(FileConnection):
        def read(self) -> LivePacket | None:
            nonlocal held_up
            packet = super().read()
            if held_up or len(notes.frames) < 2:
                return packet
            held_up = 60.0  # FFmpeg gives up reading, though something has come
            return None

    _, notes = watch("rtsp://cam.invalid/yard", connect=lambda *_: _paced(Held(films["yard"])))
    until(lambda: bool(held_up) and len(notes.frames) >= 4)
    assert not [span.cause for span in notes.spans if span.cause.startswith("no picture")]


def test_images_over_http_are_timed_by_arrival(watch: Watch) -> None:
    with mjpeg_camera() as url:
        reader, notes = watch(url, every=0.2)
        until(lambda: len(notes.frames) >= 8)
        status = reader.snapshot()
        assert (status.codec, status.clock, status.transport) == ("mjpeg", Clock.ARRIVAL, "http")
        assert abs((datetime.now(UTC) - notes.times[-1]).total_seconds()) < 60
    until(lambda: bool(notes.spans[0].cause))
    assert notes.spans[0].cause.startswith("connection lost")


def test_distant_keyframes_do_not_reduce_the_sampling_rate(rtsp: Make, films: Films, watch: Watch) -> None:
    reader, notes = watch(rtsp(films).url("long"), every=0.5)
    until(lambda: len(notes.frames) >= 8)
    assert not reader.snapshot().keyframes_only
    halves = [int(2 * time.timestamp()) for time in notes.frames]
    assert halves == list(range(halves[0], halves[0] + len(halves)))  # a frame in each half of a second


@pytest.mark.slow
def test_a_hanging_server_is_detected_and_reconnected(rtsp: Make, films: Films, watch: Watch) -> None:
    server = rtsp(films)
    reader, notes = watch(server.url("yard"), stall=6.0)
    until(live(reader))
    server.freeze()
    until(has(reader, lambda s: s.state is ConnectionState.STALLED))
    until(lambda: bool(notes.spans[0].cause))
    assert notes.spans[0].cause == "no picture for 6 s"
    server.thaw()
    until(live(reader, 2))
    assert reader.snapshot().reconnects == 1


def test_a_hanging_network_does_not_delay_stopping(rtsp: Make, films: Films, watch: Watch) -> None:
    server = rtsp(films)
    reader, _ = watch(server.url("yard"))
    until(live(reader))
    server.freeze()
    assert reader.stop(20)


def test_a_server_that_never_answers_does_not_delay_stopping(watch: Watch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as mute:
        reader, _ = watch(f"rtsp://127.0.0.1:{mute.getsockname()[1]}/yard")
        until(has(reader, lambda s: s.state is ConnectionState.CONNECTING))
        assert reader.stop(20)
    assert reader.snapshot().state is ConnectionState.STOPPED


def test_a_wrong_password_is_named_but_not_shown(
    rtsp: Make, films: Films, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = rtsp(films, login="admin:right")
    wrong, _ = watch(server.url("yard", "admin:hunter2"))
    right, _ = watch(server.url("yard", "admin:right"))
    until(has(wrong, lambda s: bool(s.error)))
    until(live(right))
    assert "refuses this user and password" in wrong.snapshot().error
    assert "hunter2" not in repr(wrong.snapshot()) + caplog.text
    assert "admin" not in repr(wrong.snapshot()) + caplog.text


def test_a_missing_stream_and_a_closed_port_give_different_errors(rtsp: Make, films: Films, watch: Watch) -> None:
    server = rtsp(films)
    missing, _ = watch(server.url("cellar"))
    silent, _ = watch(f"rtsp://127.0.0.1:{free_port()}/yard")
    until(has(missing, lambda s: bool(s.error)))
    until(has(silent, lambda s: bool(s.error)))
    assert "no stream of this name" in missing.snapshot().error
    assert "refuses connections" in silent.snapshot().error
    assert missing.snapshot().state in {ConnectionState.BACKING_OFF, ConnectionState.CONNECTING}


@pytest.mark.slow
def test_one_cameras_failure_does_not_slow_another(rtsp: Make, films: Films, watch: Watch) -> None:
    broken, sound = rtsp(films), rtsp(films)
    ill, _ = watch(broken.url("yard"), stall=4.0)
    well, notes = watch(sound.url("yard"))
    until(live(ill))
    until(live(well))
    broken.freeze()
    before, began = len(notes.frames), len(notes.spans[0].arrived)
    until(has(ill, lambda s: s.state is ConnectionState.STALLED))
    until(lambda: len(notes.frames) >= before + 4)
    arrived = notes.spans[0].arrived[began:]
    waits = [b - a for a, b in pairwise(arrived)]
    assert sum(wait for wait in waits if wait > 1) < sum(waits) / 2  # else each wait for the other is one for this


def test_an_error_in_the_sink_is_logged_and_the_camera_reconnected(
    rtsp: Make, films: Films, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    reader, notes = watch(rtsp(films).url("yard"))
    until(live(reader))
    good = notes.frame
    notes.frame = lambda *_: 1 / 0  # type: ignore[assignment]
    until(has(reader, lambda s: "ZeroDivisionError" in s.error))
    notes.frame = good  # type: ignore[method-assign]
    until(live(reader, 2))
    assert "fault while reading" in caplog.text


def test_times_begin_after_those_of_the_run_before(rtsp: Make, films: Films, watch: Watch) -> None:
    after = datetime.now(UTC) + timedelta(seconds=5)
    _, notes = watch(rtsp(films).url("yard"), after=after)
    until(lambda: bool(notes.spans))
    assert notes.spans[0].start > after


@pytest.mark.slow
def test_a_server_killed_twenty_times_is_live_again_each_time(rtsp: Make, films: Films, watch: Watch) -> None:
    """With the default waits: probing the port reconnects a camera soon, not a short wait."""
    server = rtsp(films)
    reader, notes = watch(server.url("yard"))
    until(live(reader))
    waits: list[float] = []
    away: list[float] = []
    for kill in range(20):
        until(lambda: len(notes.spans[-1].frames) >= 2)
        killed = datetime.now(UTC)
        server.kill()
        until(lambda: bool(notes.spans[-1].cause))
        until(lambda killed=killed, kill=kill: (datetime.now(UTC) - killed).total_seconds() > kill % 4 / 2)  # type: ignore[misc]
        server.start()
        waits.append(until(live(reader, kill + 2)))
        away.append((notes.spans[-1].noted - killed).total_seconds() - HOLD_SECONDS)
    gaps = [seconds for _, seconds in notes.gaps]
    errors = [abs(gap - real) for gap, real in zip(gaps, away, strict=True)]
    print(f"\nlive again after {sorted(waits)[10]:.2f} s (median), {max(waits):.2f} s (most); ", end="")
    print(f"gaps wrong by {sorted(errors)[10]:.3f} s (median), {max(errors):.3f} s (most)")
    assert sorted(waits)[10] < 5  # by default a camera that refuses is asked again after up to a minute
    assert sorted(errors)[10] < 1
    assert len(notes.gaps) == 20
    assert {cause.partition(":")[0] for cause, _ in notes.gaps} == {"connection lost"}
    assert notes.times == sorted(set(notes.times))
