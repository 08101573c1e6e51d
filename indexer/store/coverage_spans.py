"""Replaces a span of time within a camera's sorted, non-overlapping coverage spans, and replays many notes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import NamedTuple


class CoverageSpan(NamedTuple):
    """A half-open interval in microseconds since 1970, with its coverage state and cause."""

    since: int
    until: int
    state: str
    cause: str


def replace_span(spans: Iterable[CoverageSpan], new: CoverageSpan, *, keep: bool) -> list[CoverageSpan]:
    """Cut the time of ``new`` out of ``spans`` and, with ``keep``, insert ``new``; equal neighbors are joined."""
    pieces = [new] if keep else []
    for span in spans:
        pieces.append(span._replace(until=min(span.until, new.since)))
        pieces.append(span._replace(since=max(span.since, new.until)))
    joined: list[CoverageSpan] = []
    for piece in sorted(piece for piece in pieces if piece.since < piece.until):
        last = joined[-1] if joined else None
        if last and last.until == piece.since and last[2:] == piece[2:]:
            joined[-1] = last._replace(until=piece.until)
        else:
            joined.append(piece)
    return joined


def replay(notes: Iterable[CoverageSpan]) -> list[CoverageSpan]:
    """Return the spans that are left, by time, when each note overwrites what earlier ones said of its time.

    Notes that come in order of time, as most do, cost little: only the spans that one touches are replaced.
    """
    spans: list[CoverageSpan] = []
    for note in notes:
        if note.since >= note.until:
            continue
        first = bisect_left(spans, note.since, key=lambda span: span.until)
        last = bisect_right(spans, note.until, lo=first, key=lambda span: span.since)
        spans[first:last] = replace_span(spans[first:last], note, keep=True)
    return spans
