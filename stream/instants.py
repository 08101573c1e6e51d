"""Converts UTC times to whole microseconds since 1970, the unit of stored times and ids, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MicroSpan = tuple[int, int]
"""A half-open span of time in microseconds since 1970."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DISTANT_PAST = datetime(1, 1, 2, tzinfo=UTC)
"""Earlier than any stored time, but a day after the calendar begins, so that any time zone can show it."""
DISTANT_FUTURE = datetime(9999, 12, 30, tzinfo=UTC)
"""Later than any stored time; a day before the calendar ends."""


def to_micros(time: datetime) -> int:
    """Whole microseconds since 1970 of an aware time, without rounding."""
    return (time - EPOCH) // MICROSECOND


def from_micros(count: int) -> datetime:
    """The UTC time that ``to_micros`` counted. Raises OverflowError beyond the years 1 to 9999."""
    return EPOCH + count * MICROSECOND


def from_local(time: datetime) -> datetime:
    """Convert a time of this machine's zone, given without one, to UTC.

    Of a time that comes twice in autumn ``fold`` says which; one that is left out in spring is as much later. For that
    one ``datetime.astimezone`` answers an hour that is too early, since it subtracts the offset of afterwards.
    """
    return datetime.fromtimestamp(time.timestamp(), UTC)
