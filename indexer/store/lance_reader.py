"""Reads the LanceDB table of a space: by filter, by nearness, in order of time, and as a sample."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store import rows
from footage.indexer.store.base import Hit, Record, Vector, Where
from footage.indexer.store.batching import evenly_spaced
from footage.indexer.store.error_hints import is_stale, translate_errors
from footage.indexer.store.lance_files import TableLedger
from footage.indexer.store.lance_table import reopen_table
from footage.indexer.store.times import merged_micros

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

EXACT_LIMIT = 5_000  # rows: a filter that leaves at most this many is searched exactly, without the vector index
PROBES = 80  # partitions searched without a filter; see docs/decisions/0001 for the recall this gives
REFINE_FACTOR = 4  # times k candidates are re-ranked with their exact vectors
ROWS_PER_SCAN = 2_000  # rows that a scan holds in memory at once
ALL_MICROS = (-(1 << 60), 1 << 60)  # microseconds: wider than datetime


class TableReader:
    """Reads the newest version of a table, and repeats a query when files of its version were removed meanwhile.

    Args:
        table: None for one that exists and is opened when it is needed: the scan column answers most questions, and
            while nobody has changed the table, its ledger knows version and number of rows.
    """

    def __init__(self, folder: Path, space: Space, ledger: TableLedger, table: Any = None) -> None:
        self._folder, self._space, self._ledger, self._opened = folder, space, ledger, table
        self._turn = asyncio.Lock()

    async def table(self) -> Any:
        """Return the table; it may be replaced later by the same one, opened anew."""
        async with self._turn:
            if self._opened is None:
                with translate_errors(self._folder):
                    self._opened = await reopen_table(self._folder, self._space)
            return self._opened

    @property
    def is_open(self) -> bool:
        """Whether the table has been opened."""
        return self._opened is not None

    async def renew(self) -> None:
        """Open the table anew: queries that run go on with the old one, whose caches end with them."""
        table = await reopen_table(self._folder, self._space)
        async with self._turn:
            self._opened = table

    def close(self) -> None:
        """Release the table."""
        if self._opened is not None:
            self._opened.close()

    async def state(self) -> tuple[int, int]:
        """Return the table's version and its number of rows."""
        if not self.is_open and (known := await asyncio.to_thread(self._ledger.confirmed)):
            return known.version, known.rows
        table = await self.table()
        with translate_errors(self._folder):
            return int(await table.version()), int(await table.count_rows())

    async def nearest(self, row: Vector, k: int, clause: str) -> list[Hit]:
        """Return the ``k`` best rows that match.

        The search is exact for filters that leave few rows and for small tables; otherwise it uses the vector index,
        if there is one, whose candidates are re-ranked with their exact vectors.
        """
        probes = await self._choose_probes(clause, k)

        async def ask() -> pa.Table:
            query = (await self.table()).query().nearest_to(row).column("vector").distance_type("dot").limit(k)
            if clause != "true":  # even this filter would be evaluated for every row
                query = query.where(clause)
            query = query.nprobes(probes).refine_factor(REFINE_FACTOR) if probes else query.bypass_vector_index()
            return await query.select([*rows.FACT_COLUMNS, "_distance"]).to_arrow()

        found = await self._retry_stale(ask)
        with translate_errors(self._folder):
            return rows.to_hits(found)

    async def scan(self, where: Where) -> AsyncIterator[Record]:
        """Yield the records that match by time, camera and region; holds about 2,000 at once.

        Bisects time until an interval has few enough rows, then reads and sorts that interval.
        """
        clause = rows.sql_filter(where)
        pending = merged_micros(where.spans)[::-1] or [ALL_MICROS]
        while pending:
            start, end = pending.pop()
            interval = f"{clause} AND {rows.sql_time_range(start, end)}"
            size = await self.count(interval)
            if size > ROWS_PER_SCAN and end - start > 1:
                middle = (start + end) // 2
                pending += [(middle, end), (start, middle)]
            elif size:
                found = rows.sort_rows(await self.select(interval))
                with translate_errors(self._folder):
                    records = list(rows.to_records(found, self._space.dim))
                for record in records:
                    yield record

    async def sample(self, n: int, where: Where) -> Vectors:
        """Return up to ``n`` vectors of whole frames, evenly spread over the times that match: (m, dim) float32."""
        clause = rows.sql_filter(where) + " AND region = 0"
        times = np.unique(np.asarray((await self.select(clause, ["time"]))["time"]))
        if n < 1 or not len(times):
            return np.empty((0, self._space.dim), np.float32)
        chosen = evenly_spaced(times, n)
        found = rows.sort_rows(await self.select(f"{rows.sql_in('time', chosen.tolist())} AND {clause}"))
        return np.ascontiguousarray(evenly_spaced(rows.vector_matrix(found, self._space.dim), n))

    async def last_micros(self, media: str) -> int | None:
        """Return the time of the newest row of this media, in microseconds."""
        import pyarrow.compute as pc

        times = await self.select(rows.sql_in("media", [media]), ["time"])
        return int(pc.max(times["time"]).as_py()) if len(times) else None

    async def existing_keys(self, times: set[int]) -> set[rows.StorageKey]:
        """Return the keys of the rows at these times."""
        found = await self.select(rows.sql_in("time", times), rows.KEY_COLUMNS)
        return {(row["camera"], row["time"], row["region"]) for row in found.to_pylist()}

    async def count(self, clause: str) -> int:
        """Count the rows that match."""
        if clause == "true" and not self.is_open:
            return (await self.state())[1]

        async def ask() -> int:
            return int(await (await self.table()).count_rows(None if clause == "true" else clause))

        return await self._retry_stale(ask)

    async def select(self, clause: str, columns: Sequence[str] = (*rows.FACT_COLUMNS, "vector")) -> pa.Table:
        """Return the rows that match, in any order."""

        async def ask() -> pa.Table:
            return await (await self.table()).query().where(clause).select(list(columns)).to_arrow()

        return await self._retry_stale(ask)

    async def _choose_probes(self, clause: str, k: int) -> int:
        """Return how many partitions to search, or 0 to search every row that the filter leaves.

        Under a filter the best rows are spread over more partitions, in proportion to what it leaves out.
        """
        if clause == "true":
            return PROBES
        left = await self.count(clause)
        return 0 if left <= max(EXACT_LIMIT, k) else math.ceil(PROBES * await self.count("true") / left)

    async def _retry_stale(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Run a query; repeat it when maintenance in another process removed files of the version it was reading."""
        with translate_errors(self._folder):
            for _ in range(4):
                try:
                    return await ask()
                except (RuntimeError, ValueError, OSError) as error:
                    if not is_stale(error):
                        raise
                    await (await self.table()).checkout_latest()
            return await ask()
