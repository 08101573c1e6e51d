"""UTC times as whole microseconds since 1970, which is how every store keeps them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from footage.indexer.store.base import StoreError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def micros(time: datetime) -> int:
    """Microseconds since 1970 of an aware time, without rounding."""
    if time.tzinfo is None:
        raise StoreError(f"the time {time.isoformat()} has no time zone; give it in UTC")
    return (time - EPOCH) // MICROSECOND


def moment(micros: int) -> datetime:
    """The UTC time that ``micros`` stands for."""
    return EPOCH + micros * MICROSECOND


def spans(given: Iterable[tuple[datetime, datetime]]) -> list[tuple[int, int]]:
    """Intervals in microseconds, in order of start, with those that touch joined."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted((micros(start), micros(end)) for start, end in given):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
