"""Groups packets by keyframe and decides which of them the decoder gets, so that no more is decoded than needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TypeAlias

from av.packet import Packet
from av.video.stream import VideoStream

INTERVAL_TOLERANCE = Fraction(11, 10)  # keyframes 1.05 s apart still count as "every second"

DecodeStep: TypeAlias = "tuple[Packet[VideoStream] | None, bool]"  # not subscriptable when it runs
"""A packet for the decoder, and whether its own frame is needed; None flushes the decoder."""

FLUSH: DecodeStep = (None, True)


class KeyframeGroup:
    """The packets since the latest keyframe, compressed, which wait until it is known whether they are needed.

    Attributes:
        waiting: packets that the decoder has not been given, with their presentation times, in decoding order.
        start: presentation time of the keyframe; None before the first one.
        decoding: the decoder holds the beginning of this group, or all of the group before it.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Packet[VideoStream], int]] = []
        self.start: int | None = None
        self.decoding = False
        self._continued = False  # the decoder was given all of the group before

    def begin(self, packet: Packet[VideoStream], time: int) -> None:
        """Start a new group at a keyframe; what still waits of the one before is dropped."""
        self._continued = self.decoding = self.decoding and not self.waiting
        self.waiting, self.start = [(packet, time)], time

    def add(self, packet: Packet[VideoStream], time: int) -> bool:
        """Append a packet; False when it refers to a group that the decoder has not seen, and must be left out."""
        if self.start is None or (time < self.start and not self._continued):
            return False
        self.waiting.append((packet, time))
        return True

    def release(self, needed: Sequence[bool]) -> Iterator[DecodeStep]:
        """Give the decoder everything that waits; ``needed`` says of each packet whether its own frame is needed."""
        released, self.waiting, self.decoding = self.waiting, [], True
        for (packet, _), wanted in zip(released, needed, strict=True):
            yield packet, wanted

    def end(self) -> Iterator[DecodeStep]:
        """Flush the decoder if it has been given a part of this group only."""
        if self.waiting and self.decoding:
            yield FLUSH
