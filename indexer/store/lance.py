"""The embedded store: vectors in a LanceDB table, one table a space."""

from __future__ import annotations

import asyncio
import math
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import lancedb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lancedb.index import Bitmap, BTree, IvfSq

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.file_lock import held
from footage.indexer.store import rows
from footage.indexer.store.base import Hit, Record, Vector, Where
from footage.indexer.store.durable import settle
from footage.indexer.store.faults import explained, is_stale
from footage.indexer.store.times import moment, spans

T = TypeVar("T")

EXACT = 5_000  # rows: a filter that leaves no more than this is searched exactly, without the vector index
INDEXED = 50_000  # rows from which on a vector index pays
LAG = 5_000  # rows: so many are searched without an index in a few milliseconds
FRAGMENTS = 64  # files; LanceDB advises to stay below 100
PARTITION = 2_000  # rows a partition of the vector index
PROBES = 80  # partitions looked into; see docs/decisions/0001 for the recall this gives
REFINE = 4  # times k candidates are re-ranked with their exact vectors
WINDOW = 2_000  # rows that a scan holds at once
GRACE = timedelta(seconds=60)  # how long a replaced file stays for readers that are still at it
KEPT = 600  # seconds after which replaced files are worth a round of maintenance by themselves
NOW = timedelta(milliseconds=1)
INDEX_CACHE = 192 << 20  # bytes; LanceDB's own default is 6 GB, and each write leaves more in it
METADATA_CACHE = 32 << 20  # bytes; 1 GB by default
ALWAYS = (-(1 << 60), 1 << 60)  # microseconds: wider than datetime


