"""Spans of one camera's time that do not overlap, and how a new one takes its place among them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """A half-open interval in microseconds since 1970, with what is known of it."""

    since: int
    until: int
    state: str
    cause: str


def carve(spans: Iterable[Span], new: Span, *, keep: bool) -> list[Span]:
    """Cut the time of ``new`` out of ``spans`` and, with ``keep``, put ``new`` there; equal neighbours are joined."""
    pieces = [new] if keep else []
    for span in spans:
        pieces.append(span._replace(until=min(span.until, new.since)))
        pieces.append(span._replace(since=max(span.since, new.until)))
    joined: list[Span] = []
    for piece in sorted(piece for piece in pieces if piece.since < piece.until):
        last = joined[-1] if joined else None
        if last and last.until == piece.since and last[2:] == piece[2:]:
            joined[-1] = last._replace(until=piece.until)
        else:
            joined.append(piece)
    return joined
