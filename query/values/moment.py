"""Defines the moment, the unit of every answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from footage.stream.frame import Clock, Region

TimeSpan = tuple[datetime, datetime]
"""Start and end in UTC, half-open."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time span of one camera that matches a question.

    Attributes:
        start, end: UTC; the last record counts until the next one, or until its footage ends.
        score: probability of a match at the best frame, 0..1.
        best: time of the best frame.
        region: the part of the best frame that matched, None for the whole frame.
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
