"""Knows which spans of time were dated by a clock that was set afterwards, so that footage keeps its true age."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.spans import merge

MAX_SPANS = 64
"""Spans that are kept, the newest: clocks are set seldom."""


@dataclass(frozen=True, slots=True)
class WrongSpan:
    """What a clock showed from ``start`` to ``end``, both included, before it was set.

    Attributes:
        offset: what has to be added to come to the clock of now; None while that is not known.
    """

    start: datetime
    end: datetime
    offset: timedelta | None


class WrongTimes:
    """The spans, and what follows from them for the age of what was recorded in them.

    Which of two clocks was right is not known. So footage is as young as either says: what a clock that was set back
    dated is not made older, and a setting that is taken back leaves nothing.

    Args:
        spans: as they were kept.
    """

    def __init__(self, spans: Iterable[WrongSpan] = ()) -> None:
        self.spans: Sequence[WrongSpan] = tuple(spans)

    def latest(self, start: datetime, end: datetime) -> datetime:
        """The latest time by the clock of now at which what is dated ``start`` to ``end`` can have ended."""
        found = end
        for span in self.spans:
            if span.start <= end and span.end >= start:
                if span.offset is None:
                    return DISTANT_FUTURE
                found = max(found, min(end, span.end) + span.offset)
        return found

    def expired_before(self, before: datetime) -> list[tuple[datetime, datetime]]:
        """The half-open spans, as they are dated, of what ended before ``before`` by the clock of now."""
        if before <= EPOCH:
            return []
        edges = sorted({EPOCH, before, *(t for s in self.spans for t in (s.start, s.end) if EPOCH < t < before)})
        found = []
        for start, end in pairwise(edges):
            offsets = [span.offset for span in self.spans if span.start <= start and span.end >= end]
            if None not in offsets:
                until = min(end, before - max([timedelta(), *(offset for offset in offsets if offset)]))
                if until > start:
                    found.append((start, until))
        return merge(found)

    def set_by(self, step: timedelta, start: datetime, end: datetime) -> None:
        """The clock, which has shown ``start`` to ``end``, was set by ``step``."""
        moved = [WrongSpan(s.start, s.end, s.offset + step if s.offset is not None else None) for s in self.spans]
        self._keep([*moved, WrongSpan(start, end, step)])

    def open(self, start: datetime, end: datetime) -> None:
        """A clock that was behind has shown ``start`` to ``end``; by how much is not known, nor of what was before."""
        unknown = [WrongSpan(s.start, s.end, None) if s.offset and s.offset > timedelta() else s for s in self.spans]
        self._keep([*unknown, WrongSpan(start, end, None)])

    def close(self, now: datetime) -> None:
        """The clock shows ``now`` and is not behind: all that was recorded, was before."""
        self._keep(s if s.offset is not None else WrongSpan(s.start, s.end, now - s.end) for s in self.spans)

    @property
    def is_open(self) -> bool:
        """Whether by how much a clock was behind is not known of some span."""
        return any(span.offset is None for span in self.spans)

    def _keep(self, spans: Iterable[WrongSpan]) -> None:
        self.spans = tuple(s for s in spans if s.offset is None or abs(s.offset) > timedelta(minutes=1))[-MAX_SPANS:]
