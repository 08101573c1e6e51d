"""Converts times to whole microseconds since 1970, the unit of every store, and refuses times without a zone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from footage.indexer.store.errors import StoreError
from footage.stream.instants import to_micros
from footage.stream.spans import merge


def micros(time: datetime) -> int:
    """Return the microseconds since 1970 of an aware time; raise StoreError for a naive one."""
    if time.tzinfo is None:
        raise StoreError(f"the time {time.isoformat()} has no time zone; give it in UTC")
    return to_micros(time)


def merged_micros(intervals: Iterable[tuple[datetime, datetime]]) -> list[tuple[int, int]]:
    """Return the intervals in microseconds by start, with overlapping or touching ones joined."""
    return merge((micros(start), micros(end)) for start, end in intervals)
