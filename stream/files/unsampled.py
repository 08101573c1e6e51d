"""Finds the stretches of a file that were not looked at: between samples that are too far apart, and without frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from footage.stream.files.keyframe_groups import INTERVAL_TOLERANCE

SHORTEST = 0.5
"""Seconds; a shorter stretch is not reported."""
MAX_FRAME_GAP = 10.0
"""Seconds from the end of a frame to the next one, beyond which nothing was recorded in between."""
NOT_DECODED = "frames could not be decoded"
NO_FRAMES = "no frames in the file"


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
    _stored: list[tuple[float, float]] = field(default_factory=list)  # frames after the newest sample: time, duration
    _sample: float | None = None
    _end: float = 0.0  # of the frame before those

    def store(self, time: float, duration: float) -> None:
        """Note a frame that the file has, in decoding order."""
        self._stored.append((time, duration))

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
        missed = max(2 * float(INTERVAL_TOLERANCE) * self.every, SHORTEST)
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
        self._end = max([self._end, *(time + length for time, length in stored)])
