"""One connection's packets: put in order, timed, sampled and handed on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from footage.stream.live.access_units import Pieces
from footage.stream.live.clock import LiveClock
from footage.stream.live.connection import Feed
from footage.stream.live.contracts import LivePacket, Sink
from footage.stream.live.nal import sequence
from footage.stream.live.sampler import Sampler
from footage.stream.live.timestamps import JumpedError, Order

SETTLE = 0.5  # seconds of packets that are held back until it is known how late the first ones were
KEYLESS = 60.0  # seconds without a keyframe after which the camera is asked again
RATE_OVER = 50  # packets over which the frame rate is measured


class EndedError(Exception):
    """The connection must be made anew; the message is the cause."""


class Session:
    """From one connection's first packet to its end. Used by the reader's thread.

    Attributes:
        last: UTC seconds of the latest time given, on this connection or before.
        live: packets are being handed on.
    """

    def __init__(
        self, feed: Feed, sink: Sink, every: float, side: int, last: float | None, update: Callable[..., Any]
    ) -> None:
        """Args:
        last: every time must be later than this.
        update: takes changed attributes of ``Status``.
        """
        self._feed, self._sink, self._every, self._side, self._update = feed, sink, every, side, update
        self._codec = feed.video.codec_context.name
        self._sequence: bytes | None = None
        self.last = last
        self.live = False
        self.packets = self.frames = self.dropped = 0
        self._restart()

    def _restart(self) -> None:
        self.live = False
        self._clock = LiveClock(self.last)
        self._orders: dict[int, Order] = {}
        self._pieces = Pieces(self._codec)
        self._sampler = Sampler(self._feed.video, self._every, self._side)
        self._held: list[tuple[LivePacket, float]] = []
        self._keyed: float | None = None  # arrival of the newest keyframe, or of the first packet
        self._stamps: deque[float] = deque(maxlen=RATE_OVER)

    def take(self, packet: LivePacket, arrival: float) -> None:
        """Handle a packet that came at ``arrival`` (UTC seconds).

        Raises:
            EndedError: the stream has changed in a way that needs a new connection.
        """
        video = packet.stream is self._feed.video
        if packet.is_corrupt:
            self.dropped += 1
            return
        if video:
            self.packets += 1
            for whole in self._pieces.take(packet):
                self._check(whole, arrival)
                self._take(whole, arrival, video)
        else:
            self._take(packet, arrival, video)

    def _take(self, packet: LivePacket, arrival: float, video: bool) -> None:
        try:
            ready = self._order(packet, arrival)
            if video and self._clock.jumped:
                raise JumpedError("the clock jumped")
        except JumpedError as jump:
            if video:
                self.end(str(jump))
                self._restart()
                ready = self._order(packet, arrival)
            else:
                self._orders.pop(packet.stream.index)
                return
        for one in ready:
            self._arrived(one, arrival, video)

    def end(self, cause: str) -> None:
        """Tell the sink that it has ended, if it knew of it."""
        if self.live:
            self.live = False
            assert self.last is not None
            self._sink.closed(cause, utc(self.last))

    def _order(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        order = self._orders.setdefault(packet.stream.index, Order(self._feed.stamped))
        before = order.dropped
        try:
            return order.take(packet, arrival)
        finally:
            self.dropped += order.dropped - before

    def _check(self, packet: LivePacket, arrival: float) -> None:
        """Raise when the picture's size or coding has changed, or no keyframe comes."""
        if self._keyed is None or packet.is_keyframe:
            self._keyed = arrival
        elif arrival - self._keyed > KEYLESS:
            raise EndedError(f"no keyframe for {KEYLESS:.0f} s")
        if not packet.is_keyframe:
            return
        found = sequence(bytes(packet), self._codec)
        if found is not None:
            if self._sequence not in (None, found):
                raise EndedError("stream changed")
            self._sequence = found
        elif self.live and getattr(packet, "has_sidedata", lambda _: False)("new_extradata"):
            raise EndedError("stream changed")

    def _arrived(self, packet: LivePacket, arrival: float, video: bool) -> None:
        if video:
            self._clock.observe(stamp(packet), arrival, self._feed.sender(packet))
        if self.live:
            self._pass_on(packet, video)
            return
        if self._held or (video and packet.is_keyframe):  # a recording begins with a keyframe
            self._held.append((packet, arrival))
        self.settle(arrival)

    def settle(self, now: float) -> None:
        """Hand on what is held back, when it is time."""
        if self._held and now - self._held[0][1] >= SETTLE:
            held, self._held = self._held, []
            self._open(held[0][0])
            for waiting, _ in held:
                self._pass_on(waiting, waiting.stream is self._feed.video)

    def _open(self, first: LivePacket) -> None:
        start = self.last = self._clock.time(stamp(first))
        context = self._feed.video.codec_context
        self._update(codec=self._codec, width=context.width, height=context.height, clock=self._clock.clock)
        self._sink.opened(self._feed.video, self._feed.audio, utc(start), self._clock.clock)
        self.live = True

    def _pass_on(self, packet: LivePacket, video: bool) -> None:
        time = self._clock.time(stamp(packet))
        key = video and packet.is_keyframe
        self._sink.packet(packet, utc(time), key)
        if not video:
            return
        self.last = max(time, self.last or time)
        self._stamps.append(stamp(packet))
        last_frame = {}
        for image, taken in self._sampler.feed(packet, time):  # type: ignore[arg-type]  # a video packet
            self.frames += 1
            last_frame = {"last_frame": utc(taken)}
            self._sink.frame(image, utc(taken))
        if self._sampler.changed:
            raise EndedError("stream changed")
        self._update(
            last_packet=utc(self.last),
            gop=self._sampler.gop,
            keyframes_only=not self._sampler.whole,
            clock=self._clock.clock,
            skew=self._clock.skew,
            rate=self._clock.rate,
            fps=self._fps(),
            **last_frame,
        )

    def _fps(self) -> float | None:
        span = max(self._stamps) - min(self._stamps)
        return (len(self._stamps) - 1) / (span * self._clock.rate) if span > 0 else None


def stamp(packet: LivePacket) -> float:
    """Presentation time in seconds of the stream's own clock."""
    assert packet.pts is not None  # Order gives none without
    return float(packet.pts * packet.time_base)


def utc(seconds: float) -> datetime:
    """A time as the rest of the program has it."""
    return datetime.fromtimestamp(seconds, UTC)
