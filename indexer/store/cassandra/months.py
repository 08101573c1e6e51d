"""Divides time into calendar months (UTC), the partitions of media and coverage, and lists those of a camera."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from footage.indexer.store.cassandra.session import CassandraSession
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, from_micros, to_micros

FIRST_INSTANT, LAST_INSTANT = to_micros(DISTANT_PAST), to_micros(DISTANT_FUTURE)
LONGEST_STEP = 1 << 24
"""Microseconds: lengths are rounded up to a power of two of at least this, so that few of them are a new maximum."""


def month_of(micros: int) -> int:
    """Return the number of the month (years since 0 times 12, plus 0 to 11) that a time in microseconds lies in."""
    time = from_micros(min(max(micros, FIRST_INSTANT), LAST_INSTANT))
    return time.year * 12 + time.month - 1


def month_start(month: int) -> int:
    """Return the first microsecond of a month."""
    return to_micros(datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)) if month < 120_000 else LAST_INSTANT


def split_by_month(since: int, until: int) -> Iterator[tuple[int, int, int]]:
    """Yield (month, since, until) for each month that the half-open interval, in microseconds, has a part in."""
    while since < until:
        month = month_of(since)
        end = until if month == month_of(until - 1) else month_start(month + 1)
        yield month, since, end
        since = end


def bound_of(length: int) -> int:
    """Return what a length in microseconds is rounded up to where the longest media of a month is kept."""
    return max(LONGEST_STEP, 1 << (length - 1).bit_length()) if length > 0 else LONGEST_STEP


class MonthRows:
    """Lists the months in which a camera has, or had, media or coverage. Months are added and never removed."""

    _session: CassandraSession
    _known_months: dict[tuple[str, int], int]
    """What this process has seen: the bound of each (camera, month)."""

    async def _months(self, camera: str) -> list[tuple[int, int]]:
        """Return the months of a camera, oldest first, each with a bound of its media's length in microseconds."""
        found = await self._session.select("SELECT month, longest FROM @camera_months WHERE camera = ?", camera)
        return [(month, longest or 0) for month, longest in found]

    async def _add_month(self, camera: str, month: int) -> None:
        if (camera, month) not in self._known_months:
            await self._session.write("INSERT INTO @camera_months (camera, month) VALUES (?, ?)", camera, month)
            self._known_months.setdefault((camera, month), 0)

    async def _raise_longest(self, camera: str, month: int, length: int) -> None:
        """See that the month's bound is at least ``length`` microseconds."""
        if self._known_months.get((camera, month), 0) >= max(length, 1):
            return
        wanted = bound_of(length)
        asked = "SELECT longest FROM @camera_months WHERE camera = ? AND month = ?"
        change = "UPDATE @camera_months SET longest = ? WHERE camera = ? AND month = ? IF longest = ?"
        found = await self._session.select(asked, camera, month)
        while not found or (found[0][0] or 0) < wanted:
            before = found[0][0] if found else None
            if await self._session.execute_if((change, (wanted, camera, month, before))):
                break
            found = await self._session.select(asked, camera, month, profile="serial")
        self._known_months[camera, month] = max(wanted, found[0][0] or 0 if found else 0)
