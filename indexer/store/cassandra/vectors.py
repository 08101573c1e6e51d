"""Stores vectors in Cassandra, the cluster store: one table per space."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

import numpy as np

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store import rows
from footage.indexer.store.base import Hit, Record, StoreError, Vector, Where
from footage.indexer.store.cassandra import schema
from footage.indexer.store.cassandra.buckets import BucketIndex, BucketSlice
from footage.indexer.store.cassandra.merge import merge_streams
from footage.indexer.store.cassandra.session import CassandraSession, Statement, gather_all
from footage.stream.frame import Region
from footage.stream.instants import from_micros

KEYS_PER_LOOKUP, ASTRA_KEYS = 100, 25  # values in an IN; Astra refuses more than 25
KEYS_PER_DELETE = 100  # rows per batch of deletes
ROWS_PER_INSERT = 10  # rows per insert: a node indexes some hundred vectors a second and must answer within two seconds
ANN_LIMIT = 1_000  # rows: the most that an ANN search returns
OVERSAMPLING = 2  # times k are requested, because a graph search has better recall for larger k
MIN_CANDIDATES = 50  # rows that a search requests at least
EXACT_DURATION = 600_000_000  # microseconds: a shorter slice is scored row by row on the server, which is exact
SAFE_INSERTS = 2  # inserts at once without trie memtables
ROWS_PER_BUCKET_SCAN = 2_000  # rows that a scan holds in memory at once
SAMPLE_PARTITIONS = 12  # partitions that a sample is taken from at most
RECORD_COLUMNS = "time, region, media, offset"


class CassandraStore:
    """A store of one space in one keyspace, shared by any number of processes.

    A partition holds a camera's records of one bucket of time; ``BucketIndex`` lists the buckets of each camera and
    media. A record is looked up before it is written, so that the first one of a key stays.
    """

    space: Space

    def __init__(self, session: CassandraSession, space: Space, bucket: int, ttl: int, insert_limit: int) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._session = session
        self._table = schema.frames_table(space)
        self._buckets = BucketIndex(session, space, bucket)
        self._bucket = bucket
        self._ttl = ttl
        self._keys_per_lookup = ASTRA_KEYS if session.astra else KEYS_PER_LOOKUP
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
        bucket = await schema.bucket_duration(session)
        asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        if bucket is None or not await session.select(asked, session.keyspace, schema.frames_table(space)):
            raise StoreError(f"{session.location}: it has no table for {space.name}; run `footage store init`")
        safe = await schema.uses_trie(session, schema.frames_table(space))
        return cls(session, space, bucket, round(ttl), 1_000 if safe else SAFE_INSERTS)

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
        await gather_all(
            self._write_missing(partition, {key: (fresh[key], units[key]) for key in keys}) for partition, keys in parts
        )
        # After the records: see ``BucketIndex.remove_if_empty``.
        media = {(fresh[key].media, *partition) for partition, keys in by_partition.items() for key in keys}
        await self._buckets.add(list(by_partition), sorted(media), self._ttl)

    async def _write_missing(
        self, partition: tuple[str, int], added: dict[rows.StorageKey, tuple[Record, Vector]]
    ) -> None:
        known = f"SELECT time, region FROM @{self._table} WHERE camera = ? AND bucket = ? AND time IN ?"
        times = sorted({time for _, time, _ in added})
        there = set(await self._session.select(known, *partition, times))
        insert = (
            f"INSERT INTO @{self._table} (camera, bucket, time, region, media, offset, vector) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?"
        )
        new: list[Statement] = [
            (insert, (*partition, time, region, record.media, record.offset, _bytes(vector), self._ttl))
            for (_, time, region), (record, vector) in added.items()
            if (time, region) not in there
        ]
        await gather_all(self._insert_rows(new[i : i + ROWS_PER_INSERT]) for i in range(0, len(new), ROWS_PER_INSERT))

    async def _insert_rows(self, statements: list[Statement]) -> None:
        async with self._inserts:
            await self._session.write_batch(statements)

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> list[Hit]:
        """Return the ``k`` best of the records that match, best first; filters apply before ranking.

        Without a filter one query searches the whole cluster; with one, each partition that it leaves is searched and
        gives at most 1,000. Slices of up to ten minutes, and slices filtered by media, are scored exactly.
        """
        query = _bytes(rows.check_unit_vector(vector, self.space.dim, "the question"))
        if k < 1:
            return []
        limit = min(ANN_LIMIT, max(OVERSAMPLING * k, MIN_CANDIDATES))
        if where == Where() and k <= ANN_LIMIT:
            found = [await self._search_ann(query, "", limit)]
        else:
            slices = await self._buckets.find(where)
            found = await gather_all(self._search_slice(query, bucket_slice, limit, where) for bucket_slice in slices)
        hits = [hit for part in found for hit in part]
        hits.sort(key=lambda hit: (-hit.score, hit.time, hit.camera, hit.region.code if hit.region else 0))
        return hits[:k]

    async def _search_slice(self, query: bytes, bucket_slice: BucketSlice, limit: int, where: Where) -> list[Hit]:
        if where.media or bucket_slice.until - bucket_slice.since <= EXACT_DURATION:
            return await self._search_exact(query, bucket_slice, limit, where)
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        return await self._search_ann(query, f"WHERE {inside}", limit, *bucket_slice)

    async def _search_ann(self, query: bytes, where: str, limit: int, *values: Any) -> list[Hit]:
        cql = (
            f"SELECT camera, {RECORD_COLUMNS}, similarity_dot_product(vector, ?) FROM @{self._table} {where} "
            "ORDER BY vector ANN OF ? LIMIT ?"
        )
        found = await self._session.select(cql, query, *values, query, limit, profile="near")
        return [_hit(*row) for row in found]

    async def _search_exact(self, query: bytes, bucket_slice: BucketSlice, limit: int, where: Where) -> list[Hit]:
        best: list[tuple[float, Any]] = []
        select = f"{RECORD_COLUMNS}, similarity_dot_product(vector, ?) FROM @{self._table}"
        async for page in self._rows(select, bucket_slice, query):
            scored = [(-row[4], row) for row in page if not where.media or row[2] in where.media]
            best = sorted(best + scored)[:limit]
        return [_hit(bucket_slice.camera, *row) for _, row in best]

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Yield matching records with vectors by time, camera, region; holds about 2,000 at once, or 8 a camera."""
        slices = sorted(
            await self._buckets.find(where), key=lambda bucket_slice: (bucket_slice.bucket, bucket_slice.since)
        )
        for _, group in groupby(slices, key=lambda bucket_slice: bucket_slice.bucket):
            cameras: dict[str, list[BucketSlice]] = {}
            for bucket_slice in group:
                cameras.setdefault(bucket_slice.camera, []).append(bucket_slice)
            page = max(8, min(500, ROWS_PER_BUCKET_SCAN // len(cameras)))
            async for record in merge_streams([self._records(parts, page, where) for parts in cameras.values()]):
                yield record

    async def _records(self, slices: list[BucketSlice], page: int, where: Where) -> AsyncIterator[list[Record]]:
        for bucket_slice in slices:
            async for part in self._rows(f"{RECORD_COLUMNS}, vector FROM @{self._table}", bucket_slice, page=page):
                yield [_record(bucket_slice.camera, row) for row in part if not where.media or row[2] in where.media]

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Return up to ``n`` vectors of whole frames, spread over the times that match: (m, dim) float32.

        Where more than 12 partitions match, 12 evenly spread ones are sampled.
        """
        slices = sorted(
            await self._buckets.find(where), key=lambda bucket_slice: (bucket_slice.since, bucket_slice.camera)
        )
        found = await gather_all(
            self._keys(bucket_slice, where) for bucket_slice in _evenly_spaced(slices, SAMPLE_PARTITIONS)
        )
        keys = sorted((time, bucket_slice) for bucket_slice, times in found for time in times)
        wanted: dict[BucketSlice, list[int]] = {}
        for time, bucket_slice in _evenly_spaced(keys, max(n, 0)):
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
        """Count the records that match; the server reads them all."""
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        cql = f"SELECT count(*) FROM @{self._table} WHERE {inside}"
        slices = await self._buckets.find(where)
        asked: list[Statement] = [(cql, tuple(bucket_slice)) for bucket_slice in slices]
        if where.media:
            cql += " AND media = ? ALLOW FILTERING"
            asked = [(cql, (*bucket_slice, media)) for bucket_slice in slices for media in set(where.media)]
        return sum(found[0][0] for found in await gather_all(self._session.select(cql, *v) for cql, v in asked))

    async def forget(self, where: Where) -> int:
        """Delete what matches, and return how many. An empty ``where`` deletes everything.

        Searches stop finding the records at once; compaction removes them from the disk after ``gc_grace_seconds``.
        """
        slices = await self._buckets.find(where)
        return sum(await gather_all(self._forget(bucket_slice, where) for bucket_slice in slices))

    async def _forget(self, bucket_slice: BucketSlice, where: Where) -> int:
        gone = 0
        async for page in self._rows(f"time, region, media FROM @{self._table}", bucket_slice):
            match = [row for row in page if not where.media or row[2] in where.media]
            gone += len(match)
            await self._delete(bucket_slice, [row[:2] for row in match], whole=not where.media)
        await self._buckets.remove_if_empty(bucket_slice, self._table, where.media)
        return gone

    async def _delete(self, bucket_slice: BucketSlice, keys: list[tuple[int, int]], *, whole: bool) -> None:
        """Delete rows of a page; ``whole`` pages as a range, which is one tombstone instead of thousands."""
        cql = f"DELETE FROM @{self._table} WHERE camera = ? AND bucket = ? AND "
        partition = (bucket_slice.camera, bucket_slice.bucket)
        if whole and keys:
            inside = "(time, region) >= (?, ?) AND (time, region) <= (?, ?)"
            await self._session.write(cql + inside, *partition, *keys[0], *keys[-1])
            return
        for i in range(0, len(keys), KEYS_PER_DELETE):
            one = cql + "time = ? AND region = ?"
            await self._session.write_batch([(one, (*partition, *key)) for key in keys[i : i + KEYS_PER_DELETE]])

    async def maintain(self) -> None:
        """Do nothing: the server compacts and indexes by itself."""

    async def close(self) -> None:
        """Do nothing: the owner of the session closes it."""

    def _rows(
        self, select: str, bucket_slice: BucketSlice, *values: Any, page: int = 5_000
    ) -> AsyncIterator[list[Any]]:
        fixed = (*values, bucket_slice.camera, bucket_slice.bucket)
        first, last = (bucket_slice.since, -1), (bucket_slice.until, -1)
        return self._session.select_pages(select, "camera = ? AND bucket = ?", fixed, "time, region", first, last, page)


def _bytes(vector: Vector) -> bytes:
    return vector.astype(">f4").tobytes()


def _floats(sent: bytes) -> Vector:
    return np.frombuffer(sent, ">f4").astype(np.float32)


def _hit(camera: str, time: int, region: int, media: str, offset: float, similarity: float) -> Hit:
    """Return a hit; Cassandra's similarity is (1 + inner product) / 2."""
    return Hit(camera, from_micros(time), media, offset, Region.of(region), 2 * similarity - 1)


def _record(camera: str, row: tuple[Any, ...]) -> Record:
    time, region, media, offset, vector = row
    return Record(camera, from_micros(time), media, offset, _floats(vector), Region.of(region))


def _evenly_spaced(values: list[Any], n: int) -> list[Any]:
    """Return at most ``n`` of the values, evenly spaced."""
    return values if len(values) <= n else [values[i * len(values) // n] for i in range(n)]
