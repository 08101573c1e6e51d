"""Brackets the boundaries of moments: each lies between a frame outside and a frame inside, and is narrowed down."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from footage.query.scoring.hysteresis import edge_level, find_edge
from footage.query.values.moment import Moment, TimeSpan
from footage.stream.frame import Media, Region
from footage.stream.instants import MICROSECOND

SHARP = timedelta(seconds=0.2)
"""A boundary between two frames at most this far apart is sharp."""


class FrameScore(NamedTuple):
    """A frame with the probability of its best record; ``media`` is the id of its media."""

    time: datetime
    p: float
    region: Region | None
    media: str


@dataclass(slots=True)
class BoundaryBracket:
    """A stretch of footage that contains a moment's boundary.

    Attributes:
        outside, inside: times of a frame that does not match, and of one that does; either may be the earlier.
        region: part of the frame that is scored besides the whole.
        sharp: the boundary cannot be narrowed further.
    """

    outside: datetime
    inside: datetime
    region: Region | None
    sharp: bool = field(default=False)

    @property
    def span(self) -> TimeSpan:
        """The stretch, from the earlier time to the later."""
        return min(self.outside, self.inside), max(self.outside, self.inside)

    def narrow(self, frames: Sequence[FrameScore], level: float) -> None:
        """Narrow the bracket with frames inside it: the moment extends as far as ``find_edge`` says."""
        outwards = sorted(frames, key=lambda frame: frame.time, reverse=self.outside < self.inside)
        times = [self.inside, *(frame.time for frame in outwards), self.outside]
        last = find_edge([1.0, *(frame.p for frame in outwards), 0.0], level, 0, +1)
        self.inside, self.outside = times[last], times[last + 1]
        self.sharp = not frames or abs(self.outside - self.inside) <= SHARP


@dataclass(slots=True)
class Refinement:
    """A moment whose boundaries are being refined.

    Attributes:
        chain: the media that show it.
        start, end: brackets of its boundaries; None where nothing has to be refined.
        around_best: from the record before the best one to the record after it.
        ambiguous: spans in which another media shows the camera too, so that a time does not identify a frame.
        frames_left: number of frames that may still be decoded for it.
        failed: its footage cannot be decoded.
    """

    moment: Moment
    chain: list[Media]
    start: BoundaryBracket | None
    end: BoundaryBracket | None
    around_best: TimeSpan | None
    ambiguous: tuple[TimeSpan, ...]
    frames_left: int
    failed: bool = False
    best: FrameScore | None = None

    @property
    def level(self) -> float:
        """The probability at its boundaries."""
        return edge_level(self.moment.score)

    def open_brackets(self) -> list[BoundaryBracket]:
        """Return the brackets that are not sharp yet."""
        return [bracket for bracket in (self.start, self.end) if bracket and not bracket.sharp]

    def update_best(self, frames: Sequence[FrameScore]) -> None:
        """Keep the best of these frames if it beats the best one so far."""
        unambiguous = [f for f in frames if not any(a <= f.time <= b for a, b in self.ambiguous)]
        so_far = [self.best] if self.best else []
        self.best = max([*so_far, *unambiguous], key=lambda frame: frame.p, default=None)

    def result(self) -> Moment:
        """Return the moment with the boundaries and best frame found so far."""
        old = self.moment
        if self.failed:
            return old
        start, end = self.start.inside if self.start else old.start, self.end.outside if self.end else old.end
        moment = replace(old, start=start, end=end)
        best = self.best
        if best and best.p > old.score and start <= best.time < end:
            clock = next(m.clock for m in self.chain if m.id == best.media)
            moment = replace(moment, score=best.p, best=best.time, region=best.region, media=best.media, clock=clock)
        return moment


def bracket_start(
    moment: Moment, frames: Sequence[FrameScore], chain: Sequence[Media], earliest_allowed: datetime | None
) -> BoundaryBracket | None:
    """Return the bracket of a moment's start; None if there is nothing to refine.

    Args:
        frames: the records around the moment, in order of time.
        chain: the media that show it.
        earliest_allowed: the moment must not begin before this.
    """
    at = bisect_left(frames, moment.start, key=lambda frame: frame.time)
    if at and frames[at - 1].p >= edge_level(moment.score):
        return None  # the match continues: it was cut at the end of the requested time, or another moment ends there
    earliest = max(chain[0].start, earliest_allowed or chain[0].start) - MICROSECOND
    outside = max(frames[at - 1].time, earliest) if at else earliest
    region = frames[at].region if at < len(frames) else moment.region
    return BoundaryBracket(outside, moment.start, region) if outside < moment.start - MICROSECOND else None


def bracket_end(moment: Moment, frames: Sequence[FrameScore]) -> BoundaryBracket | None:
    """Return the bracket of a moment's end; arguments as ``bracket_start``."""
    at = bisect_left(frames, moment.end, key=lambda frame: frame.time)
    if at < len(frames) and frames[at].time == moment.end and frames[at].p >= edge_level(moment.score):
        return None
    if not at or not moment.start <= frames[at - 1].time < moment.end:
        return None
    return BoundaryBracket(moment.end, frames[at - 1].time, frames[at - 1].region)


def span_around_best(moment: Moment, frames: Sequence[FrameScore]) -> TimeSpan | None:
    """Return the span from the record before the best one to the record after it, inside the moment."""
    at = bisect_left(frames, moment.best, key=lambda frame: frame.time)
    before = frames[at - 1].time if at else moment.best
    after = next((frame.time for frame in frames[at:] if frame.time > moment.best), moment.best)
    span = max(before, moment.start), min(after, moment.end)
    return span if span[0] < span[1] else None
