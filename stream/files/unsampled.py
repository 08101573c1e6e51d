"""Finds the stretches of a file that were not looked at: between samples that are too far apart, and without frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.keyframe_groups import INTERVAL_TOLERANCE

SHORTEST = 0.5
"""Seconds; a shorter stretch is not reported."""
MAX_FRAME_GAP = 10.0
"""Seconds from the end of a frame to the next one, beyond which nothing was recorded in between."""
NOT_DECODED = "frames could not be decoded"
NO_FRAMES = "no frames in the file"
NOT_READ = "damaged: frames could not be read"
HOLE_SHARE = 0.5
"""Share of what a file holds for so long on average, beyond which bytes without a frame held some."""
RECENT = 8
"""Packets for which a broken one is remembered: frames are reordered around what is missing."""


class Gap(NamedTuple):
    """A stretch that was not looked at, in seconds from the first frame, and why."""

    start: float
    end: float
    cause: str


@dataclass(slots=True)
class SamplingLog:
    """Compares the frames that a file has with those that were taken of it. Memory is that of one sampling interval.

    Attributes:
        every: seconds between samples; 0 takes every frame.
        continuous: the container is one of streams, in which a frame lasts until the next. In others a frame may be
            shown for long while nothing changes: that is no gap.
        gaps: what was not looked at so far.
    """

    every: float
    continuous: bool = False
    gaps: list[Gap] = field(default_factory=list)
    _holes: list[tuple[float, float]] = field(default_factory=list)  # silences in which frames were lost
    _stored: list[tuple[float, float]] = field(default_factory=list)  # frames after the newest sample: time, duration
    _sample: float | None = None
    _end: float = 0.0  # of the frame before those

    def store(self, time: float, duration: float) -> None:
        """Note a frame that the file has, in decoding order."""
        self._stored.append((time, duration))

    def note_hole(self, start: float, end: float) -> None:
        """Note that frames which could not be read were between two, in decoding order."""
        self._holes.append((start, end))

    def sample(self, time: float) -> None:
        """Note a frame that was taken; they come in order of time, after the frames before them were noted."""
        before = sorted(one for one in self._stored if one[0] <= time)
        self._stored = [one for one in self._stored if one[0] > time]
        self._look(before, time)
        self._sample = time

    def finish(self, duration: float) -> list[Gap]:
        """The gaps of the whole file, which should last ``duration`` seconds."""
        left, self._stored = sorted(self._stored), []
        self._look(left, duration, last=True)
        if self.continuous and duration - self._end > 2 * SHORTEST + self.every:
            self.gaps.append(Gap(self._end, duration, NO_FRAMES))
        return self.gaps

    def _look(self, stored: list[tuple[float, float]], until: float, last: bool = False) -> None:
        """Judge the stretch from the sample before to ``until``, of which the frames are given."""
        missed = longest_unsampled(self.every)
        since = 0.0 if self._sample is None else self._sample + max(self.every, SHORTEST / 2)
        skipped = [time for time, _ in stored if since <= time < until]
        reach = until - (0.0 if self._sample is None else self._sample)
        if skipped and reach > missed:
            end = max(time + length for time, length in stored) if last else until
            self.gaps.append(Gap(skipped[0], min(end, until), NOT_DECODED))
        ends = [(self._end, self._end), *((time, time + length) for time, length in stored)]
        for (_, end), (begin, _) in pairwise(ends):
            if self.continuous and begin - end > MAX_FRAME_GAP:
                self.gaps.append(Gap(end, begin, NO_FRAMES))
            elif begin - end > missed and any(first < begin and last > end for first, last in self._holes):
                self.gaps.append(Gap(end, begin, NOT_READ))
        self._end = max([self._end, *(time + length for time, length in stored)])


def longest_unsampled(every: float) -> float:
    """Seconds from a sample to the next one, beyond which what lies between them was not looked at."""
    return max(2 * float(INTERVAL_TOLERANCE) * every, SHORTEST)


class HoleFinder:
    """Notices where a file has no frames for a while because what is there cannot be read, not because nothing is.

    A demultiplexer that finds nonsense goes on behind it without an error. Frames were lost where the bytes between two
    of them would hold some, or where packets near it are marked as broken (a transport stream counts them).

    Args:
        log: is told.
        rate: bytes a second of the whole file.
    """

    def __init__(self, log: SamplingLog, rate: float) -> None:
        self._log, self._rate = log, rate
        self._end: float | None = None
        self._read = self._broken = 0

    def look(self, packet: Packet[VideoStream], time: float, duration: float) -> None:
        """Look at the next packet, in decoding order."""
        self._broken = RECENT if packet.is_corrupt else max(0, self._broken - 1)
        place = packet.pos if packet.pos is not None else -1
        if self._end is not None and (silence := time - self._end) > longest_unsampled(self._log.every):
            lost = place - self._read if self._read and place >= 0 else 0
            if self._broken or lost > HOLE_SHARE * self._rate * silence:
                self._log.note_hole(self._end, time)
        self._end = time + duration if self._end is None else max(self._end, time + duration)
        self._read = max(self._read, place + packet.size if place >= 0 else 0)
