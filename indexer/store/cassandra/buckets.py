"""Lists the partitions of vectors by camera and by media, and selects those that a filter leaves."""

from __future__ import annotations

import time
from itertools import groupby
from typing import NamedTuple

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Where
from footage.indexer.store.cassandra.session import CassandraSession, Row, Statement, gather_all
from footage.indexer.store.times import merged_micros

ROWS_PER_BATCH = 200  # small rows per batch
ALL_TIME = (-(1 << 62), 1 << 62)  # microseconds, and buckets: wider than datetime


class BucketSlice(NamedTuple):
    """Part of a partition: records of ``camera`` in ``bucket`` with times in [since, until), in microseconds."""

    camera: str
    bucket: int
    since: int
    until: int


class BucketIndex:
    """The index of partitions of one space, by camera and by media."""

    def __init__(self, session: CassandraSession, space: Space, bucket: int) -> None:
        """Take the duration of a partition, ``bucket``, in microseconds."""
        self._session = session
        self._space = f"{space.name}/{space.dim}"
        self._bucket = bucket

    async def find(self, where: Where) -> list[BucketSlice]:
        """Return what may hold records that match; the caller applies the filter by media to their rows."""
        asked = [span for span in merged_micros(where.spans) if span[0] < span[1]] if where.spans else [ALL_TIME]
        if not asked:
            return []
        first, last = asked[0][0] // self._bucket, (asked[-1][1] - 1) // self._bucket
        if where.media:
            listed = await gather_all(self._of_media(media) for media in set(where.media))
            cameras = set(where.cameras)
            partitions = {partition for part in listed for partition in part if not cameras or partition[0] in cameras}
        else:
            known = await gather_all(self._of_camera(camera, first, last) for camera in set(where.cameras) or [None])
            partitions = {partition for part in known for partition in part}
        return [
            BucketSlice(camera, bucket, max(start, bucket * self._bucket), min(end, (bucket + 1) * self._bucket))
            for camera, bucket in sorted(partitions)
            for start, end in asked
            if start < (bucket + 1) * self._bucket and end > bucket * self._bucket
        ]

    async def add(self, partitions: list[tuple[str, int]], media: list[tuple[str, str, int]], ttl: int) -> None:
        """List partitions, and (media, camera, bucket), that hold records with a time to live of ``ttl`` seconds.

        Called again with each write, so that neither a time to live nor ``remove_if_empty`` outruns the records.
        """
        camera = "INSERT INTO @buckets (space, camera, bucket) VALUES (?, ?, ?) USING TTL ?"
        holding = "INSERT INTO @holdings (space, media, camera, bucket) VALUES (?, ?, ?, ?) USING TTL ?"
        groups: list[list[Statement]] = [[(camera, (self._space, *partition, ttl)) for partition in partitions]]
        for _, listed in groupby(media, key=lambda media_id: media_id[0]):
            groups.append([(holding, (self._space, *media_id, ttl)) for media_id in listed])
        parts = [group[i : i + ROWS_PER_BATCH] for group in groups for i in range(0, len(group), ROWS_PER_BATCH)]
        await gather_all(self._session.write_batch(part) for part in parts)

    async def remove_if_empty(self, bucket_slice: BucketSlice, table: str, media: tuple[str, ...]) -> None:
        """Remove the partition from the lists if it is empty or holds no more records of ``media``.

        The removal carries the time before the check, so an entry that a writer adds after the check stays.
        """
        before = time.time_ns() // 1000
        partition = (bucket_slice.camera, bucket_slice.bucket)
        any_left = f"SELECT time FROM @{table} WHERE camera = ? AND bucket = ? LIMIT 1"
        if not await self._session.select(any_left, *partition):
            cql = "DELETE FROM @buckets USING TIMESTAMP ? WHERE space = ? AND camera = ? AND bucket = ?"
            await self._session.write(cql, before, self._space, *partition)
        left = f"SELECT time FROM @{table} WHERE camera = ? AND bucket = ? AND media = ? LIMIT 1 ALLOW FILTERING"
        for media_id in set(media):
            if not await self._session.select(left, *partition, media_id):
                key = "space = ? AND media = ? AND camera = ? AND bucket = ?"
                cql = f"DELETE FROM @holdings USING TIMESTAMP ? WHERE {key}"
                await self._session.write(cql, before, self._space, media_id, *partition)

    async def _of_media(self, media: str) -> list[tuple[str, int]]:
        where, fixed = "space = ? AND media = ?", (self._space, media)
        return await self._listed("holdings", where, fixed, "camera, bucket", ("", ALL_TIME[0]), None)

    async def _of_camera(self, camera: str | None, first: int, last: int) -> list[tuple[str, int]]:
        if camera is None:
            found = await self._listed(
                "buckets", "space = ?", (self._space,), "camera, bucket", ("", ALL_TIME[0]), None
            )
            return [partition for partition in found if first <= partition[1] <= last]
        where, fixed = "space = ? AND camera = ?", (self._space, camera)
        found = await self._listed("buckets", where, fixed, "bucket", (first,), (last + 1,))
        return [(camera, bucket) for (bucket,) in found]

    async def _listed(self, table: str, where: str, fixed: Row, key: str, first: Row, last: Row | None) -> list[Row]:
        found: list[Row] = []
        async for page in self._session.select_pages(f"{key} FROM @{table}", where, fixed, key, first, last):
            found += page
        return found
