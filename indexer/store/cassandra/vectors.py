"""The cluster store: vectors in a Cassandra table, one table a space."""

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
from footage.indexer.store.cassandra.merge import merged
from footage.indexer.store.cassandra.pieces import Piece, Pieces
from footage.indexer.store.cassandra.session import Session, Statement, together
from footage.indexer.store.times import moment
from footage.stream.frame import Region

LOOKUP = 100  # keys a request
BATCH = 10  # rows an insert: a node indexes some hundred vectors a second, and must answer within two seconds
TOP = 1_000  # rows: the most that Cassandra gives to a search
OVER = 2  # times k are asked for, because a graph finds the best of many more surely than the best of few
LEAST = 50  # rows that a search asks for at least
EXACT = 600_000_000  # microseconds: a shorter piece is scored row by row on the server, which is exact
SAFE = 2  # inserts at once without trie memtables
WINDOW = 2_000  # rows that a scan holds at once
LOOK = 12  # partitions that a sample is taken from
ROW = "time, region, media, offset"


class CassandraStore:
    """Vectors of one space in one keyspace, shared by any number of processes.

    A partition holds a camera's records of one bucket of time; tables on the side tell which buckets a camera and a
    media have. A record is looked up before it is written, so that the first of a key stays.
    """

    space: Space

    def __init__(self, session: Session, space: Space, bucket: int, ttl: int, at_once: int) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._session = session
        self._table = schema.frames(space)
        self._pieces = Pieces(session, space, bucket)
        self._bucket = bucket
        self._ttl = ttl
        self._inserts = asyncio.Semaphore(at_once)

    @classmethod
    async def open(cls, session: Session, space: Space, ttl: float = 0) -> CassandraStore:
        """Open the store that ``schema.init`` made.

        Args:
            session: stays open when the store is closed.
            space: of the vectors.
            ttl: seconds after which a record that is written goes by itself; 0 keeps it.

        Raises:
            StoreError: its tables are missing, or of another version.
        """
        bucket = await schema.about(session)
        asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        if bucket is None or not await session.rows(asked, session.keyspace, schema.frames(space)):
            raise StoreError(f"{session.place}: it has no table for {space.name}; run `footage store init`")
        safe = await schema.uses_trie(session, schema.frames(space))
        return cls(session, space, bucket, round(ttl), 1_000 if safe else SAFE)

    async def write(self, records: Sequence[Record]) -> None:
        """Store records; durable on a quorum when it returns; a key that is there already is not stored twice."""
        fresh = {rows.key(record): record for record in reversed(records)}
        units = {
            key: rows.unit(r.vector, self.space.dim, f"the record of camera {r.camera!r} at {r.time}")
            for key, r in fresh.items()
        }
        held: dict[tuple[str, int], list[rows.Key]] = {}
        for key in sorted(fresh):
            held.setdefault((key[0], key[1] // self._bucket), []).append(key)
        parts = [(place, keys[i : i + LOOKUP]) for place, keys in held.items() for i in range(0, len(keys), LOOKUP)]
        await together(self._add(place, {key: (fresh[key], units[key]) for key in keys}) for place, keys in parts)
        # After the records: see ``Pieces.drop``.
        media = {(fresh[key].media, *place) for place, keys in held.items() for key in keys}
        await self._pieces.note(list(held), sorted(media), self._ttl)

    async def _add(self, place: tuple[str, int], added: dict[rows.Key, tuple[Record, Vector]]) -> None:
        known = f"SELECT time, region FROM @{self._table} WHERE camera = ? AND bucket = ? AND time IN ?"
        times = sorted({time for _, time, _ in added})
        there = set(await self._session.rows(known, *place, times))
        insert = (
            f"INSERT INTO @{self._table} (camera, bucket, time, region, media, offset, vector) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) USING TTL ?"
        )
        new: list[Statement] = [
            (insert, (*place, time, region, record.media, record.offset, _bytes(vector), self._ttl))
            for (_, time, region), (record, vector) in added.items()
            if (time, region) not in there
        ]
        await together(self._insert(new[i : i + BATCH]) for i in range(0, len(new), BATCH))

    async def _insert(self, statements: list[Statement]) -> None:
        async with self._inserts:
            await self._session.batch(statements)

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> list[Hit]:
        """The ``k`` best of the records that match, best first; filters apply before ranking.

        Without a filter one search asks the whole cluster; with one, each partition that it leaves is asked, and gives
        at most 1,000. Pieces of up to ten minutes, and what is filtered by media, are scored exactly.
        """
        question = _bytes(rows.unit(vector, self.space.dim, "the question"))
        if k < 1:
            return []
        limit = min(TOP, max(OVER * k, LEAST))
        if where == Where() and k <= TOP:
            found = [await self._search(question, "", limit)]
        else:
            pieces = await self._pieces.matching(where)
            found = await together(self._best(question, piece, limit, where) for piece in pieces)
        hits = [hit for part in found for hit in part]
        hits.sort(key=lambda hit: (-hit.score, hit.time, hit.camera, hit.region.code if hit.region else 0))
        return hits[:k]

    async def _best(self, question: bytes, piece: Piece, limit: int, where: Where) -> list[Hit]:
        if where.media or piece.until - piece.since <= EXACT:
            return await self._exact(question, piece, limit, where)
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        return await self._search(question, f"WHERE {inside}", limit, *piece)

    async def _search(self, question: bytes, where: str, limit: int, *values: Any) -> list[Hit]:
        cql = (
            f"SELECT camera, {ROW}, similarity_dot_product(vector, ?) FROM @{self._table} {where} "
            "ORDER BY vector ANN OF ? LIMIT ?"
        )
        found = await self._session.rows(cql, question, *values, question, limit, how="near")
        return [_hit(*row) for row in found]

    async def _exact(self, question: bytes, piece: Piece, limit: int, where: Where) -> list[Hit]:
        best: list[tuple[float, Any]] = []
        select = f"{ROW}, similarity_dot_product(vector, ?) FROM @{self._table}"
        async for page in self._rows(select, piece, question):
            scored = [(-row[4], row) for row in page if not where.media or row[2] in where.media]
            best = sorted(best + scored)[:limit]
        return [_hit(piece.camera, *row) for _, row in best]

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Records that match, with vectors, by time, camera and region; holds about 2,000 at once, or 8 a camera."""
        pieces = sorted(await self._pieces.matching(where), key=lambda piece: (piece.bucket, piece.since))
        for _, group in groupby(pieces, key=lambda piece: piece.bucket):
            cameras: dict[str, list[Piece]] = {}
            for piece in group:
                cameras.setdefault(piece.camera, []).append(piece)
            page = max(8, min(500, WINDOW // len(cameras)))
            async for record in merged([self._records(parts, page, where) for parts in cameras.values()]):
                yield record

    async def _records(self, pieces: list[Piece], page: int, where: Where) -> AsyncIterator[list[Record]]:
        for piece in pieces:
            async for part in self._rows(f"{ROW}, vector FROM @{self._table}", piece, page=page):
                yield [_record(piece.camera, row) for row in part if not where.media or row[2] in where.media]

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Up to ``n`` vectors of whole frames, spread over the times that match: (m, dim) float32.

        Where more than 12 partitions match, 12 that are evenly spread stand for all.
        """
        pieces = sorted(await self._pieces.matching(where), key=lambda piece: (piece.since, piece.camera))
        found = await together(self._keys(piece, where) for piece in _spread(pieces, LOOK))
        keys = sorted((time, piece) for piece, times in found for time in times)
        wanted: dict[Piece, list[int]] = {}
        for time, piece in _spread(keys, max(n, 0)):
            wanted.setdefault(piece, []).append(time)
        parts = [
            (piece, times[i : i + LOOKUP]) for piece, times in wanted.items() for i in range(0, len(times), LOOKUP)
        ]
        picked = await together(self._vectors(piece, times) for piece, times in parts)
        vectors = [vector for part in picked for vector in part]
        return np.stack(vectors) if vectors else np.empty((0, self.space.dim), np.float32)

    async def _keys(self, piece: Piece, where: Where) -> tuple[Piece, list[int]]:
        whole = []
        async for page in self._rows(f"time, region, media FROM @{self._table}", piece):
            whole += [row[0] for row in page if not row[1] and (not where.media or row[2] in where.media)]
        return piece, whole

    async def _vectors(self, piece: Piece, times: list[int]) -> list[Vector]:
        cql = f"SELECT vector FROM @{self._table} WHERE camera = ? AND bucket = ? AND time IN ? AND region = 0"
        return [_floats(row[0]) for row in await self._session.rows(cql, piece.camera, piece.bucket, times)]

    async def last(self, media: str) -> datetime | None:
        """Time of the newest durable record of this media, where indexing resumes."""
        pieces = await self._pieces.matching(Where(media=(media,)))
        newest = (
            f"SELECT time FROM @{self._table} WHERE camera = ? AND bucket = ? AND media = ? "
            "ORDER BY time DESC, region DESC LIMIT 1 ALLOW FILTERING"
        )
        for piece in sorted(pieces, key=lambda piece: -piece.bucket):
            found = await self._session.rows(newest, piece.camera, piece.bucket, media)
            if found:
                return moment(found[0][0])
        return None

    async def count(self, where: Where = Where()) -> int:
        """How many records match; the server reads them all."""
        inside = "camera = ? AND bucket = ? AND time >= ? AND time < ?"
        cql = f"SELECT count(*) FROM @{self._table} WHERE {inside}"
        pieces = await self._pieces.matching(where)
        asked: list[Statement] = [(cql, tuple(piece)) for piece in pieces]
        if where.media:
            cql += " AND media = ? ALLOW FILTERING"
            asked = [(cql, (*piece, media)) for piece in pieces for media in set(where.media)]
        return sum(found[0][0] for found in await together(self._session.rows(cql, *v) for cql, v in asked))

    async def forget(self, where: Where) -> int:
        """Remove what matches; returns how many. An empty ``where`` removes everything.

        No search finds them from then on; compaction takes them from the disk, after ``gc_grace_seconds``.
        """
        pieces = await self._pieces.matching(where)
        return sum(await together(self._forget(piece, where) for piece in pieces))

    async def _forget(self, piece: Piece, where: Where) -> int:
        gone = 0
        async for page in self._rows(f"time, region, media FROM @{self._table}", piece):
            match = [row for row in page if not where.media or row[2] in where.media]
            gone += len(match)
            await self._delete(piece, [row[:2] for row in match], whole=not where.media)
        await self._pieces.drop(piece, self._table, where.media)
        return gone

    async def _delete(self, piece: Piece, keys: list[tuple[int, int]], *, whole: bool) -> None:
        """Delete rows of a page; as a range when that is all it has: one tombstone in place of thousands."""
        cql = f"DELETE FROM @{self._table} WHERE camera = ? AND bucket = ? AND "
        place = (piece.camera, piece.bucket)
        if whole and keys:
            inside = "(time, region) >= (?, ?) AND (time, region) <= (?, ?)"
            await self._session.write(cql + inside, *place, *keys[0], *keys[-1])
            return
        for i in range(0, len(keys), LOOKUP):
            one = cql + "time = ? AND region = ?"
            await self._session.batch([(one, (*place, *key)) for key in keys[i : i + LOOKUP]])

    async def maintain(self) -> None:
        """Nothing: the server compacts and indexes by itself."""

    async def close(self) -> None:
        """Nothing: the session is its owner's."""

    def _rows(self, select: str, piece: Piece, *values: Any, page: int = 5_000) -> AsyncIterator[list[Any]]:
        fixed = (*values, piece.camera, piece.bucket)
        first, last = (piece.since, -1), (piece.until, -1)
        return self._session.pages(select, "camera = ? AND bucket = ?", fixed, "time, region", first, last, page)


def _bytes(vector: Vector) -> bytes:
    return vector.astype(">f4").tobytes()


def _floats(sent: bytes) -> Vector:
    return np.frombuffer(sent, ">f4").astype(np.float32)


def _hit(camera: str, time: int, region: int, media: str, offset: float, similarity: float) -> Hit:
    """Cassandra's similarity is (1 + inner product) / 2."""
    return Hit(camera, moment(time), media, offset, Region.of(region), 2 * similarity - 1)


def _record(camera: str, row: tuple[Any, ...]) -> Record:
    time, region, media, offset, vector = row
    return Record(camera, moment(time), media, offset, _floats(vector), Region.of(region))


def _spread(values: list[Any], n: int) -> list[Any]:
    """At most ``n`` of the values, evenly spaced."""
    return values if len(values) <= n else [values[i * len(values) // n] for i in range(n)]
