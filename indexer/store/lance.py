"""Stores vectors in LanceDB, the embedded store: one table per space."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.file_lock import lock_file
from footage.indexer.store import rows
from footage.indexer.store.base import FrameTime, Hit, Record, StoreDamaged, StoreError, Vector, Where
from footage.indexer.store.durable import fsync_written
from footage.indexer.store.error_hints import DAMAGED, is_stale, translate_errors
from footage.indexer.store.lance_files import TableLedger, find_damaged_files
from footage.indexer.store.lance_import import IvfSq
from footage.indexer.store.lance_repair import StoreReport, examine_table
from footage.indexer.store.lance_table import create_scalar_indexes, open_table, reopen_table, table_name
from footage.indexer.store.times import merged_micros
from footage.stream.instants import from_micros
from footage.stream.private import make_folder

T = TypeVar("T")

EXACT_LIMIT = 5_000  # rows: a filter that leaves at most this many is searched exactly, without the vector index
INDEX_THRESHOLD = 50_000  # rows from which on a vector index is worth its cost
MAX_UNINDEXED = 5_000  # rows: this many are searched without an index in a few milliseconds
MAX_FRAGMENTS = 64  # files; LanceDB advises to stay below 100
PARTITION_ROWS = 2_000  # rows per partition of the vector index
PROBES = 80  # partitions searched without a filter; see docs/decisions/0001 for the recall this gives
REFINE_FACTOR = 4  # times k candidates are re-ranked with their exact vectors
ROWS_PER_SCAN = 2_000  # rows that a scan holds in memory at once
CLEANUP_GRACE = timedelta(seconds=60)  # how long a replaced file stays for readers that still use it
MAX_VERSION_AGE = 600  # seconds: replaced files older than this are reason enough for maintenance
CACHE_AGE = 600.0  # seconds: LanceDB's caches are renewed this often, since they keep what maintenance has replaced
NO_GRACE = timedelta(milliseconds=1)
MAX_COSINE = 1.01  # of unit vectors, with the rounding of float32
ALL_MICROS = (-(1 << 60), 1 << 60)  # microseconds: wider than datetime


class LanceStore:
    """A store of one space in one folder, shared by any number of processes.

    Writers exclude each other through ``write.lock``, so that looking up a key and adding it is one step; maintenance
    and deletion exclude each other through ``maintain.lock``. Readers take no lock: each query reads the newest
    version, and is repeated when files of its version were removed meanwhile.
    """

    space: Space

    def __init__(self, folder: Path, space: Space, table: Any) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._folder = folder
        self._table_folder = folder / f"{table_name(space)}.lance"
        self._table = table
        self._ledger = TableLedger(folder, table_name(space))
        self._opened = time.monotonic()

    @classmethod
    async def open(cls, folder: Path, space: Space) -> LanceStore:
        """Open the store in ``folder``, creating folder and table when they are absent.

        A table that was there before and is gone, or is an older one, is noted as lost (``find_damage``).

        Raises:
            StoreError: the folder cannot be written, or the table was made by another version.
            StoreDamaged: the list of the table's files cannot be read.
        """
        with translate_errors(folder):
            await asyncio.to_thread(make_folder, folder)
            async with lock_file(folder / "maintain.lock"):
                table = await open_table(folder, space)
                ledger = TableLedger(folder, table_name(space))
                await asyncio.to_thread(ledger.check, int(await table.version()), int(await table.count_rows()))
                await create_scalar_indexes(table)
        return cls(folder, space, table)

    async def write(self, records: Sequence[Record]) -> None:
        """Store records, durably when it returns; a key that exists already is not stored twice."""
        fresh = {rows.storage_key(record): record for record in reversed(records)}
        if not fresh:
            return
        batch = rows.to_arrow(dict(reversed(fresh.items())), self.space.dim)
        with translate_errors(self._folder):
            async with lock_file(self._folder / "write.lock"):
                known = await self._existing_keys(fresh)
                if known:
                    batch = batch.filter(pa.array([key not in known for key in reversed(fresh)]))
                if len(batch):
                    async with self._durable():
                        await self._table.add(batch)

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> list[Hit]:
        """Return the ``k`` best of the records that match, best first; filters apply before ranking.

        The search is exact for filters that leave few rows and for small tables; otherwise it uses the vector index,
        whose candidates are re-ranked with their exact vectors.
        """
        if k < 1:
            return []
        row = rows.check_unit_vector(vector, self.space.dim, "the question")
        clause = rows.sql_filter(where)
        probes = await self._choose_probes(clause, k)

        async def ask() -> pa.Table:
            query = self._table.query().nearest_to(row).column("vector").distance_type("dot").limit(k)
            if clause != "true":  # even this filter would be evaluated for every row
                query = query.where(clause)
            query = query.nprobes(probes).refine_factor(REFINE_FACTOR) if probes else query.bypass_vector_index()
            return await query.select([*rows.FACT_COLUMNS, "_distance"]).to_arrow()

        found = await self._retry_stale(ask)
        with translate_errors(self._folder):
            hits = rows.to_hits(found)
        if any(not abs(hit.score) <= MAX_COSINE for hit in hits):
            await self.note_loss(1)
            raise StoreDamaged(f"{self._folder}: {DAMAGED}")
        return hits

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Yield the records that match, with vectors, by time, camera and region; holds about 2,000 at once.

        Bisects time until an interval has few enough rows, then reads and sorts that interval.
        """
        clause = rows.sql_filter(where)
        pending = merged_micros(where.spans)[::-1] or [ALL_MICROS]
        while pending:
            start, end = pending.pop()
            interval = f"{clause} AND {rows.sql_time_range(start, end)}"
            size = await self._count_rows(interval)
            if size > ROWS_PER_SCAN and end - start > 1:
                middle = (start + end) // 2
                pending += [(middle, end), (start, middle)]
            elif size:
                found = rows.sort_rows(await self._select(interval))
                with translate_errors(self._folder):
                    records = list(rows.to_records(found, self.space.dim))
                for record in records:
                    yield record

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Return up to ``n`` vectors of whole frames, evenly spread over the times that match: (m, dim) float32."""
        clause = rows.sql_filter(where) + " AND region = 0"
        times = np.unique(np.asarray((await self._select(clause, ["time"]))["time"]))
        if n < 1 or not len(times):
            return np.empty((0, self.space.dim), np.float32)
        chosen = _evenly_spaced(times, n)
        found = rows.sort_rows(await self._select(f"{rows.sql_in('time', chosen.tolist())} AND {clause}"))
        return np.ascontiguousarray(_evenly_spaced(rows.vector_matrix(found, self.space.dim), n))

    async def times(self, where: Where, n: int) -> list[FrameTime]:
        """Return up to ``n`` times of each camera that have records, spread over those that match."""
        found = await self._select(rows.sql_filter(where), rows.KEY_COLUMNS)
        with translate_errors(self._folder):
            return await asyncio.to_thread(rows.to_times, found, n)

    async def last_time(self, media: str) -> datetime | None:
        """Return the time of the newest durable record of this media, where indexing resumes."""
        times = await self._select(rows.sql_in("media", [media]), ["time"])
        return from_micros(pc.max(times["time"]).as_py()) if len(times) else None

    async def count(self, where: Where = Where()) -> int:
        """Count the records that match."""
        return await self._count_rows(rows.sql_filter(where))

    async def counts(self, cameras: Sequence[str]) -> dict[str, int]:
        """Return the numbers of records by camera."""
        return {camera: await self.count(Where((camera,))) for camera in cameras}

    async def forget(self, where: Where) -> int:
        """Delete what matches, from the disk too, and return how many. An empty ``where`` deletes everything."""
        clause = rows.sql_filter(where)
        with translate_errors(self._folder):
            async with lock_file(self._folder / "maintain.lock"), lock_file(self._folder / "write.lock"):
                gone = await self._count_rows(clause)
                async with self._durable():
                    await self._split_files(clause)
                    await self._table.delete(clause)
                async with self._durable():
                    await self._table.optimize(cleanup_older_than=NO_GRACE, delete_unverified=True)
        return gone

    async def maintain(self) -> None:
        """Compact and index what has been added. A second caller waits; searches and writes continue meanwhile.

        Costs a millisecond while little has been added, so call it every 50 writes or every half minute.
        """
        with translate_errors(self._folder):
            async with lock_file(self._folder / "maintain.lock"), self._durable():
                if await self._maintenance_due():
                    await self._table.optimize(cleanup_older_than=CLEANUP_GRACE)
                    await self._renew_caches()
                await self._train_index()

    async def find_damage(self) -> str:
        """Say what is wrong with the files, by their names and sizes: a millisecond; empty when nothing is."""
        for pause in (0.05, 0.2, None):  # maintenance in another process replaces files meanwhile
            found = await self._look_for_damage()
            if not found or pause is None:
                return found
            await asyncio.sleep(pause)
        return ""

    async def note_loss(self, records: int) -> None:
        """Remember that records were lost, or with 0 that all of them are there again."""
        state = await asyncio.to_thread(self._ledger.read)
        await asyncio.to_thread(self._ledger.write, replace(state, lost=max(state.lost, records) if records else 0))

    async def examine(self) -> StoreReport:
        """Read every record and vector, and count them by media."""
        return await examine_table(self._table, self.space.dim)

    async def close(self) -> None:
        """Release the table. Calling it twice does no harm."""
        self._table.close()

    @asynccontextmanager
    async def _durable(self) -> AsyncIterator[None]:
        """Fsync what the block has written."""
        began = time.time()
        yield
        await asyncio.to_thread(fsync_written, self._table_folder, began)
        version, count = int(await self._table.version()), int(await self._table.count_rows())
        await asyncio.to_thread(self._ledger.note, version, count)

    async def _renew_caches(self) -> None:
        """Open the table anew, at times: queries that run go on with the old one, whose caches end with them."""
        if time.monotonic() - self._opened >= CACHE_AGE:
            self._table, self._opened = await reopen_table(self._folder, self.space), time.monotonic()

    async def _look_for_damage(self) -> str:
        state = await asyncio.to_thread(self._ledger.read)
        if state.lost:
            return f"{state.lost} records were lost"
        try:
            with translate_errors(self._folder):
                await self._table.checkout_latest()
                version = int(await self._table.version())
                parts = (await self._table.stats())["fragment_stats"]["num_fragments"]
        except StoreError:
            return "the list of its files is missing or cannot be read"
        if version < state.version:
            return "it was replaced by an older copy"
        broken = await asyncio.to_thread(find_damaged_files, self._table_folder, parts)
        return f"{broken} of {parts} files with vectors are missing or cut" if broken else ""

    async def _split_files(self, clause: str) -> None:
        """Move the rows to keep out of the files that hold rows to delete, so that those files can be removed.

        Deletion alone marks rows and leaves their bytes, and compaction rewrites a file only above 10 % of marks.
        """
        found = self._table.query().where(clause).with_row_address().select(["_rowaddr"])
        addresses = np.asarray((await found.to_arrow())["_rowaddr"])
        for fragment in np.unique(addresses >> 32).tolist():
            inside = f"_rowaddr >= {fragment << 32} AND _rowaddr < {fragment + 1 << 32}"
            await self._table.update(where=f"{inside} AND NOT ({clause})", updates_sql={"region": "region"})

    async def _maintenance_due(self) -> bool:
        """Whether enough was added: each maintenance adds a part to the vector index, which LanceDB merges after 30."""
        versions = [entry for entry in os.scandir(self._table_folder / "_versions") if entry.name.endswith(".manifest")]
        if len(versions) > 1 and min(entry.stat().st_mtime for entry in versions) < time.time() - MAX_VERSION_AGE:
            return True
        scalar = await self._table.index_stats("time_idx")
        added = scalar.num_unindexed_rows if scalar else 0
        stats = await self._table.stats()
        return bool(added >= MAX_UNINDEXED or (added and stats["fragment_stats"]["num_fragments"] >= MAX_FRAGMENTS))

    async def _train_index(self) -> None:
        """Train the vector index when there is none yet, and again when the table has doubled since."""
        size = await self._table.count_rows()
        names = [index.name for index in await self._table.list_indices() if "vector" in index.columns]
        partitions = size // PARTITION_ROWS
        if size < INDEX_THRESHOLD or any(partitions < 2 * int(name.rpartition("_")[2]) for name in names):
            return
        config = IvfSq(distance_type="dot", num_partitions=partitions)
        await self._table.create_index("vector", config=config, name=f"vector_{partitions}")
        for old in names:
            await self._table.drop_index(old)

    async def _choose_probes(self, clause: str, k: int) -> int:
        """Return how many partitions to search, or 0 to search every row that the filter leaves.

        Under a filter the best rows are spread over more partitions, in proportion to what it leaves out.
        """
        if clause == "true":
            return PROBES
        left = await self._count_rows(clause)
        return 0 if left <= max(EXACT_LIMIT, k) else math.ceil(PROBES * await self._count_rows("true") / left)

    async def _existing_keys(self, keys: dict[rows.StorageKey, Record]) -> set[rows.StorageKey]:
        times = {time for _, time, _ in keys}
        found = await self._select(rows.sql_in("time", times), rows.KEY_COLUMNS)
        return {(row["camera"], row["time"], row["region"]) for row in found.to_pylist()}

    async def _count_rows(self, clause: str) -> int:
        return int(await self._retry_stale(lambda: self._table.count_rows(None if clause == "true" else clause)))

    async def _select(self, clause: str, columns: Sequence[str] = (*rows.FACT_COLUMNS, "vector")) -> pa.Table:
        return await self._retry_stale(lambda: self._table.query().where(clause).select(list(columns)).to_arrow())

    async def _retry_stale(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Run a query; repeat it when maintenance in another process removed files of the version it was reading."""
        with translate_errors(self._folder):
            for _ in range(4):
                try:
                    return await ask()
                except (RuntimeError, ValueError, OSError) as error:
                    if not is_stale(error):
                        raise
                    await self._table.checkout_latest()
            return await ask()


def _evenly_spaced(values: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    """Return at most ``n`` of the values, evenly spaced."""
    return values if len(values) <= n else values[np.arange(n) * len(values) // n]
