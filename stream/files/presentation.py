"""Gives packets the presentation times that their container left out, from the order in which pictures are shown."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.picture_order import PictureOrder

CODECS_WITH_ORDER = frozenset({"h264", "hevc"})
"""Codecs that reorder pictures and whose order is read here. FFmpeg knows it of the older ones."""
MAX_REORDERED = 16  # pictures that may be stored before one that is shown earlier, in H.264 and HEVC


class Times(Enum):
    """What the presentation times of a container's packets are."""

    REAL = "real"
    PARTIAL = "partial"  # only some packets have one
    MISSING = "missing"  # they are copies of the decoding times


def lacks_presentation_times(container: str, head: Sequence[Packet[VideoStream]], order: PictureOrder) -> bool:
    """Whether the first packets of a file show that its presentation times are only copies of the decoding times.

    Args:
        container: FFmpeg's name of the format.
        head: the packets, in decoding order.
    """
    if container.startswith("avi"):
        return True
    times = [packet.pts for packet in head if packet.pts is not None]
    if len(times) < 2 or len(times) < len(head) or any(a >= b for a, b in pairwise(times)):
        return False  # they are in another order than the packets: so they are real
    counts, sequence = [], 0
    for packet in head:
        found = order.count(bytes(packet))
        sequence += found is None or found[0]
        counts.append((sequence, found[1] if found else 0))
    return any(a > b for a, b in pairwise(counts))


def fill_decoding_times(packets: Iterable[Packet[VideoStream]], step: int, lead: int) -> Iterator[Packet[VideoStream]]:
    """The same packets, each with a decoding time: a program stream has one for the first picture of several only.

    Args:
        step: ticks from picture to picture, where a packet does not say.
        lead: ticks from the decoding time of a keyframe to its presentation time, where only that is known.
    """
    last: int | None = None
    for packet in packets:
        if packet.dts is None:
            if last is not None:
                packet.dts = last + (packet.duration or step)
            elif packet.pts is not None:
                packet.dts = packet.pts - lead
        if packet.dts is not None:
            last = packet.dts
            yield packet


@dataclass(slots=True, order=True)
class _Waiting:
    """A packet whose presentation time is not known yet; ordered as pictures are shown."""

    sequence: int
    count: int
    number: int
    packet: Packet[VideoStream]
    time: int | None = None


class PresentationTimes:
    """Assigns presentation times: the pictures, in the order in which they are shown, take the decoding times in turn.

    Args:
        order: of the stream.
        times: what the packets have: where it is a part, only what is missing is assigned. Where it is nothing, all are
            assigned, and decoding times are moved so that none is later than its picture is shown.
    """

    def __init__(self, order: PictureOrder, times: Times) -> None:
        self._order, self._believed = order, times is Times.PARTIAL
        self._waiting: deque[_Waiting] = deque()  # in decoding order
        self._unshown: list[_Waiting] = []  # heap
        self._times: deque[int] = deque()  # decoding times that no picture has taken
        self._sequence = self._number = 0
        self._shift: int | None = None  # from a picture's turn to its presentation time, where times are believed
        self._lead: int | None = None  # by which decoding times are moved, where they are not
        self._given: int | None = None  # last decoding time that was given out

    def assign(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """The same packets in the same order, each with both times; all have decoding times before."""
        for packet in packets:
            self._add(packet)
            while len(self._unshown) > MAX_REORDERED or (self._unshown and self._unshown[0].sequence < self._sequence):
                self._show()
            yield from self._known()
        while self._unshown:
            self._show()
        yield from self._known()

    def _add(self, packet: Packet[VideoStream]) -> None:
        found = self._order.count(bytes(packet))
        self._sequence += found is None or found[0]
        self._number += 1
        assert packet.dts is not None
        entry = _Waiting(self._sequence, found[1] if found else 0, self._number, packet)
        if self._believed and packet.pts is not None:
            entry.time = packet.pts
        self._waiting.append(entry)
        self._times.append(packet.dts)
        heapq.heappush(self._unshown, entry)

    def _show(self) -> None:
        """Give the next picture that is shown the next time."""
        if not self._believed and self._lead is None:
            shown = {entry.number: turn for turn, entry in enumerate(sorted(self._unshown))}
            turns = [(i, shown[entry.number]) for i, entry in enumerate(self._waiting) if entry.number in shown]
            self._lead = max((self._times[i] - self._times[turn] for i, turn in turns), default=0)
        entry, time = heapq.heappop(self._unshown), self._times.popleft()
        if entry.time is None:
            entry.time = time + (self._shift or 0)
        elif self._believed:
            self._shift = entry.time - time

    def _known(self) -> Iterator[Packet[VideoStream]]:
        while self._waiting and self._waiting[0].time is not None:
            entry = self._waiting.popleft()
            packet, packet.pts = entry.packet, entry.time
            if not self._believed and packet.dts is not None and entry.time is not None:
                moved = min(packet.dts - (self._lead or 0), entry.time)
                packet.dts = self._given = moved if self._given is None else max(moved, self._given + 1)
            yield packet
