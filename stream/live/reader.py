"""Reads one live camera and reconnects after every failure."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Any

from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.live.clock import MAX_SKEW
from footage.stream.live.connection import (
    READ_TIMEOUT,
    Connection,
    ConnectionLostError,
    StoppedError,
    connect,
    is_rtsp,
    run_until_stopped,
)
from footage.stream.live.contracts import ConnectionState, ConnectionStatus, Sink
from footage.stream.live.read_ahead import ReadAhead
from footage.stream.live.session import HardwareGivenUpError, LiveSession, ReconnectError
from footage.stream.live.url import host_and_port, probe_port, redact_url

log = logging.getLogger(__name__)

PROBE_INTERVAL = 1.0  # seconds between probes of a camera that does not answer
LONGEST_READ = 1.5 * READ_TIMEOUT  # seconds that a read takes; in what is more this process was held up, not the camera
CLOCKS_APART = 0.5  # seconds that may pass while both clocks are read
STALLED_AFTER = READ_TIMEOUT  # seconds without video after which the state says so

Connect = Callable[[str, str, dict[str, str], Event, Decoder], Connection]


def read_clocks() -> tuple[float, float]:
    """UTC seconds by this machine's clock, and by how much it is ahead of the one that nobody sets.

    Both are read again if much time passed in between: as a difference that would look like a clock that was set.
    """
    while True:
        before, now = monotonic(), time()
        if monotonic() - before < CLOCKS_APART:
            return now, now - before


class Reader:
    """Reads one camera into a sink, whatever the camera and the network do.

    Threads: ``start`` makes one thread, which connects, reads, decodes and calls the sink. It alone touches the
    connection and the sink. ``stop`` and ``snapshot`` may be called from any thread. Opening a connection and
    probing the camera's port happen in a short-lived thread, because they cannot be interrupted; it is abandoned when
    the reader stops meanwhile, and touches nothing of the reader. Sources other than RTSP have one more thread, which
    reads ahead (``ReadAhead``).

    Failures: after each the reader waits, from the first to the second number of ``backoff``, doubling, with jitter;
    after a connection that was live for ``healthy`` seconds it begins with the first again, and it never waits longer
    than the last connection was live. While it waits it probes the camera's TCP port, each second while it is closed;
    when a closed port opens, the camera is back: the wait ends and the doubling starts again. So a camera is live
    within seconds of its return even after a night, and one that answers but refuses (a wrong password, a wrong path)
    is tried once a minute. A fault in this program (``ConnectionStatus.faults``) is logged with its trace and is a
    failure like the others; the thread outlives it, wherever it happened.
    """

    def __init__(
        self,
        camera: str,
        url: str,
        sink: Sink,
        *,
        every: float,
        side: int,
        transport: str = "tcp",
        stall: float = 10.0,
        backoff: tuple[float, float] = (1.0, 60.0),
        healthy: float = 60.0,
        options: dict[str, str] | None = None,
        after: datetime | None = None,
        connect: Connect = connect,
        decoder: Decoder = SOFTWARE,
    ) -> None:
        """Args:
        camera: its name, for the log.
        url: rtsp://, rtsps://, rtmp://, http(s)://, a webcam's number or its device file.
        every: seconds between sampled frames; 0 takes every frame.
        side: length in pixels of their shorter side.
        transport: of RTSP: "tcp" or "udp".
        stall: seconds without video after which a new connection is made.
        backoff: least and most seconds to wait after a failure.
        healthy: seconds of video after which a failure counts as the first one.
        options: more options for FFmpeg.
        after: every time given is later than this, unless it is far ahead (see ``LiveClock``).
        connect: opens the source.
        decoder: what decodes; where hardware gives no pictures of this camera, the processor does.
        """
        self._camera, self._url, self._sink = camera, url, sink
        self._every, self._side, self._stall = every, side, stall
        self._backoff, self._healthy = backoff, healthy
        self._transport, self._options, self._connect = transport, options or {}, connect
        self._decoder = decoder
        self._last_time = after.timestamp() if after else None
        self._stopped = Event()
        self._lock = Lock()
        shown = transport if is_rtsp(url) else url.partition("://")[0]
        self._status = ConnectionStatus(ConnectionState.STOPPED, datetime.now(UTC), shown)
        self._failures = 0
        self._live_seconds = 0.0  # of the last connection
        self._warned = False
        self._thread = Thread(target=self._run, name=f"camera {camera}", daemon=True)

    def start(self) -> None:
        """Start the thread; a reader runs once."""
        self._update(state=ConnectionState.CONNECTING)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """Stop, and close the sink. True when the thread has ended within ``timeout`` seconds."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def snapshot(self) -> ConnectionStatus:
        """A copy of the status; any thread may ask for it."""
        with self._lock:
            return replace(self._status)

    def _update(self, **changes: Any) -> None:
        with self._lock:
            if "state" in changes and changes["state"] is not self._status.state:
                self._status.since = datetime.now(UTC)
            for name, value in changes.items():
                setattr(self._status, name, value)

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read_until_stopped()
            except BaseException as error:  # the thread must not end, or nobody would read the camera any more
                self._note_fault(error)
                self._update(state=ConnectionState.BACKING_OFF)
                self._stopped.wait(self._backoff[1])
        self._update(state=ConnectionState.STOPPED)

    def _note_fault(self, error: BaseException) -> str:
        log.error("%s: fault while reading", self._camera, exc_info=error)
        cause = f"internal error ({type(error).__name__}); see the log"
        self._update(error=cause, fault=cause, faults=self._status.faults + 1)
        return cause

    def _read_until_stopped(self) -> None:
        while not self._stopped.is_set():
            self._update(state=ConnectionState.CONNECTING)
            try:
                cause = self._connect_and_read()
            except StoppedError:
                break
            except Exception as error:  # here or in the sink
                cause = self._note_fault(error)
            if self._stopped.is_set():
                break
            log.warning("%s: %s: %s", self._camera, redact_url(self._url), cause)
            self._update(state=ConnectionState.BACKING_OFF, error=cause)
            self._back_off()

    def _connect_and_read(self) -> str:
        """Connect and read until the connection ends; returns why."""
        try:
            connection = self._connect(self._url, self._transport, self._options, self._stopped, self._decoder)
            connection = connection if is_rtsp(self._url) else ReadAhead(connection, READ_TIMEOUT)
        except ConnectionLostError as error:
            self._live_seconds = 0.0
            return str(error)
        began = monotonic()
        session = LiveSession(connection, self._sink, self._every, self._side, self._last_time, self._update)
        cause = "internal error"
        try:
            cause = self._read(connection, session, max(self._stall, connection.normal_silence))
        finally:
            self._last_time = session.last_time
            try:
                session.close(cause)
            finally:
                connection.close()
                self._live_seconds = monotonic() - began if session.packets else 0.0
        if self._live_seconds >= self._healthy:
            self._failures = 0
        return cause

    def _read(self, connection: Connection, session: LiveSession, stall: float) -> str:
        silent, looked = 0.0, monotonic()  # seconds waited for video
        counted = self.snapshot()
        _, offset = read_clocks()
        while not self._stopped.is_set():
            try:
                packet = connection.read()
                before, (now, offset) = offset, read_clocks()
                if session.set_clock(offset - before):
                    log.warning("%s: this machine's clock was set, by %+.0f s", self._camera, offset - before)
                if packet is None:
                    session.release_held(now)
                else:
                    session.add(packet, now)
            except ConnectionLostError as error:
                return f"connection lost: the camera {error}"
            except ReconnectError as error:
                if isinstance(error, HardwareGivenUpError):
                    self._decoder = SOFTWARE
                return str(error)
            silent += min(monotonic() - looked, LONGEST_READ)
            looked = monotonic()
            if packet is not None and packet.stream is connection.video:
                silent = 0.0
            self._update_counts(session, counted, silent)
            if silent >= stall:
                return f"no picture for {stall:g} s"
        return "stopped"

    def _update_counts(self, session: LiveSession, before: ConnectionStatus, silent: float) -> None:
        state = self._status.state
        if silent >= STALLED_AFTER:
            state = ConnectionState.STALLED
        elif session.live and state is not ConnectionState.LIVE:
            state = ConnectionState.LIVE
            if self._status.connects == before.connects:
                self._update(connects=before.connects + 1, reconnects=before.connects, error="", fault="")
        self._update(
            state=state,
            packets=before.packets + session.packets,
            frames=before.frames + session.frames,
            dropped=before.dropped + session.dropped,
        )
        self._warn_of_skew()

    def _warn_of_skew(self) -> None:
        skew = self._status.skew
        if skew is not None and abs(skew) > MAX_SKEW and not self._warned:
            self._warned = True
            direction = "ahead" if skew > 0 else "behind"
            text = "%s: its clock is %.1f s %s: times are taken from arrival; set the camera to a time server (NTP)"
            log.warning(text, self._camera, abs(skew), direction)

    def _back_off(self) -> None:
        """Wait after a failure, as the class describes."""
        self._failures += 1
        least, most = self._backoff
        if self._live_seconds:
            most = max(least, min(most, self._live_seconds))
        jitter = random.uniform(0.5, 1.0)
        until = monotonic() + min(most, least * 2 ** min(self._failures - 1, 30)) * jitter
        address = host_and_port(self._url)
        was_down, pause = False, PROBE_INTERVAL
        while (left := until - monotonic()) > 0 and not self._stopped.is_set():
            answers = address is not None and self._probe(*address)
            if answers and was_down:
                self._failures = 0
                return
            was_down = was_down or not answers
            self._stopped.wait(min(left, pause))
            pause = PROBE_INTERVAL if was_down else 2 * pause

    def _probe(self, host: str, port: int) -> bool:
        try:
            return run_until_stopped(lambda: probe_port(host, port), self._stopped, lambda _: None)
        except StoppedError:
            return False
