"""Lists the cameras and partitions of vectors of a space, and selects the partitions that a filter leaves."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Where
from footage.indexer.store.cassandra.session import KEYS_PER_QUERY, CassandraSession, Row, Statement, gather_all
from footage.indexer.store.cassandra.tables import SHARDS, shard_of
from footage.indexer.store.errors import StoreError
from footage.indexer.store.times import merged_micros

log = logging.getLogger(__name__)

ROWS_PER_BATCH = 200  # small rows per batch
ON_ITS_WAY = 30_000_000  # microseconds: older writes have arrived, or were given up
ALL_TIME = (-(1 << 62), 1 << 62)  # microseconds, and buckets: wider than datetime


Partition = tuple[str, int]
"""Camera and bucket."""


class BucketSlice(NamedTuple):
    """Part of a partition: records of ``camera`` in ``bucket`` with times in [since, until), in microseconds."""

    camera: str
    bucket: int
    since: int
    until: int


class BucketIndex:
    """The index of partitions of one space, by camera and by media, and the number of records by camera."""

    def __init__(self, session: CassandraSession, space: Space, bucket: int) -> None:
        """Take the duration of a partition, ``bucket``, in microseconds."""
        self._session = session
        self._space = f"{space.name}/{space.dim}"
        self._bucket = bucket
        self._known: set[str] = set()

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
            names = set(where.cameras) or await self.cameras()
            known = await gather_all(self._of_camera(camera, first, last) for camera in names)
            partitions = {partition for part in known for partition in part}
        return [
            BucketSlice(camera, bucket, max(start, bucket * self._bucket), min(end, (bucket + 1) * self._bucket))
            for camera, bucket in sorted(partitions)
            for start, end in asked
            if start < (bucket + 1) * self._bucket and end > bucket * self._bucket
        ]

    async def cameras(self) -> list[str]:
        """Return the names of all cameras that have, or had, records."""
        cql = "SELECT camera FROM @space_cameras WHERE space = ? AND shard IN ?"
        return sorted(name for (name,) in await self._session.select(cql, self._space, list(range(SHARDS))))

    async def add(self, partitions: list[tuple[str, int]], media: list[tuple[str, str, int]], ttl: int) -> None:
        """List partitions, and (media, camera, bucket), that hold records with a time to live of ``ttl`` seconds.

        Called again with each write, so that neither a time to live nor ``remove_if_empty`` outruns the records.
        """
        await gather_all(self.add_camera(camera) for camera in {camera for camera, _ in partitions} - self._known)
        row = "INSERT INTO @partitions (space, camera, bucket) VALUES (?, ?, ?) USING TTL ?"
        holding = "INSERT INTO @holdings (space, media, camera, bucket) VALUES (?, ?, ?, ?) USING TTL ?"
        groups: list[list[Statement]] = []
        for _, listed in groupby(sorted(partitions), key=lambda partition: partition[0]):
            groups.append([(row, (self._space, *partition, ttl)) for partition in listed])
        for _, held in groupby(media, key=lambda media_id: media_id[0]):
            groups.append([(holding, (self._space, *media_id, ttl)) for media_id in held])
        parts = [group[i : i + ROWS_PER_BATCH] for group in groups for i in range(0, len(group), ROWS_PER_BATCH)]
        await gather_all(self._session.write_batch(part) for part in parts)

    async def count(self, changes: Mapping[str, int]) -> None:
        """Add to the numbers of records by camera. A request that fails is not repeated: it may have been counted."""
        cql = "UPDATE @record_counts SET records = records + ? WHERE space = ? AND camera = ?"
        try:
            await gather_all(
                self._session.write_once(cql, change, self._space, camera)
                for camera, change in changes.items()
                if change
            )
        except StoreError as error:
            log.warning("the number of records could not be counted, and may be off by this write: %s", error)

    async def counts(self, cameras: Iterable[str]) -> dict[str, int]:
        """Return the numbers of records by camera, as they were counted when written and forgotten."""
        cql = "SELECT camera, records FROM @record_counts WHERE space = ? AND camera IN ?"
        names = sorted(set(cameras))
        parts = (names[i : i + KEYS_PER_QUERY] for i in range(0, len(names), KEYS_PER_QUERY))
        found = await gather_all(self._session.select(cql, self._space, part) for part in parts)
        return {camera: max(0, records or 0) for part in found for camera, records in part}

    async def of_camera(self, camera: str) -> list[Partition]:
        """Return every partition that is listed of a camera, by time."""
        return await self._of_camera(camera, *ALL_TIME)

    async def is_listed(self, partition: Partition) -> bool:
        """Whether the partition is listed of its camera."""
        cql = "SELECT bucket FROM @partitions WHERE space = ? AND camera = ? AND bucket = ?"
        return bool(await self._session.select(cql, self._space, *partition))

    async def holds(self, media: str, partition: Partition) -> bool:
        """Whether the partition is listed of a media."""
        cql = "SELECT bucket FROM @holdings WHERE space = ? AND media = ? AND camera = ? AND bucket = ?"
        return bool(await self._session.select(cql, self._space, media, *partition))

    async def remove_if_empty(
        self, bucket_slice: BucketSlice, table: str, media: Sequence[str], *, was_empty: bool = False
    ) -> None:
        """Remove the partition from its camera's list if it is empty, and from those of ``media`` that it has none of.

        The removal carries the time before the check, so an entry that a writer adds after the check stays.

        Args:
            media: of which records were forgotten, also where a time was.
            was_empty: it held nothing to forget. If nothing is in it, it has lost its records (``LossFinder``), and
                stays listed unless all of its time is forgotten.
        """
        before = time.time_ns() // 1000
        partition = (bucket_slice.camera, bucket_slice.bucket)
        any_left = f"SELECT time FROM @{table} WHERE camera = ? AND bucket = ? LIMIT 1"
        empty = not await self._session.select(any_left, *partition)
        whole = bucket_slice.until - bucket_slice.since == self._bucket and not media
        if empty and (whole or not was_empty):
            await self._unlist(partition, before)
        if not media:
            return
        left = set() if empty else set(await self.count_media(partition, table))
        cql = "DELETE FROM @holdings USING TIMESTAMP ? WHERE space = ? AND media = ? AND camera = ? AND bucket = ?"
        await gather_all(
            self._session.write(cql, before, self._space, media_id, *partition) for media_id in set(media) - left
        )

    async def _unlist(self, partition: Partition, before: int) -> None:
        """Take a partition from its camera's list; where it is the first, what was taken before becomes one range."""
        inside = "space = ? AND camera = ? AND bucket"
        cql = f"DELETE FROM @partitions USING TIMESTAMP ? WHERE {inside} = ?"
        await self._session.write(cql, before, self._space, *partition)
        earlier = f"SELECT bucket FROM @partitions WHERE {inside} < ? LIMIT 1"
        if not await self._session.select(earlier, self._space, *partition):
            cql = f"DELETE FROM @partitions USING TIMESTAMP ? WHERE {inside} < ?"
            await self._session.write(cql, before - ON_ITS_WAY, self._space, *partition)

    async def count_media(self, partition: Partition, table: str) -> Counter[str]:
        """Return the number of records of each media in a partition; reads its rows, without vectors."""
        pages = self._session.select_pages(
            f"time, region, media FROM @{table}",
            "camera = ? AND bucket = ?",
            partition,
            "time, region",
            (ALL_TIME[0], -1),
        )
        return Counter([row[2] async for page in pages for row in page])

    async def add_camera(self, camera: str) -> None:
        """List a camera."""
        cql = "INSERT INTO @space_cameras (space, shard, camera) VALUES (?, ?, ?)"
        await self._session.write(cql, self._space, shard_of(camera), camera)
        self._known.add(camera)

    async def _of_media(self, media: str) -> list[tuple[str, int]]:
        where, fixed = "space = ? AND media = ?", (self._space, media)
        return await self._listed("holdings", where, fixed, "camera, bucket", ("", ALL_TIME[0]), None)

    async def _of_camera(self, camera: str, first: int, last: int) -> list[tuple[str, int]]:
        where, fixed = "space = ? AND camera = ?", (self._space, camera)
        found = await self._listed("partitions", where, fixed, "bucket", (first,), (last + 1,))
        return [(camera, bucket) for (bucket,) in found]

    async def _listed(self, table: str, where: str, fixed: Row, key: str, first: Row, last: Row | None) -> list[Row]:
        found: list[Row] = []
        async for page in self._session.select_pages(f"{key} FROM @{table}", where, fixed, key, first, last):
            found += page
        return found
