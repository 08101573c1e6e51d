"""Replaces a span of time within a camera's sorted, non-overlapping coverage spans."""

from __future__ import annotations

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
