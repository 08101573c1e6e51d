"""Stores vectors in Cassandra, the cluster store: one table per space."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from math import inf
from typing import Any, TypeVar

import numpy as np

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store import rows
from footage.indexer.store.base import FrameTime, Hit, Record, Scores, Vector, Where
from footage.indexer.store.batching import evenly_spaced
from footage.indexer.store.cassandra import schema
from footage.indexer.store.cassandra.buckets import ALL_TIME, BucketIndex, BucketSlice
from footage.indexer.store.cassandra.frame_times import find_times
from footage.indexer.store.cassandra.loss import LossFinder
from footage.indexer.store.cassandra.merge import merge_streams
from footage.indexer.store.cassandra.nearest import VectorSearch
from footage.indexer.store.cassandra.partitions import find_partitions, list_partitions
from footage.indexer.store.cassandra.session import KEYS_PER_QUERY, CassandraSession, Statement, gather_all
from footage.indexer.store.cassandra.version import bucket_duration
from footage.indexer.store.errors import StoreError, StoreUnreachable
from footage.indexer.store.row_arrays import RowArrays, collect, from_records, score_batches
from footage.stream.frame import Region
from footage.stream.instants import from_micros
from footage.stream.spans import merge

T = TypeVar("T")

KEYS_PER_LOOKUP = 100  # values in an IN, where the server takes as many
ROWS_PER_INSERT = 10  # rows per insert: a node indexes some hundred vectors a second and must answer within two seconds
SAFE_INSERTS = 2  # inserts at once without trie memtables
ROWS_PER_BUCKET_SCAN = 2_000  # rows that a scan holds in memory at once
SPANS_PER_SCAN = 16  # spans that one scan reads, one after the other
SAMPLE_PARTITIONS = 12  # partitions that a sample is taken from at most
RECORD_COLUMNS = "time, region, media, offset"


class CassandraStore:
    """A store of one space in one keyspace, shared by any number of processes.

    A partition holds a camera's records of one bucket of time; ``BucketIndex`` lists the buckets of each camera and
    media. A record is looked up before it is written, so that the first one of a key stays.

    Attributes:
        losses: finds records that were lost, and notes them.
    """

    space: Space
    heeds_least = False
    losses: LossFinder

    def __init__(
        self, session: CassandraSession, space: Space, table: str, bucket: int, ttl: int, insert_limit: int
    ) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._session = session
        self._table = table
        self._buckets = BucketIndex(session, space, bucket)
        self._search = VectorSearch(session, table, self._buckets, bucket)
        self.losses = LossFinder(session, table, self._buckets, bucket)
        self._bucket = bucket
        self._ttl = ttl
        self._keys_per_lookup = KEYS_PER_QUERY if session.astra else KEYS_PER_LOOKUP
        self._inserts = asyncio.Semaphore(insert_limit)

    @classmethod
    async def open(cls, session: CassandraSession, space: Space, ttl: float = 0) -> CassandraStore:
        """Open the store that ``schema.create_tables`` created.

        Args:
            session: stays open when the store is closed.
            space: of the vectors.
            ttl: seconds after which a written record expires; 0 keeps it.

        Raises:
            StoreError: its tables are missing, or of another version.
        """
        bucket = await bucket_duration(session)
        table = await schema.find_frames_table(session, space)
        if bucket is None or table is None:
            raise StoreError(f"{session.location}: it has no table for {space.name}; run `footage store init`")
        safe = await schema.uses_trie(session, table)
        return cls(session, space, table, bucket, round(ttl), 1_000 if safe else SAFE_INSERTS)

    async def write(self, records: Sequence[Record]) -> None:
        """Store records, durably on a quorum when it returns; a key that exists already is not stored twice."""
        fresh = {rows.storage_key(record): record for record in reversed(records)}
        units = {
            key: rows.check_unit_vector(r.vector, self.space.dim, f"the record of camera {r.camera!r} at {r.time}")
            for key, r in fresh.items()
        }
        by_partition: dict[tuple[str, int], list[rows.StorageKey]] = {}
        for key in sorted(fresh):
            by_partition.setdefault((key[0], key[1] // self._bucket), []).append(key)
        parts = [
            (partition, keys[i : i + self._keys_per_lookup])
            for partition, keys in by_partition.items()
            for i in range(0, len(keys), self._keys_per_lookup)
        ]
        written = await gather_all(
            self._write_missing(partition, {key: (fresh[key], units[key]) for key in keys}) for partition, keys in parts
        )
        # After the records: see ``BucketIndex.remove_if_empty``.
        media = {(fresh[key].media, *partition) for partition, keys in by_partition.items() for key in keys}
        await self._buckets.add(list(by_partition), sorted(media), self._ttl)
        new: Counter[str] = Counter()
        for ((camera, _), _), count in zip(parts, written, strict=True):
            new[camera] += count
        await self._buckets.count(new)

    async def _write_missing(
        self, partition: tuple[str, int], added: dict[rows.StorageKey, tuple[Record, Vector]]
    ) -> int:
        """Insert the records of one partition that are not there yet; returns how many were not."""
        known = f"SELECT time, region FROM @{self._table} WHERE camera = ? AND bucket = ? AND time IN ?"
        times = sorted({time for _, time, _ in added})
        there = set(await self._session.select(known, *partition, times))
        insert = (
            f"INSERT INTO @{self._table} (camera, bucket, time, region, media, offset, cam, vector) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?"
        )
        new: list[Statement] = [
            (insert, (*partition, time, region, record.media, record.offset, partition[0], _bytes(vector), self._ttl))
            for (_, time, region), (record, vector) in added.items()
            if (time, region) not in there
        ]
        await gather_all(self._insert_rows(new[i : i + ROWS_PER_INSERT]) for i in range(0, len(new), ROWS_PER_INSERT))
        return len(new)

    async def _insert_rows(self, statements: list[Statement]) -> None:
        async with self._inserts:
            await self._session.write_batch(statements)

    async def nearest(self, vector: Vector, k: int, where: Where = Where(), least: float = -inf) -> list[Hit]:  # noqa: ARG002
        """Return the ``k`` best of the records that match, best first; filters apply before ranking.

        Slices of up to ten minutes of one camera, and slices filtered by media, are scored exactly.
        """
        query = _bytes(rows.check_unit_vector(vector, self.space.dim, "the question"))
        if k <= 0:
            return []
        empty: list[BucketSlice] = []
        hits = await self._search.nearest(query, k, where, empty)
        if empty:
            await self.losses.suspect(empty)
        return hits

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Yield matching records with vectors by time, camera, region; holds about 2,000 at once, or 8 a camera."""
        empty: list[BucketSlice] = []
        slices = sorted(
            await self._buckets.find(where), key=lambda bucket_slice: (bucket_slice.bucket, bucket_slice.since)
        )
        for _, group in groupby(slices, key=lambda bucket_slice: bucket_slice.bucket):
            cameras: dict[str, list[BucketSlice]] = {}
            for bucket_slice in group:
                cameras.setdefault(bucket_slice.camera, []).append(bucket_slice)
            page = max(8, min(500, ROWS_PER_BUCKET_SCAN // len(cameras)))
            parts = [self._records(of_camera, page, where, empty) for of_camera in cameras.values()]
            async for record in merge_streams(parts):
                yield record
        if empty:
            await self.losses.suspect(empty)

    async def batches(self, where: Where, size: int) -> AsyncIterator[RowArrays]:
        """Yield what ``scan`` yields as arrays, about ``size`` records at once."""
        async for batch in collect(self.scan(where), size, self.space.dim):
            yield batch

    def scores(
        self, where: Where, size: int, score: Callable[[Vectors], Scores]
    ) -> AsyncGenerator[tuple[RowArrays, Scores], None]:
        """Yield what ``batches`` yields without the vectors, each record with what ``score`` makes of its vector."""
        return score_batches(self.batches(where, size), score)

    async def read(self, wheres: Sequence[Where], use: Callable[[RowArrays], T]) -> list[T]:
        """Return what ``use`` makes of what matches each filter; filters and parts of them are read at once."""
        parts = [(i, part) for i, where in enumerate(wheres) for part in _split_spans(where)]
        found = await asyncio.gather(*(self._read_all(part) for _, part in parts))
        each: list[list[Record]] = [[] for _ in wheres]
        for (i, _), records in zip(parts, found, strict=True):
            each[i] += records
        return await asyncio.to_thread(
            lambda: [use(from_records(records, self.space.dim).by_time()) for records in each]
        )

    async def _read_all(self, where: Where) -> list[Record]:
        return [record async for record in self.scan(where)]

    async def _records(
        self, slices: list[BucketSlice], page: int, where: Where, empty: list[BucketSlice]
    ) -> AsyncIterator[list[Record]]:
        """Yield the records of a camera's slices; ``empty`` is extended by those without any."""
        for bucket_slice in slices:
            found = False
            async for part in self._rows(f"{RECORD_COLUMNS}, vector FROM @{self._table}", bucket_slice, page=page):
                found = True
                yield [_record(bucket_slice.camera, row) for row in part if not where.media or row[2] in where.media]
            if not found:
                empty.append(bucket_slice)

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Return up to ``n`` vectors of whole frames, spread over the times that match: (m, dim) float32.

        Where more than 12 partitions match, 12 evenly spread ones are sampled.
        """
        slices = sorted(
            await self._buckets.find(where), key=lambda bucket_slice: (bucket_slice.since, bucket_slice.camera)
        )
        found = await gather_all(
            self._keys(bucket_slice, where) for bucket_slice in evenly_spaced(slices, SAMPLE_PARTITIONS)
        )
        keys = sorted((time, bucket_slice) for bucket_slice, times in found for time in times)
        wanted: dict[BucketSlice, list[int]] = {}
        for time, bucket_slice in evenly_spaced(keys, max(n, 0)):
            wanted.setdefault(bucket_slice, []).append(time)
        parts = [
            (bucket_slice, times[i : i + self._keys_per_lookup])
            for bucket_slice, times in wanted.items()
            for i in range(0, len(times), self._keys_per_lookup)
        ]
        picked = await gather_all(self._vectors(bucket_slice, times) for bucket_slice, times in parts)
        vectors = [vector for part in picked for vector in part]
        return np.stack(vectors) if vectors else np.empty((0, self.space.dim), np.float32)

    async def _keys(self, bucket_slice: BucketSlice, where: Where) -> tuple[BucketSlice, list[int]]:
        whole = []
        async for page in self._rows(f"time, region, media FROM @{self._table}", bucket_slice):
            whole += [row[0] for row in page if not row[1] and (not where.media or row[2] in where.media)]
        return bucket_slice, whole

    async def _vectors(self, bucket_slice: BucketSlice, times: list[int]) -> list[Vector]:
        cql = f"SELECT vector FROM @{self._table} WHERE camera = ? AND bucket = ? AND time IN ? AND region = 0"
        return [
            _floats(row[0]) for row in await self._session.select(cql, bucket_slice.camera, bucket_slice.bucket, times)
        ]

    async def times(self, where: Where, n: int) -> list[FrameTime]:
        """Return up to ``n`` times of each camera that have records, spread over those that match."""
        return await find_times(self._session, self._table, await self._buckets.find(where), where.media, n)

    async def last_time(self, media: str) -> datetime | None:
        """Return the time of the newest durable record of this media, where indexing resumes."""
        slices = await self._buckets.find(Where(media=(media,)))
        newest = (
            f"SELECT time FROM @{self._table} WHERE camera = ? AND bucket = ? AND media = ? "
            "ORDER BY time DESC, region DESC LIMIT 1 ALLOW FILTERING"
        )
        for bucket_slice in sorted(slices, key=lambda bucket_slice: -bucket_slice.bucket):
            found = await self._session.select(newest, bucket_slice.camera, bucket_slice.bucket, media)
            if found:
                return from_micros(found[0][0])
        return None

    async def count(self, where: Where = Where()) -> int:
        """Count the records that match; the server reads them all.

        Without a filter, the partitions are those that the table has, not those that are listed: so the number does not
        agree with what a scan finds when a list is not whole.
        """
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        cql = f"SELECT count(*) FROM @{self._table} WHERE {inside}"
        if where == Where():
            slices = [BucketSlice(*one, *ALL_TIME) for one in await find_partitions(self._session, self._table)]
        else:
            slices = await self._buckets.find(where)
        asked: list[Statement] = [(cql, tuple(bucket_slice)) for bucket_slice in slices]
        if where.media:
            cql += " AND media = ? ALLOW FILTERING"
            asked = [(cql, (*bucket_slice, media)) for bucket_slice in slices for media in set(where.media)]
        return sum(found[0][0] for found in await gather_all(self._session.select(cql, *v) for cql, v in asked))

    async def counts(self, cameras: Sequence[str]) -> dict[str, int]:
        """Return the numbers of records by camera; a request that timed out may have put them off by its records."""
        return await self._buckets.counts(cameras)

    async def forget(self, where: Where) -> int:
        """Delete what matches, and return how many. An empty ``where`` deletes everything.

        Searches stop finding the records at once; compaction removes them from the disk after ``gc_grace_seconds``.
        """
        slices = await self._buckets.find(where)
        counts = await gather_all(self._forget(bucket_slice, where) for bucket_slice in slices)
        gone: Counter[str] = Counter()
        for bucket_slice, count in zip(slices, counts, strict=True):
            gone[bucket_slice.camera] -= count
        await self._buckets.count(gone)
        return sum(counts)

    async def list_partitions(self) -> int:
        """List partitions that hold records and are not listed, which nothing finds; returns how many there were."""
        return await list_partitions(self._session, self._table, self._buckets, self._ttl)

    async def _forget(self, bucket_slice: BucketSlice, where: Where) -> int:
        """Delete rows as ranges of keys: one mark for a range instead of one a row.

        The first range of a partition begins at its very beginning, so that those of one retention after another
        swallow each other; a whole partition is deleted as such.
        """
        gone, media = 0, set(where.media)
        begin = None if await self._has_earlier(bucket_slice) else (ALL_TIME[0], -1)
        async for page in self._rows(f"time, region, media FROM @{self._table}", bucket_slice):
            for matches, run in groupby(page, key=lambda row: not where.media or row[2] in where.media):
                found = list(run)
                if matches:
                    gone += len(found)
                    media.update(row[2] for row in found)
                    await self._delete(bucket_slice, begin or found[0][:2], found[-1][:2])
                else:
                    begin = None
        await self._buckets.remove_if_empty(bucket_slice, self._table, sorted(media), was_empty=not gone)
        return gone

    async def _has_earlier(self, bucket_slice: BucketSlice) -> bool:
        """Whether the partition holds records before the slice."""
        cql = f"SELECT time FROM @{self._table} WHERE camera = ? AND bucket = ? AND time < ? ORDER BY time DESC LIMIT 1"
        return bool(await self._session.select(cql, *bucket_slice[:3]))

    async def _delete(self, bucket_slice: BucketSlice, first: tuple[int, int], last: tuple[int, int]) -> None:
        inside = "(time, region) >= (?, ?) AND (time, region) <= (?, ?)"
        cql = f"DELETE FROM @{self._table} WHERE camera = ? AND bucket = ? AND {inside}"
        await self._session.write(cql, bucket_slice.camera, bucket_slice.bucket, *first, *last)

    async def maintain(self) -> None:
        """Look at some partitions, whether they still hold records; the server compacts and indexes by itself."""
        with suppress(StoreUnreachable):  # a store that is away says so itself, once
            await self.losses.step()

    async def close(self) -> None:
        """Do nothing: the owner of the session closes it."""

    def _rows(
        self, select: str, bucket_slice: BucketSlice, *values: Any, page: int = 5_000
    ) -> AsyncIterator[list[Any]]:
        fixed = (*values, bucket_slice.camera, bucket_slice.bucket)
        first, last = (bucket_slice.since, -1), (bucket_slice.until, -1)
        return self._session.select_pages(select, "camera = ? AND bucket = ?", fixed, "time, region", first, last, page)


def _split_spans(where: Where) -> list[Where]:
    """Return filters of at most 16 spans each that together leave the same."""
    spans = merge(where.spans)
    groups = (tuple(spans[i : i + SPANS_PER_SCAN]) for i in range(0, len(spans), SPANS_PER_SCAN))
    return [replace(where, spans=group) for group in groups] or [where]


def _bytes(vector: Vector) -> bytes:
    return vector.astype(">f4").tobytes()


def _floats(sent: bytes) -> Vector:
    return np.frombuffer(sent, ">f4").astype(np.float32)


def _record(camera: str, row: tuple[Any, ...]) -> Record:
    time, region, media, offset, vector = row
    return Record(camera, from_micros(time), media, offset, _floats(vector), Region.of(region))