class LanceStore:
    """Vectors of one space in one folder, shared by any number of processes.

    Writers take turns through ``write.lock``, so that a key is looked up and added in one step; maintenance and
    forgetting take turns through ``maintain.lock``. Readers take no lock: each question reads the newest version, and
    asks again when files of an older one were removed meanwhile.
    """

    space: Space

    def __init__(self, folder: Path, space: Space, table: Any) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._folder = folder
        self._place = folder / f"{name(space)}.lance"
        self._table = table

    @classmethod
    async def open(cls, folder: Path, space: Space) -> LanceStore:
        """Open the store in ``folder``, making folder and table when they are absent.

        Raises:
            StoreError: the folder cannot be written, or the table was made by another version.
        """
        with explained(folder):
            await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
            database = await lancedb.connect_async(
                folder, read_consistency_interval=timedelta(0), session=lancedb.Session(INDEX_CACHE, METADATA_CACHE)
            )
            async with held(folder / "maintain.lock"):
                table = await database.create_table(name(space), schema=rows.schema(space.dim), exist_ok=True)
                if not await table.list_indices():
                    await table.create_index("time", config=BTree())
                    await table.create_index("media", config=BTree())
                    await table.create_index("camera", config=Bitmap())
        return cls(folder, space, table)

    async def write(self, records: Sequence[Record]) -> None:
        """Store records; durable when it returns; a key that is there already is not stored twice."""
        fresh = {rows.key(record): record for record in reversed(records)}
        if not fresh:
            return
        batch = rows.table(dict(reversed(fresh.items())), self.space.dim)
        with explained(self._folder):
            async with held(self._folder / "write.lock"):
                known = await self._known(fresh)
                if known:
                    batch = batch.filter(pa.array([key not in known for key in reversed(fresh)]))
                if len(batch):
                    async with self._settled():
                        await self._table.add(batch)

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> list[Hit]:
        """The ``k`` best of the records that match, best first; filters apply before ranking.

        Exact for filters that leave few rows and for small tables; else through the vector index, whose candidates
        are re-ranked with their exact vectors.
        """
        if k < 1:
            return []
        row = rows.unit(vector, self.space.dim, "the question")
        clause = rows.predicate(where)
        probes = await self._probes(clause, k)

        async def ask() -> pa.Table:
            query = self._table.query().nearest_to(row).column("vector").distance_type("dot").limit(k)
            if clause != "true":  # even this filter would be worked out for every row
                query = query.where(clause)
            query = query.nprobes(probes).refine_factor(REFINE) if probes else query.bypass_vector_index()
            return await query.select([*rows.FACTS, "_distance"]).to_arrow()

        return rows.hits(await self._read(ask))

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Records that match, with vectors, by time, camera and region; holds about 2,000 at once.

        Halves the time until a piece holds few enough rows, then reads and sorts that piece.
        """
        clause = rows.predicate(where)
        pending = spans(where.spans)[::-1] or [ALWAYS]
        while pending:
            start, end = pending.pop()
            piece = f"{clause} AND {rows.between(start, end)}"
            size = await self._size(piece)
            if size > WINDOW and end - start > 1:
                middle = (start + end) // 2
                pending += [(middle, end), (start, middle)]
            elif size:
                for record in rows.records(rows.ordered(await self._rows(piece)), self.space.dim):
                    yield record

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Up to ``n`` vectors of whole frames, evenly spread over the times that match: (m, dim) float32."""
        clause = rows.predicate(where) + " AND region = 0"
        times = np.unique(np.asarray((await self._rows(clause, ["time"]))["time"]))
        if n < 1 or not len(times):
            return np.empty((0, self.space.dim), np.float32)
        chosen = _spread(times, n)
        found = rows.ordered(await self._rows(f"{rows.among('time', chosen.tolist())} AND {clause}"))
        return np.ascontiguousarray(_spread(rows.matrix(found, self.space.dim), n))

    async def last(self, media: str) -> datetime | None:
        """Time of the newest durable record of this media, where indexing resumes."""
        times = await self._rows(rows.among("media", [media]), ["time"])
        return moment(pc.max(times["time"]).as_py()) if len(times) else None

    async def count(self, where: Where = Where()) -> int:
        """How many records match."""
        return await self._size(rows.predicate(where))

    async def forget(self, where: Where) -> int:
        """Remove what matches, from the disk too; returns how many. An empty ``where`` removes everything."""
        clause = rows.predicate(where)
        with explained(self._folder):
            async with held(self._folder / "maintain.lock"), held(self._folder / "write.lock"):
                gone = await self._size(clause)
                async with self._settled():
                    await self._spare(clause)
                    await self._table.delete(clause)
                async with self._settled():
                    await self._table.optimize(cleanup_older_than=NOW, delete_unverified=True)
        return gone

    async def maintain(self) -> None:
        """Compact and index what has been added since. Others wait their turn; searches and writes go on meanwhile.

        Costs a millisecond while little has been added, so call it every 50 writes or every half minute.
        """
        with explained(self._folder):
            async with held(self._folder / "maintain.lock"), self._settled():
                if await self._due():
                    await self._table.optimize(cleanup_older_than=GRACE)
                await self._index()

    async def close(self) -> None:
        """Release the table. Calling it twice does no harm."""
        self._table.close()

    @asynccontextmanager
    async def _settled(self) -> AsyncIterator[None]:
        """Leave the body's work safely on the disk."""
        began = time.time()
        yield
        await asyncio.to_thread(settle, self._place, began)

    async def _spare(self, clause: str) -> None:
        """Move the rows that stay out of the files that hold rows that go, so that those files can be removed whole.

        Deleting alone marks rows and leaves their bytes, and compaction rewrites a file only above 10 % of marks.
        """
        found = self._table.query().where(clause).with_row_address().select(["_rowaddr"])
        addresses = np.asarray((await found.to_arrow())["_rowaddr"])
        for fragment in np.unique(addresses >> 32).tolist():
            inside = f"_rowaddr >= {fragment << 32} AND _rowaddr < {fragment + 1 << 32}"
            await self._table.update(where=f"{inside} AND NOT ({clause})", updates_sql={"region": "region"})

    async def _due(self) -> bool:
        """Whether enough was added: every round adds a part to the vector index, which LanceDB joins after 30."""
        versions = [entry for entry in os.scandir(self._place / "_versions") if entry.name.endswith(".manifest")]
        if len(versions) > 1 and min(entry.stat().st_mtime for entry in versions) < time.time() - KEPT:
            return True
        scalar = await self._table.index_stats("time_idx")
        added = scalar.num_unindexed_rows if scalar else 0
        stats = await self._table.stats()
        return bool(added >= LAG or (added and stats["fragment_stats"]["num_fragments"] >= FRAGMENTS))

    async def _index(self) -> None:
        """Train the vector index when there is none yet, and anew when the table has grown to twice its size."""
        size = await self._table.count_rows()
        names = [index.name for index in await self._table.list_indices() if "vector" in index.columns]
        partitions = size // PARTITION
        if size < INDEXED or any(partitions < 2 * int(name.rpartition("_")[2]) for name in names):
            return
        config = IvfSq(distance_type="dot", num_partitions=partitions)
        await self._table.create_index("vector", config=config, name=f"vector_{partitions}")
        for old in names:
            await self._table.drop_index(old)

    async def _probes(self, clause: str, k: int) -> int:
        """How many partitions to look into, or 0 to look at every row that is left.

        A filter spreads the best over more partitions, in proportion to what it leaves out.
        """
        if clause == "true":
            return PROBES
        left = await self._size(clause)
        return 0 if left <= max(EXACT, k) else math.ceil(PROBES * await self._size("true") / left)

    async def _known(self, keys: dict[rows.Key, Record]) -> set[rows.Key]:
        times = {time for _, time, _ in keys}
        found = await self._rows(rows.among("time", times), rows.KEY)
        return {(row["camera"], row["time"], row["region"]) for row in found.to_pylist()}

    async def _size(self, clause: str) -> int:
        return int(await self._read(lambda: self._table.count_rows(None if clause == "true" else clause)))

    async def _rows(self, clause: str, columns: Sequence[str] = (*rows.FACTS, "vector")) -> pa.Table:
        return await self._read(lambda: self._table.query().where(clause).select(list(columns)).to_arrow())

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask, and ask again when maintenance elsewhere removed the files of the version that was being read."""
        with explained(self._folder):
            for _ in range(4):
                try:
                    return await ask()
                except (RuntimeError, ValueError, OSError) as error:
                    if not is_stale(error):
                        raise
                    await self._table.checkout_latest()
            return await ask()


def name(space: Space) -> str:
    """The table of a space: its name with what a table name cannot hold written as _hex, and its dimension."""
    return re.sub(r"[^A-Za-z0-9.-]", lambda match: f"_{ord(match[0]):x}_", space.name) + f"_{space.dim}"


def _spread(values: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """At most ``n`` of the values, evenly spaced."""
    return values if len(values) <= n else values[np.arange(n) * len(values) // n]
