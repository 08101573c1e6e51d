"""Where a moment really begins and ends: two edges, each between a frame outside and a frame inside."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from footage.query.scoring.hysteresis import EDGE, reach
from footage.query.values.moment import Moment, Span
from footage.stream.frame import Media, Region

CLOSE = timedelta(seconds=0.2)
"""An edge between two frames no further apart than this is sharp."""
TICK = timedelta(microseconds=1)


class Shot(NamedTuple):
    """A frame that was scored: its probability is that of its best part."""

    time: datetime
    p: float
    region: Region | None
    media: str


@dataclass(slots=True)
class Edge:
    """A stretch of footage with a moment's edge in it.

    Attributes:
        outside, inside: times of a frame that does not match, and of one that does; either may be the earlier.
        region: part of the picture that is scored besides the whole.
        sharp: there is nothing more to find out.
    """

    outside: datetime
    inside: datetime
    region: Region | None
    sharp: bool = field(default=False)

    @property
    def span(self) -> Span:
        """The stretch, from the earlier time to the later."""
        return min(self.outside, self.inside), max(self.outside, self.inside)

    def narrow(self, shots: Sequence[Shot], level: float) -> None:
        """Learn from frames inside the stretch: the moment reaches as far as ``hysteresis.reach`` says."""
        outwards = sorted(shots, key=lambda shot: shot.time, reverse=self.outside < self.inside)
        times = [self.inside, *(shot.time for shot in outwards), self.outside]
        last = reach([1.0, *(shot.p for shot in outwards), 0.0], level, 0, +1)
        self.inside, self.outside = times[last], times[last + 1]
        self.sharp = not shots or abs(self.outside - self.inside) <= CLOSE


@dataclass(slots=True)
class Closer:
    """A moment on its way to sharper edges.

    Attributes:
        line: the chain of media that shows it.
        start, end: its edges; None where nothing has to be looked for.
        around: from the record before the best one to the record after it.
        unsure: times at which another media shows the camera too, so that no frame there can be named.
        left: frames that it may still cost.
        failed: its footage cannot be decoded.
    """

    moment: Moment
    line: list[Media]
    start: Edge | None
    end: Edge | None
    around: Span | None
    unsure: tuple[Span, ...]
    left: int
    failed: bool = False
    top: Shot | None = None

    @property
    def level(self) -> float:
        """The probability at its edges."""
        return EDGE * self.moment.score

    def edges(self) -> list[Edge]:
        """Those that are not sharp yet."""
        return [edge for edge in (self.start, self.end) if edge and not edge.sharp]

    def offer(self, shots: Sequence[Shot]) -> None:
        """One of these may be its best frame."""
        named = [s for s in shots if not any(a <= s.time <= b for a, b in self.unsure)]
        self.top = max([*([self.top] if self.top else []), *named], key=lambda shot: shot.p, default=None)

    def result(self) -> Moment:
        """The moment as it is now known."""
        old = self.moment
        if self.failed:
            return old
        start, end = self.start.inside if self.start else old.start, self.end.outside if self.end else old.end
        moment = replace(old, start=start, end=end)
        top = self.top
        if top and top.p > old.score and start <= top.time < end:
            clock = next(m.clock for m in self.line if m.id == top.media)
            moment = replace(moment, score=top.p, best=top.time, region=top.region, media=top.media, clock=clock)
        return moment


def start_edge(moment: Moment, shots: Sequence[Shot], line: Sequence[Media], floor: datetime | None) -> Edge | None:
    """The edge at a moment's start.

    Args:
        shots: the records around it, in order of time.
        line: the media that show it.
        floor: the moment must not begin before this.
    """
    at = bisect_left(shots, moment.start, key=lambda shot: shot.time)
    if at and shots[at - 1].p >= EDGE * moment.score:
        return None  # it goes on there: it was cut at the asked time, or another moment ends there
    earliest = max(line[0].start, floor or line[0].start) - TICK
    outside = max(shots[at - 1].time, earliest) if at else earliest
    region = shots[at].region if at < len(shots) else moment.region
    return Edge(outside, moment.start, region) if outside < moment.start - TICK else None


def end_edge(moment: Moment, shots: Sequence[Shot]) -> Edge | None:
    """The edge at a moment's end; the same arguments."""
    at = bisect_left(shots, moment.end, key=lambda shot: shot.time)
    if at < len(shots) and shots[at].time == moment.end and shots[at].p >= EDGE * moment.score:
        return None
    if not at or not moment.start <= shots[at - 1].time < moment.end:
        return None
    return Edge(moment.end, shots[at - 1].time, shots[at - 1].region)


def surroundings(moment: Moment, shots: Sequence[Shot]) -> Span | None:
    """From the record before the best one to the record after it, inside the moment."""
    at = bisect_left(shots, moment.best, key=lambda shot: shot.time)
    before = shots[at - 1].time if at else moment.best
    after = next((shot.time for shot in shots[at:] if shot.time > moment.best), moment.best)
    span = max(before, moment.start), min(after, moment.end)
    return span if span[0] < span[1] else None
