"""A moment, the unit of every answer, and spans of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from footage.stream.frame import Clock, Region

Span = tuple[datetime, datetime]
"""Half-open, UTC."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The answer: one camera, from when to when, how sure, and the best frame.

    Attributes:
        start, end: UTC; a record stands until the next one, or until its footage ends.
        score: probability of a match at the best frame, 0..1.
        best: time of the best frame.
        region: the part of the best frame that matched, None for the whole.
        media: id of the media that holds the best frame.
        clock: where that media's times came from.
    """

    camera: str
    start: datetime
    end: datetime
    score: float
    best: datetime
    region: Region | None
    media: str
    clock: Clock


def merge(spans: Sequence[Span]) -> list[Span]:
    """Overlapping or touching spans joined, in order."""
    joined: list[Span] = []
    for a, b in sorted(spans):
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(b, joined[-1][1]))
        else:
            joined.append((a, b))
    return joined
