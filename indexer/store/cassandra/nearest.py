"""Searches vectors in Cassandra: how a filter becomes a bounded number of queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from heapq import nlargest
from itertools import islice
from typing import Any, NamedTuple

from footage.indexer.store.base import Hit, Where
from footage.indexer.store.cassandra.buckets import ALL_TIME, BucketIndex, BucketSlice
from footage.indexer.store.cassandra.session import CassandraSession, gather_all
from footage.indexer.store.times import merged_micros
from footage.stream.frame import Region
from footage.stream.instants import from_micros

ANN_LIMIT = 1_000  # rows: the most that an ANN search returns
OVERSAMPLING = 2  # times k are requested, because a graph search has better recall for larger k
MIN_CANDIDATES = 50  # rows that a search requests at least
EXACT_DURATION = 600_000_000  # microseconds: a shorter slice is scored row by row on the server, which is exact
MAX_PARTITIONS = 32  # of one camera, that are searched one by one; more are searched by the indexes on camera and time
WAVE = 16  # queries at once
SCORED_PAGE = 5_000  # rows
HIT_COLUMNS = "time, region, media, offset"

Found = list[Hit]


class Window(NamedTuple):
    """Records of a camera (None: any) with times in [since, until), in microseconds."""

    camera: str | None
    since: int
    until: int


class VectorSearch:
    """Finds the nearest records of one table.

    A filter that leaves few partitions of a camera is searched in those. A wider one is one query by the
    indexes on camera and time, whatever number of partitions it covers. Such a query returns at most 1,000 rows: where
    more are wanted, a full window is searched again in halves, as long as what it has not returned could be among the
    best. Windows are searched newest first, a few at a time, and only the best ``k`` hits are kept.
    """

    def __init__(self, session: CassandraSession, table: str, buckets: BucketIndex, bucket: int) -> None:
        self._session, self._table, self._buckets, self._bucket = session, table, buckets, bucket

    async def nearest(self, query: bytes, k: int, where: Where, empty: list[BucketSlice]) -> Found:
        """Return the ``k`` best of the records that match, best first.

        Args:
            query: the unit vector as big-endian float32.
            empty: is extended by the slices in which nothing was found.
        """
        if where.media:
            slices = await self._buckets.find(where)
            return await self._in_waves(slices, lambda s: self._search_exact(query, s, k, where), k, empty)
        if where == Where() and k <= ANN_LIMIT:
            found = _best(await self._search_ann(query, "", _candidates(k)), k)
        else:
            slices, windows = await self._plan(where)
            found = await self._in_waves(slices, lambda s: self._search_slice(query, s, k), k, empty)
            found = await self._search_windows(query, k, windows, found)
        if not found and not empty:
            empty += reversed(await self._buckets.find(where))
        return found

    async def _search_windows(self, query: bytes, k: int, windows: list[Window], found: Found) -> Found:
        while windows:
            wave, windows = windows[:WAVE], windows[WAVE:]
            parts = await gather_all(self._search_window(query, window, k) for window in wave)
            found = _best([*found, *(hit for part in parts for hit in part)], k)
            for window, part in zip(wave, parts, strict=True):
                if _may_hide_more(part, found, k):
                    windows = [*await self._halves(window), *windows]
        return found

    async def _plan(self, where: Where) -> tuple[list[BucketSlice], list[Window]]:
        """Return the parts of partitions, and the windows of time, that cover the filter, newest first."""
        spans = [span for span in merged_micros(where.spans) if span[0] < span[1]] if where.spans else [ALL_TIME]
        cameras: list[str | None] = [*sorted(set(where.cameras))] or [None]
        slices: list[BucketSlice] = []
        windows: list[Window] = []
        for since, until in reversed(spans):
            for camera in cameras:
                span = () if (since, until) == ALL_TIME else ((from_micros(since), from_micros(until)),)
                listed = await self._buckets.find(Where((camera,), span)) if camera is not None else None
                if listed is not None and len(listed) <= MAX_PARTITIONS:
                    slices += listed
                else:
                    windows.append(Window(camera, since, until))
        return slices, windows

    async def _in_waves(
        self,
        parts: Iterable[BucketSlice],
        search: Callable[[BucketSlice], Awaitable[Found]],
        k: int,
        empty: list[BucketSlice],
    ) -> Found:
        found: Found = []
        left = iter(sorted(parts, key=lambda part: -part.bucket))
        while wave := list(islice(left, WAVE)):
            done = await gather_all(search(part) for part in wave)
            empty += [part for part, hits in zip(wave, done, strict=True) if not hits]
            found = _best([*found, *(hit for hits in done for hit in hits)], k)
        return found

    async def _search_slice(self, query: bytes, part: BucketSlice, k: int) -> Found:
        if part.until - part.since <= EXACT_DURATION:
            return await self._search_exact(query, part, k, Where())
        inside = "WHERE camera = ? AND bucket = ? AND time >= ? AND time < ?"
        return await self._search_ann(query, inside, _candidates(k), *part)

    async def _search_window(self, query: bytes, window: Window, k: int) -> Found:
        conditions: list[str] = []
        values: list[Any] = []
        if window.camera is not None:
            conditions.append("cam = ?")
            values.append(window.camera)
        if (window.since, window.until) != ALL_TIME:
            conditions.append("time >= ? AND time < ?")
            values += [window.since, window.until]
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        return await self._search_ann(query, where, _candidates(k), *values)

    async def _halves(self, window: Window) -> list[Window]:
        """Divide a window where half of its partitions are on either side, or its time; newest first."""
        cameras = () if window.camera is None else (window.camera,)
        since, until = window.since, window.until
        if (since, until) == ALL_TIME:
            listed = await self._buckets.find(Where(cameras))
        else:
            listed = await self._buckets.find(Where(cameras, ((from_micros(since), from_micros(until)),)))
        starts = sorted({part.bucket * self._bucket for part in listed})
        if not starts:
            return []
        since, until = max(since, starts[0]), min(until, starts[-1] + self._bucket)
        middle = starts[len(starts) // 2] if len(starts) > 1 else (since + until) // 2
        if not since < middle < until:
            return []
        return [Window(window.camera, middle, until), Window(window.camera, since, middle)]

    async def _search_ann(self, query: bytes, where: str, limit: int, *values: Any) -> Found:
        cql = (
            f"SELECT camera, {HIT_COLUMNS}, similarity_dot_product(vector, ?) FROM @{self._table} {where} "
            "ORDER BY vector ANN OF ? LIMIT ?"
        )
        found = await self._session.select(cql, query, *values, query, limit, profile="near")
        return [make_hit(*row) for row in found]

    async def _search_exact(self, query: bytes, part: BucketSlice, k: int, where: Where) -> Found:
        best: Found = []
        pages = self._session.select_pages(
            f"{HIT_COLUMNS}, similarity_dot_product(vector, ?) FROM @{self._table}",
            "camera = ? AND bucket = ?",
            (query, part.camera, part.bucket),
            "time, region",
            (part.since, -1),
            (part.until, -1),
            SCORED_PAGE,
        )
        async for page in pages:
            rows = (row for row in page if not where.media or row[2] in where.media)
            nearest = nlargest(k, rows, key=lambda row: row[4])
            best = _best([*best, *(make_hit(part.camera, *row) for row in nearest)], k)
        return best


def make_hit(camera: str, time: int, region: int, media: str, offset: float, similarity: float) -> Hit:
    """Return a hit; Cassandra's similarity is (1 + inner product) / 2."""
    return Hit(camera, from_micros(time), media, offset, Region.of(region), 2 * similarity - 1)


def _candidates(k: int) -> int:
    return min(ANN_LIMIT, max(OVERSAMPLING * k, MIN_CANDIDATES))


def _best(hits: Found, k: int) -> Found:
    """Return the ``k`` best, each once: a window and its halves find some twice."""
    keyed = {(hit.camera, hit.time, hit.region.code if hit.region else 0): hit for hit in hits}
    return [hit for _, hit in sorted(keyed.items(), key=lambda item: (-item[1].score, item[0][1], item[0]))[:k]]


def _may_hide_more(part: Found, best: Found, k: int) -> bool:
    """Whether a window that returned as much as it may has more records that belong to the best."""
    if len(part) < ANN_LIMIT or k <= ANN_LIMIT:
        return False
    return len(best) < k or min(hit.score for hit in part) > best[-1].score
