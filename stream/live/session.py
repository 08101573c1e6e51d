"""Processes one connection's packets: repairs time stamps, converts them to UTC, samples frames, feeds the sink."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from footage.stream.live.access_units import AccessUnitAssembler
from footage.stream.live.clock import LiveClock, is_new_timeline
from footage.stream.live.connection import Connection
from footage.stream.live.contracts import LivePacket, Sink
from footage.stream.live.nal import parameter_sets
from footage.stream.live.sampler import Sampler
from footage.stream.live.timestamps import TimelineBreakError, TimestampRepairer

HOLD_SECONDS = 0.5  # seconds of packets that are held back until it is known how late the first ones were
MAX_KEYFRAME_GAP = 60.0  # seconds without a keyframe after which a new connection is made
FPS_PACKETS = 50  # packets over which the frame rate is measured


class ReconnectError(Exception):
    """A new connection is needed; the message is the cause."""


class HardwareGivenUpError(ReconnectError):
    """A new connection is needed whose video the processor decodes."""


class LiveSession:
    """Processes the packets of one connection, from the first to the last. Used by the reader's thread.

    Attributes:
        last_time: UTC seconds of the latest time given, on this connection or before; of this timeline, if it began
            earlier than the one before it ended.
        live: whether packets are being given to the sink.
    """

    def __init__(
        self,
        connection: Connection,
        sink: Sink,
        every: float,
        side: int,
        last_time: float | None,
        update: Callable[..., Any],
    ) -> None:
        """Args:
        last_time: every time must be later than this.
        update: is called with changed attributes of ``ConnectionStatus``.
        """
        self._connection, self._sink, self._every, self._side, self._update = connection, sink, every, side, update
        self._codec = connection.video.codec_context.name
        self._parameter_sets: bytes | None = None
        self.last_time = last_time
        self.live = False
        self.packets = self.frames = self.dropped = 0
        self._restart()

    def _restart(self) -> None:
        self.live = False
        self._clock = LiveClock(self.last_time)
        self._repairers: dict[int, TimestampRepairer] = {}
        self._access_units = AccessUnitAssembler(self._codec)
        self._sampler = Sampler(self._connection.video, self._every, self._side)
        self._held: list[tuple[LivePacket, float]] = []
        self._last_keyframe: float | None = None  # arrival of the newest keyframe, or of the first packet
        self._timestamps: deque[float] = deque(maxlen=FPS_PACKETS)

    def add(self, packet: LivePacket, arrival: float) -> None:
        """Handle a packet that came at ``arrival`` (UTC seconds).

        Raises:
            ReconnectError: the stream has changed in a way that needs a new connection.
        """
        video = packet.stream is self._connection.video
        if packet.is_corrupt:
            self.dropped += 1
            return
        if video:
            self.packets += 1
            for whole in self._access_units.add(packet):
                self._check_stream(whole, arrival)
                self._add_to_timeline(whole, arrival, video)
        else:
            self._add_to_timeline(packet, arrival, video)

    def _add_to_timeline(self, packet: LivePacket, arrival: float, video: bool) -> None:
        try:
            ready = self._repair_timestamps(packet, arrival)
            if video and self._clock.jumped:
                raise TimelineBreakError("the clock jumped")
        except TimelineBreakError as jump:
            if video:
                self.close(str(jump))
                self._restart()
                ready = self._repair_timestamps(packet, arrival)
            else:
                self._repairers.pop(packet.stream.index)
                return
        for one in ready:
            self._receive(one, arrival, video)

    def set_clock(self, step: float) -> bool:
        """Begin a new timeline if the clock that arrivals are read from was set by so many seconds; returns whether.

        Times run back with it if it was set back far: else a camera would be ahead for hours. What was recorded by
        the clock that was wrong stays where it is.
        """
        if not is_new_timeline(step):
            return False
        self.close(f"the clock was set {'forward' if step > 0 else 'back'} by {abs(step):.0f} s")
        self._restart()
        return True

    def close(self, cause: str) -> None:
        """Tell the sink that the timeline has ended, if it was opened."""
        if self.live:
            self.live = False
            assert self.last_time is not None
            self._sink.closed(cause, to_utc(self.last_time))

    def _repair_timestamps(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        repairer = self._repairers.setdefault(packet.stream.index, TimestampRepairer(self._connection.has_timestamps))
        before = repairer.dropped
        try:
            return repairer.repair(packet, arrival)
        finally:
            self.dropped += repairer.dropped - before

    def _check_stream(self, packet: LivePacket, arrival: float) -> None:
        """Raise ReconnectError when the picture's size or coding has changed, or no keyframe comes."""
        if self._last_keyframe is None or packet.is_keyframe:
            self._last_keyframe = arrival
        elif arrival - self._last_keyframe > MAX_KEYFRAME_GAP:
            raise ReconnectError(f"no keyframe for {MAX_KEYFRAME_GAP:.0f} s")
        if not packet.is_keyframe:
            return
        found = parameter_sets(bytes(packet), self._codec)
        if found is not None:
            if self._parameter_sets not in (None, found):
                raise ReconnectError("stream changed")
            self._parameter_sets = found
        elif self.live and getattr(packet, "has_sidedata", lambda _: False)("new_extradata"):
            raise ReconnectError("stream changed")

    def _receive(self, packet: LivePacket, arrival: float, video: bool) -> None:
        if video:
            self._clock.observe(presentation_seconds(packet), arrival, self._connection.sender_time(packet))
        if self.live:
            self._deliver(packet, video)
            return
        if self._held or (video and packet.is_keyframe):  # a recording begins with a keyframe
            self._held.append((packet, arrival))
        self.release_held(arrival)

    def release_held(self, now: float) -> None:
        """Open the sink and deliver the packets that were held back, when they are old enough."""
        if self._held and now - self._held[0][1] >= HOLD_SECONDS:
            held, self._held = self._held, []
            self._open_sink(held[0][0])
            for waiting, _ in held:
                self._deliver(waiting, waiting.stream is self._connection.video)

    def _open_sink(self, first: LivePacket) -> None:
        start = self.last_time = self._clock.time(presentation_seconds(first))
        context = self._connection.video.codec_context
        self._update(codec=self._codec, width=context.width, height=context.height, clock=self._clock.clock)
        self._sink.opened(self._connection.video, self._connection.audio, to_utc(start), self._clock.clock)
        self.live = True

    def _deliver(self, packet: LivePacket, video: bool) -> None:
        time = self._clock.time(presentation_seconds(packet))
        key = video and packet.is_keyframe
        self._sink.packet(packet, to_utc(time), key)
        if not video:
            return
        self.last_time = max(time, self.last_time or time)
        self._timestamps.append(presentation_seconds(packet))
        last_frame = {}
        for image, taken in self._sampler.add(packet, time):  # type: ignore[arg-type]  # a video packet
            self.frames += 1
            last_frame = {"last_frame": to_utc(taken)}
            self._sink.frame(image, to_utc(taken))
        if self._sampler.size_changed:
            raise ReconnectError("stream changed")
        if self._sampler.hardware_failed:
            raise HardwareGivenUpError(
                "the hardware decoder gives no pictures of it: the processor decodes from now on"
            )
        self._update(
            last_packet=to_utc(self.last_time),
            gop=self._sampler.gop,
            keyframes_only=not self._sampler.decodes_all,
            clock=self._clock.clock,
            skew=self._clock.skew,
            rate=self._clock.rate,
            fps=self._fps(),
            **last_frame,
        )

    def _fps(self) -> float | None:
        span = max(self._timestamps) - min(self._timestamps)
        return (len(self._timestamps) - 1) / (span * self._clock.rate) if span > 0 else None


def presentation_seconds(packet: LivePacket) -> float:
    """Presentation time in seconds of the stream's own clock."""
    assert packet.pts is not None  # TimestampRepairer sets it
    return float(packet.pts * packet.time_base)


def to_utc(seconds: float) -> datetime:
    """Convert UTC seconds to a datetime."""
    return datetime.fromtimestamp(seconds, UTC)
