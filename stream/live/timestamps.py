"""Time stamps of one live stream put in order: gaps filled, what runs backwards left out, jumps noticed."""

from __future__ import annotations

from footage.stream.live.contracts import LivePacket

JUMP = 5.0  # seconds; a longer step than the time that passed begins a new timeline
MISSING = 6  # packets in a row without any time stamp
BACKWARD = 25  # packets in a row that do not advance
INTERVAL = 0.04  # seconds between packets where nobody says


class JumpedError(Exception):
    """The stream's timeline ends here; the message is the cause."""


class Order:
    """Repairs the time stamps of one stream's packets, in place.

    Attributes:
        dropped: packets that were left out.
    """

    def __init__(self, stamped: bool = True) -> None:
        """Args:
        stamped: False for a stream whose time stamps are made up; its packets' are their arrival.
        """
        self.dropped = 0
        self._early: list[LivePacket] = []  # came before any time stamp
        self._last: int | None = None
        self._arrived = 0.0
        self._missing = self._backward = 0
        self._unstamped = not stamped

    def take(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        """The packets that can be used now, with PTS and rising DTS.

        Args:
            arrival: UTC in seconds.

        Raises:
            JumpedError: this packet belongs to another timeline.
        """
        if self._unstamped:
            packet.dts = round(arrival / packet.time_base)
            packet.pts = packet.dts = packet.dts if self._last is None else max(packet.dts, self._last + 1)
        if packet.dts is None and packet.pts is None:
            return self._without(packet, arrival)
        self._missing = 0
        if packet.dts is None:
            assert packet.pts is not None
            packet.dts = packet.pts if self._last is None else max(packet.pts, self._last + 1)
        packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        if not self._advances(packet, packet.dts, arrival):
            return []
        early = self._date_early(packet, packet.dts)
        self._last, self._arrived, self._backward = packet.dts, arrival, 0
        return [*early, packet]

    def _without(self, packet: LivePacket, arrival: float) -> list[LivePacket]:
        """A packet without any time stamp: the first ones are dated when the next one is known."""
        self._missing += 1
        if self._last is None:
            self._early.append(packet)
            if self._missing <= MISSING:
                return []
            self._unstamped = True  # a stream that never has them, such as MJPEG over HTTP
            last = self._early.pop()
            return self.take(last, arrival)
        self.dropped += 1
        if self._missing > MISSING:
            raise JumpedError("time stamps are missing")
        return []

    def _advances(self, packet: LivePacket, dts: int, arrival: float) -> bool:
        if self._last is None:
            return True
        step = float((dts - self._last) * packet.time_base)
        if step < -JUMP or step - max(0.0, arrival - self._arrived) > JUMP:
            raise JumpedError(f"time stamps jumped by {step:.0f} s")
        if step > 0:
            return True
        self.dropped += 1
        self._backward += 1
        if self._backward > BACKWARD:
            raise JumpedError("time stamps do not advance")
        return False

    def _date_early(self, packet: LivePacket, dts: int) -> list[LivePacket]:
        early, self._early = self._early, []
        interval = packet.duration or round(INTERVAL / packet.time_base) or 1
        for back, waiting in enumerate(reversed(early), 1):
            waiting.pts = waiting.dts = dts - back * interval
        return early
