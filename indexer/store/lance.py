"""Stores vectors in LanceDB, the embedded store: one table per space, and beside it a column that is scanned."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.file_lock import lock_file
from footage.indexer.store import rows
from footage.indexer.store.base import FrameTime, Hit, Record, Scores, Vector, Where
from footage.indexer.store.column.service import ColumnStatus, ScanColumn
from footage.indexer.store.column.slices import Filter
from footage.indexer.store.durable import fsync_written
from footage.indexer.store.error_hints import DAMAGED, translate_errors
from footage.indexer.store.errors import StoreDamaged, StoreError
from footage.indexer.store.lance_files import TableLedger, TableState, find_damaged_files, read_state
from footage.indexer.store.lance_reader import TableReader
from footage.indexer.store.lance_table import create_scalar_indexes, open_table, table_name
from footage.indexer.store.row_arrays import (
    CONCURRENT_BATCHES,
    RowArrays,
    collect,
    from_records,
    read_ahead,
    score_batches,
)
from footage.stream.instants import from_micros
from footage.stream.private import make_folder

if TYPE_CHECKING:
    from footage.indexer.store.lance_repair import StoreReport

T = TypeVar("T")

INDEX_THRESHOLD = 50_000  # rows from which on a vector index is worth its cost
MAX_UNINDEXED = 5_000  # rows: this many are searched without an index in a few milliseconds
MAX_FRAGMENTS = 64  # files; LanceDB advises to stay below 100
PARTITION_ROWS = 2_000  # rows per partition of the vector index
CLEANUP_GRACE = timedelta(seconds=60)  # how long a replaced file stays for readers that still use it
MAX_VERSION_AGE = 600  # seconds: replaced files older than this are reason enough for maintenance
CACHE_AGE = 600.0  # seconds: LanceDB's caches are renewed this often, since they keep what maintenance has replaced
NO_GRACE = timedelta(milliseconds=1)
MAX_COSINE = 1.01  # of unit vectors, with the rounding of float32
SCAN_ROWS = 2_000  # rows that a scan holds in memory at once


class LanceStore:
    """A store of one space in one folder, shared by any number of processes.

    Writers exclude each other through ``write.lock``, so that looking up a key and adding it is one step; maintenance
    and deletion exclude each other through ``maintain.lock``. Readers take no lock. What can be answered from the scan
    column is (docs/decisions/0032), and for that LanceDB is not even imported while nobody has changed the table;
    otherwise each query reads the newest version of the table.
    """

    space: Space
    heeds_least = True

    def __init__(self, folder: Path, space: Space, reader: TableReader, column: ScanColumn) -> None:
        """Use ``open`` instead."""
        self.space = space
        self._folder = folder
        self._reader = reader
        self._column = column
        self._ledger = TableLedger(folder, table_name(space))
        self._table_folder = self._ledger.table_folder
        self._opened = time.monotonic()

    @classmethod
    async def open(cls, folder: Path, space: Space, memory: int | None = None) -> LanceStore:
        """Open the store in ``folder``, creating folder and table when they are absent.

        A table that was there before and is gone, or is an older one, is noted as lost (``find_damage``).

        Args:
            memory: bytes that the scan column may take; None for a quarter of the machine's, 0 for no column.

        Raises:
            StoreError: the folder cannot be written, or the table was made by another version.
            StoreDamaged: the list of the table's files cannot be read.
        """
        with translate_errors(folder):
            await asyncio.to_thread(make_folder, folder)
            ledger = TableLedger(folder, table_name(space))
            if known := await asyncio.to_thread(ledger.confirmed):
                reader = TableReader(folder, space, ledger)
                column = ScanColumn(folder, table_name(space), space, reader, memory)
                if await column.verify(known.version, known.rows):
                    return cls(folder, space, reader, column)
                await column.close()
            async with lock_file(folder / "maintain.lock"):
                noted = await asyncio.to_thread(ledger.read)
                table = await open_table(folder, space)
                await asyncio.to_thread(ledger.check, noted, int(await table.version()), int(await table.count_rows()))
                await create_scalar_indexes(table)
                await asyncio.to_thread(ledger.note, await read_state(table, ledger.table_folder))
                reader = TableReader(folder, space, ledger, table)
                column = ScanColumn(folder, table_name(space), space, reader, memory)
                await column.open()
        return cls(folder, space, reader, column)

    async def write(self, records: Sequence[Record]) -> None:
        """Store records, durably when it returns; a key that exists already is not stored twice."""
        fresh = {rows.storage_key(record): record for record in reversed(records)}
        if not fresh:
            return
        import pyarrow as pa

        batch = rows.to_arrow(dict(reversed(fresh.items())), self.space.dim)
        table = await self._reader.table()
        with translate_errors(self._folder):
            async with lock_file(self._folder / "write.lock"):
                known = await self._reader.existing_keys({time for _, time, _ in fresh})
                if known:
                    batch = batch.filter(pa.array([key not in known for key in reversed(fresh)]))
                if len(batch):
                    async with self._column.adding(batch), self._durable():
                        await table.add(batch)

    async def nearest(self, vector: Vector, k: int, where: Where = Where(), least: float = -inf) -> list[Hit]:
        """Return the ``k`` best of the records that match, best first; filters apply before ranking."""
        if k < 1:
            return []
        row = rows.check_unit_vector(vector, self.space.dim, "the question")
        found = await self._column.nearest(row, k, where, least)
        hits = found.hits if found else []
        if found is None or found.rest is not None:
            rest = await self._reader.nearest(row, k, rows.sql_filter(found.rest if found and found.rest else where))
            if any(not abs(hit.score) <= MAX_COSINE for hit in rest):
                await self.note_loss(1)
                raise StoreDamaged(f"{self._folder}: {DAMAGED}")
            hits = rows.best_hits([*hits, *(hit for hit in rest if hit.score >= least)], k)
        return hits

    async def scan(self, where: Where = Where()) -> AsyncIterator[Record]:
        """Yield the records that match, with vectors, by time, camera and region; holds about 2,000 at once."""
        async for batch in self.batches(where, SCAN_ROWS):
            for record in batch.records():
                yield record

    async def batches(self, where: Where = Where(), size: int = SCAN_ROWS) -> AsyncIterator[RowArrays]:
        """Yield the records that match as arrays, in order; about ``size`` at once, and never one time in two."""
        wanted = Filter.of(where)
        intervals = await self._column.intervals(wanted, size)
        if intervals is None:
            async for batch in collect(self._reader.scan(where), size, self.space.dim):
                yield batch
            return
        filters = [wanted.within(start, end) for start, end in intervals]
        async with read_ahead(lambda one: self._read([one], _as_read), filters) as reading:
            async for (batch,) in reading:
                if len(batch):
                    yield batch

    async def scores(
        self, where: Where, size: int, score: Callable[[Vectors], Scores]
    ) -> AsyncGenerator[tuple[RowArrays, Scores], None]:
        """Yield what ``batches`` yields without the vectors, each record with what ``score`` makes of its vector."""
        wanted = Filter.of(where)
        intervals = await self._column.intervals(wanted, size)
        if intervals is None:
            async with aclosing(score_batches(self.batches(where, size), score)) as scoring:
                async for batch in scoring:
                    yield batch
            return
        filters = [wanted.within(start, end) for start, end in intervals]
        async with read_ahead(lambda one: self._scores(one, score), filters, CONCURRENT_BATCHES) as reading:
            async for rows_, found in reading:
                if len(rows_):
                    yield rows_, found

    async def _scores(self, wanted: Filter, score: Callable[[Vectors], Scores]) -> tuple[RowArrays, Scores]:
        found = await self._column.scores(wanted, score)
        if found is None:
            records = [record async for record in self._reader.scan(wanted.where())]
            rows_ = from_records(records, self.space.dim)
            return rows_.without_vectors(), await asyncio.to_thread(score, rows_.vectors)
        return found

    async def read(self, wheres: Sequence[Where], use: Callable[[RowArrays], T]) -> list[T]:
        """Return what ``use`` makes of the records of each filter, in order of time, camera and region."""
        return await self._read([Filter.of(where) for where in wheres], use)

    async def _read(self, wanted: Sequence[Filter], use: Callable[[RowArrays], T]) -> list[T]:
        found = await self._column.read(wanted, use)
        if found is not None:
            return found
        parts = [[r async for r in self._reader.scan(one.where())] for one in wanted]
        return await asyncio.to_thread(lambda: [use(from_records(part, self.space.dim)) for part in parts])

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Return up to ``n`` vectors of whole frames, evenly spread over the times that match: (m, dim) float32."""
        found = await self._column.sample(n, Filter.of(where))
        return await self._reader.sample(n, where) if found is None else found

    async def times(self, where: Where, n: int) -> list[FrameTime]:
        """Return up to ``n`` times of each camera that have records, spread over those that match."""
        found = await self._reader.select(rows.sql_filter(where), rows.KEY_COLUMNS)
        with translate_errors(self._folder):
            return await asyncio.to_thread(rows.to_times, found, n)

    async def last_time(self, media: str) -> datetime | None:
        """Return the time of the newest durable record of this media, where indexing resumes."""
        last = await self._reader.last_micros(media)
        return None if last is None else from_micros(last)

    async def count(self, where: Where = Where()) -> int:
        """Count the records that match."""
        found = await self._column.count(Filter.of(where)) if where != Where() else None
        return await self._reader.count(rows.sql_filter(where)) if found is None else found

    async def counts(self, cameras: Sequence[str]) -> dict[str, int]:
        """Return the numbers of records by camera."""
        return {camera: await self.count(Where((camera,))) for camera in cameras}

    async def forget(self, where: Where) -> int:
        """Delete what matches, from the disk too, and return how many. An empty ``where`` deletes everything."""
        clause = rows.sql_filter(where)
        table = await self._reader.table()
        with translate_errors(self._folder):
            async with lock_file(self._folder / "maintain.lock"), lock_file(self._folder / "write.lock"):
                gone = await self._reader.count(clause)
                async with self._column.forgetting(where):
                    async with self._durable():
                        await self._split_files(clause)
                        await table.delete(clause)
                    async with self._durable():
                        await table.optimize(cleanup_older_than=NO_GRACE, delete_unverified=True)
        return gone

    async def maintain(self) -> None:
        """Compact and index what has been added. A second caller waits; searches and writes continue meanwhile.

        Costs a millisecond while little has been added, so call it every 50 writes or every half minute.
        """
        with translate_errors(self._folder):
            async with lock_file(self._folder / "maintain.lock"):
                async with self._durable():
                    if await self._maintenance_due():
                        await (await self._reader.table()).optimize(cleanup_older_than=CLEANUP_GRACE)
                        await self._renew_caches()
                    if not await self._column.covers_all():
                        await self._train_index()
                await self._column.maintained()

    @property
    def table(self) -> str:
        """The name of the table."""
        return table_name(self.space)

    async def version(self) -> int:
        """Return the number of the table's last commit."""
        return (await self._current_state()).version

    async def note_known(self, version: int) -> None:
        """Remember that the catalog knows of a commit."""
        await asyncio.to_thread(self._ledger.change, lambda state: replace(state, known=version))

    async def find_damage(self, known: int | None = None) -> str:
        """Say what is wrong with the files, by their names and sizes: a millisecond; empty when nothing is.

        Args:
            known: number of the last commit that the catalog knows of, to be compared, too.
        """
        for pause in (0.05, 0.2, None):  # maintenance in another process replaces files meanwhile
            found = await self._look_for_damage(known)
            if not found or pause is None:
                return found
            await asyncio.sleep(pause)
        return ""

    async def load(self) -> None:
        """Bring what searches scan into memory, as far as that is allowed: else the first of them waits for it."""
        await self._column.load()

    async def column_status(self) -> ColumnStatus:
        """Return what there is of the scan column."""
        return await self._column.status()

    async def note_loss(self, records: int) -> None:
        """Remember that records were lost, or with 0 that all of them are there again."""
        await asyncio.to_thread(self._ledger.note_loss, records)

    async def examine(self) -> StoreReport:
        """Read every record and vector, and count them by media."""
        from footage.indexer.store.lance_repair import examine_table

        return await examine_table(await self._reader.table(), self.space.dim)

    async def close(self) -> None:
        """Release the table and the column. Calling it twice does no harm."""
        await self._column.close()
        self._reader.close()

    @asynccontextmanager
    async def _durable(self) -> AsyncIterator[None]:
        """Fsync what the block has written."""
        began = time.time()
        yield
        await asyncio.to_thread(fsync_written, self._table_folder, began)
        await asyncio.to_thread(self._ledger.note, await read_state(await self._reader.table(), self._table_folder))

    async def _renew_caches(self) -> None:
        """Open the table anew, at times."""
        if time.monotonic() - self._opened >= CACHE_AGE:
            await self._reader.renew()
            self._opened = time.monotonic()

    async def _look_for_damage(self, known: int | None) -> str:
        state = await asyncio.to_thread(self._ledger.read)
        if state.lost:
            return f"{state.lost} records were lost"
        try:
            found = await self._current_state()
        except StoreError:
            return "the list of its files is missing or cannot be read"
        if found.version < max(state.version, known or 0):
            return "its vectors were replaced by an older copy"
        if known is not None and known < state.known:
            return "catalog.sqlite was replaced by an older copy, which does not know what was indexed since"
        broken = await asyncio.to_thread(find_damaged_files, self._table_folder, found.parts)
        return f"{broken} of {found.parts} files with vectors are missing or cut" if broken else ""

    async def _current_state(self) -> TableState:
        """Return what the table holds now; from the ledger while the table is not open and nobody has changed it."""
        if not self._reader.is_open and (known := await asyncio.to_thread(self._ledger.confirmed)):
            return known
        table = await self._reader.table()
        with translate_errors(self._folder):
            await table.checkout_latest()
            return await read_state(table, self._table_folder)

    async def _split_files(self, clause: str) -> None:
        """Move the rows to keep out of the files that hold rows to delete, so that those files can be removed.

        Deletion alone marks rows and leaves their bytes, and compaction rewrites a file only above 10 % of marks.
        """
        table = await self._reader.table()
        found = table.query().where(clause).with_row_address().select(["_rowaddr"])
        addresses = np.asarray((await found.to_arrow())["_rowaddr"])
        for fragment in np.unique(addresses >> 32).tolist():
            inside = f"_rowaddr >= {fragment << 32} AND _rowaddr < {fragment + 1 << 32}"
            await table.update(where=f"{inside} AND NOT ({clause})", updates_sql={"region": "region"})

    async def _maintenance_due(self) -> bool:
        """Whether enough was added: each maintenance adds a part to the vector index, which LanceDB merges after 30."""
        versions = [entry for entry in os.scandir(self._table_folder / "_versions") if entry.name.endswith(".manifest")]
        if len(versions) > 1 and min(entry.stat().st_mtime for entry in versions) < time.time() - MAX_VERSION_AGE:
            return True
        table = await self._reader.table()
        scalar = await table.index_stats("time_idx")
        added = scalar.num_unindexed_rows if scalar else 0
        stats = await table.stats()
        return bool(added >= MAX_UNINDEXED or (added and stats["fragment_stats"]["num_fragments"] >= MAX_FRAGMENTS))

    async def _train_index(self) -> None:
        """Train the vector index when there is none yet, and again when the table has doubled since."""
        from footage.indexer.store.lance_import import IvfSq

        table = await self._reader.table()
        size = await table.count_rows()
        names = [index.name for index in await table.list_indices() if "vector" in index.columns]
        partitions = size // PARTITION_ROWS
        if size < INDEX_THRESHOLD or any(partitions < 2 * int(name.rpartition("_")[2]) for name in names):
            return
        config = IvfSq(distance_type="dot", num_partitions=partitions)
        await table.create_index("vector", config=config, name=f"vector_{partitions}")
        for old in names:
            await table.drop_index(old)


def _as_read(rows: RowArrays) -> RowArrays:
    return rows
