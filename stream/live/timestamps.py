"""Repairs a live stream's time stamps: fills in missing ones, drops packets that run backwards, detects jumps."""

from __future__ import annotations

from footage.stream.live.contracts import LivePacket

MAX_JUMP = 5.0  # seconds; a longer step than the time that passed begins a new timeline
MAX_BACK = 1.0  # seconds; a longer step back is a clock that starts again, not packets in another order
MAX_MISSING_IN_ROW = 6  # packets in a row without any time stamp
MAX_BACKWARD_IN_ROW = 25  # packets in a row that do not advance
DEFAULT_INTERVAL = 0.04  # seconds between packets of unknown duration


class TimelineBreakError(Exception):
    """The stream's timeline ends here; the message is the cause."""


class TimestampRepairer:
    """Repairs the time stamps of one stream's packets, in place.

    Attributes:
        dropped: packets that were left out.
    """

    def __init__(self, has_timestamps: bool = True) -> None:
        """Args:
        has_timestamps: False for a stream whose time stamps are invented; its packets get their arrival times.
        """
        self.dropped = 0
        self._early: list[LivePacket] = []  # came before any time stamp
        self._last: int | None = None
        self._arrived = 0.0
        self._missing = self._backward = 0
        self._uses_arrival = not has_timestamps

    def repair(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        """Take a packet; returns the packets that can be used now, with PTS and rising DTS.

        Args:
            arrival: UTC in seconds.

        Raises:
            TimelineBreakError: this packet belongs to another timeline.
        """
        if self._uses_arrival:
            packet.dts = round(arrival / packet.time_base)
            packet.pts = packet.dts = packet.dts if self._last is None else max(packet.dts, self._last + 1)
        if packet.dts is None and packet.pts is None:
            return self._repair_missing(packet, arrival)
        self._missing = 0
        if packet.dts is None:
            assert packet.pts is not None
            packet.dts = packet.pts if self._last is None else max(packet.pts, self._last + 1)
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        if not self._advances(packet, packet.dts, arrival):
            return []
        early = self._assign_early(packet, packet.dts)
        self._last, self._arrived, self._backward = packet.dts, arrival, 0
        return [*early, packet]

    def _repair_missing(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        """Handle a packet without any time stamp: the first ones get theirs when the next one is known."""
        self._missing += 1
        if self._last is None:
            self._early.append(packet)
            if self._missing <= MAX_MISSING_IN_ROW:
                return []
            self._uses_arrival = True  # this stream never has any, as MJPEG over HTTP
            last = self._early.pop()
            return self.repair(last, arrival)
        self.dropped += 1
        if self._missing > MAX_MISSING_IN_ROW:
            raise TimelineBreakError("time stamps are missing")
        return []

    def _advances(self, packet: LivePacket, dts: int, arrival: float) -> bool:
        if self._last is None:
            return True
        step = float((dts - self._last) * packet.time_base)
        if step < -MAX_BACK or step - max(0.0, arrival - self._arrived) > MAX_JUMP:
            raise TimelineBreakError(f"time stamps jumped by {step:.0f} s")
        if step > 0:
            return True
        self.dropped += 1
        self._backward += 1
        if self._backward > MAX_BACKWARD_IN_ROW:
            raise TimelineBreakError("time stamps do not advance")
        return False

    def _assign_early(self, packet: LivePacket, dts: int) -> list[LivePacket]:
        early, self._early = self._early, []
        interval = packet.duration or round(DEFAULT_INTERVAL / packet.time_base) or 1
        for back, waiting in enumerate(reversed(early), 1):
            waiting.pts = waiting.dts = dts - back * interval
        return early
