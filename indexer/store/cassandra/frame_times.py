"""Finds evenly spread times of records, without their vectors; of a long time it reads near some instants only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from footage.indexer.store.base import FrameTime
from footage.indexer.store.batching import evenly_spaced
from footage.indexer.store.cassandra.buckets import BucketSlice
from footage.indexer.store.cassandra.session import CassandraSession, gather_all
from footage.stream.instants import from_micros

READ_WINDOW = 60_000_000
"""Microseconds per time asked for, up to which every record's key is read."""
FrameTimes = dict[int, bool]
"""Whether there is a region, by time in microseconds."""


async def find_times(
    session: CassandraSession, table: str, slices: Sequence[BucketSlice], media: Sequence[str], n: int
) -> list[FrameTime]:
    """Return up to ``n`` times of each camera in the slices, by time and camera."""
    by_camera: dict[str, list[BucketSlice]] = defaultdict(list)
    for one in slices:
        by_camera[one.camera].append(one)
    reader = _TimeReader(session, table, frozenset(media))
    found = await gather_all(reader.read(sorted(parts), n) for parts in by_camera.values())
    times = [
        FrameTime(camera, from_micros(time), moved)
        for camera, times in zip(by_camera, found, strict=True)
        for time, moved in times.items()
    ]
    return sorted(times, key=lambda one: (one.time, one.camera))


class _TimeReader:
    """Reads the keys of one table."""

    def __init__(self, session: CassandraSession, table: str, media: frozenset[str]) -> None:
        self._session, self._table, self._media = session, table, media

    async def read(self, slices: list[BucketSlice], n: int) -> FrameTimes:
        """Up to ``n`` times of one camera."""
        if n < 1:
            return {}
        long = sum(one.until - one.since for one in slices) > n * READ_WINDOW
        if long and not self._media:
            return _thin(_merge(await gather_all(self._first(one) for one in _windows(slices, n))), n)
        return _thin(_merge([await self._all(one) for one in slices]), n)

    async def _all(self, one: BucketSlice) -> FrameTimes:
        found: FrameTimes = {}
        pages = self._session.select_pages(
            f"time, region, media FROM @{self._table}",
            "camera = ? AND bucket = ?",
            (one.camera, one.bucket),
            "time, region",
            (one.since, -1),
            (one.until, -1),
        )
        async for page in pages:
            for time, region, media in page:
                if not self._media or media in self._media:
                    found[time] = found.get(time, False) or region != 0
        return found

    async def _first(self, one: BucketSlice) -> FrameTimes:
        """The first time of a slice: of its two first rows the second may be a region of it."""
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        rows = await self._session.select(f"SELECT time, region FROM @{self._table} WHERE {inside} LIMIT 2", *one)
        return {rows[0][0]: any(region != 0 for time, region in rows if time == rows[0][0])} if rows else {}


def _merge(parts: Sequence[FrameTimes]) -> FrameTimes:
    return {time: moved for part in parts for time, moved in part.items()}


def _windows(slices: Sequence[BucketSlice], n: int) -> list[BucketSlice]:
    """Cut slices into about ``n`` pieces of equal length; each is at least one."""
    length = max(1, sum(one.until - one.since for one in slices) // n)
    return [
        one._replace(since=since, until=min(one.until, since + length))
        for one in slices
        for since in range(one.since, one.until, length)
    ]


def _thin(times: FrameTimes, n: int) -> FrameTimes:
    """At most ``n`` of the times, evenly spaced."""
    return {time: times[time] for time in evenly_spaced(sorted(times), n)}
