"""One reconnecting reader a camera."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from time import monotonic, time
from typing import Any

from footage.stream.live.clock import SANE
from footage.stream.live.connection import SLICE, Feed, LostError, StoppedError, aside, connect, is_rtsp
from footage.stream.live.contracts import LiveState, Sink, Status
from footage.stream.live.read_ahead import Pump
from footage.stream.live.session import EndedError, Session
from footage.stream.live.url import door, knock, redacted

log = logging.getLogger(__name__)

ATTENTION = 1.0  # seconds between knocks at a camera that does not answer
UNSTEADY = SLICE  # seconds without a picture after which the state says so

Connect = Callable[[str, str, dict[str, str], Event], Feed]


class Reader:
    """Keeps one camera's stream coming, whatever the camera and the network do.

    Threads: ``start`` makes one thread, which connects, reads, decodes and calls the sink. It alone touches the
    connection and the sink. ``stop`` and ``snapshot`` may be called from any thread. Opening a connection and
    knocking at the camera's port happen in a short-lived thread, because they cannot be interrupted; it is left
    behind when the reader stops meanwhile, and touches nothing of the reader. What is not RTSP has one more thread,
    which reads ahead (``Pump``).

    Failures: after each the reader waits, from the first to the second number of ``backoff``, doubling, with jitter;
    after a connection that was live for ``healthy`` seconds it begins with the first again, and it never waits longer
    than the last connection was live. While it waits it knocks at the camera's TCP port, each second while nobody
    answers; where nothing listened and now something does, the camera is back: the wait ends and the doubling
    begins anew. So a camera is live within seconds of its return even after a night, and one that answers but
    refuses (a wrong password, a wrong path) is asked once a minute.
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
    ) -> None:
        """Args:
        camera: its name, for the log.
        url: rtsp://, rtsps://, rtmp://, http(s)://, a webcam's number or its device file.
        every: seconds between sampled frames; 0 takes all.
        side: length in pixels of their shorter side.
        transport: of RTSP: "tcp" or "udp".
        stall: seconds without a picture after which the connection is made anew.
        backoff: least and most seconds to wait after a failure.
        healthy: seconds of pictures after which a failure counts as the first one.
        options: more options for FFmpeg.
        after: every time given is later than this.
        connect: opens the source.
        """
        self._camera, self._url, self._sink = camera, url, sink
        self._every, self._side, self._stall = every, side, stall
        self._backoff, self._healthy = backoff, healthy
        self._transport, self._options, self._connect = transport, options or {}, connect
        self._last = after.timestamp() if after else None
        self._stopped = Event()
        self._lock = Lock()
        shown = transport if is_rtsp(url) else url.partition("://")[0]
        self._status = Status(LiveState.STOPPED, datetime.now(UTC), shown)
        self._failures = 0
        self._lived = 0.0  # seconds for which the last connection was live
        self._warned = False
        self._thread = Thread(target=self._run, name=f"camera {camera}", daemon=True)

    def start(self) -> None:
        """Begin; a reader runs once."""
        self._update(state=LiveState.CONNECTING)
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> bool:
        """End; the sink is told that the stream is closed. True when the thread has ended within ``timeout`` s."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def snapshot(self) -> Status:
        """How it is now; any thread may ask."""
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
            self._update(state=LiveState.CONNECTING)
            try:
                cause = self._watch()
            except StoppedError:
                break
            except Exception as error:  # a fault of ours or of the sink must not end a camera's watching silently
                log.exception("%s: fault while reading", self._camera)
                cause = f"internal error ({type(error).__name__}); see the log"
            if self._stopped.is_set():
                break
            log.warning("%s: %s: %s", self._camera, redacted(self._url), cause)
            self._update(state=LiveState.BACKING_OFF, error=cause)
            self._wait()
        self._update(state=LiveState.STOPPED)

    def _watch(self) -> str:
        """Connect and read until that ends; returns why."""
        try:
            feed = self._connect(self._url, self._transport, self._options, self._stopped)
            feed = feed if is_rtsp(self._url) else Pump(feed, SLICE)
        except LostError as error:
            self._lived = 0.0
            return str(error)
        began = monotonic()
        session = Session(feed, self._sink, self._every, self._side, self._last, self._update)
        cause = "internal error"
        try:
            cause = self._read(feed, session, max(self._stall, feed.patience))
        finally:
            self._last = session.last
            try:
                session.end(cause)
            finally:
                feed.close()
                self._lived = monotonic() - began if session.packets else 0.0
        if self._lived >= self._healthy:
            self._failures = 0
        return cause

    def _read(self, feed: Feed, session: Session, stall: float) -> str:
        heard = monotonic()
        counted = self.snapshot()
        while not self._stopped.is_set():
            try:
                packet = feed.read()
                if packet is None:
                    session.settle(time())
                else:
                    session.take(packet, time())
            except LostError as error:
                return f"connection lost: the camera {error}"
            except EndedError as error:
                return str(error)
            if packet is not None and packet.stream is feed.video:
                heard = monotonic()
            self._show(session, counted, monotonic() - heard)
            if monotonic() - heard >= stall:
                return f"no picture for {stall:g} s"
        return "stopped"

    def _show(self, session: Session, before: Status, silent: float) -> None:
        state = self._status.state
        if silent >= UNSTEADY:
            state = LiveState.STALLED
        elif session.live and state is not LiveState.LIVE:
            state = LiveState.LIVE
            if self._status.connects == before.connects:
                self._update(connects=before.connects + 1, reconnects=before.connects, error="")
        self._update(
            state=state,
            packets=before.packets + session.packets,
            frames=before.frames + session.frames,
            dropped=before.dropped + session.dropped,
        )
        self._warn()

    def _warn(self) -> None:
        skew = self._status.skew
        if skew is not None and abs(skew) > SANE and not self._warned:
            self._warned = True
            direction = "ahead" if skew > 0 else "behind"
            text = "%s: its clock is %.1f s %s: times are taken from arrival; set the camera to a time server (NTP)"
            log.warning(text, self._camera, abs(skew), direction)

    def _wait(self) -> None:
        """Back off; see the class."""
        self._failures += 1
        least, most = self._backoff
        if self._lived:
            most = max(least, min(most, self._lived))
        until = monotonic() + min(most, least * 2 ** min(self._failures - 1, 30)) * random.uniform(0.5, 1.0)
        where = door(self._url)
        away, pause = False, ATTENTION
        while (left := until - monotonic()) > 0 and not self._stopped.is_set():
            answers = where is not None and self._knock(*where)
            if answers and away:
                self._failures = 0
                return
            away = away or not answers
            self._stopped.wait(min(left, pause))
            pause = ATTENTION if away else 2 * pause

    def _knock(self, host: str, port: int) -> bool:
        try:
            return aside(lambda: knock(host, port), self._stopped, lambda _: None)
        except StoppedError:
            return False
