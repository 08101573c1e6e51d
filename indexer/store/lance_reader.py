"""Reads the LanceDB table of a space: by filter, by nearness, in order of time, and as a sample."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store import rows
from footage.indexer.store.base import Hit, Record, Vector, Where
from footage.indexer.store.column.slices import evenly_spaced
from footage.indexer.store.error_hints import is_stale, translate_errors
from footage.indexer.store.times import merged_micros

T = TypeVar("T")

EXACT_LIMIT = 5_000  # rows: a filter that leaves at most this many is searched exactly, without the vector index
PROBES = 80  # partitions searched without a filter; see docs/decisions/0001 for the recall this gives
REFINE_FACTOR = 4  # times k candidates are re-ranked with their exact vectors
ROWS_PER_SCAN = 2_000  # rows that a scan holds in memory at once
ALL_MICROS = (-(1 << 60), 1 << 60)  # microseconds: wider than datetime


class TableReader:
    """Reads the newest version of a table, and repeats a query when files of its version were removed meanwhile.

    Attributes:
        table: may be replaced by the same one, opened anew.
    """

    def __init__(self, folder: Path, space: Space, table: Any) -> None:
        self._folder, self._space, self.table = folder, space, table

    async def state(self) -> tuple[int, int]:
        """Return the table's version and its number of rows."""
        with translate_errors(self._folder):
            return int(await self.table.version()), int(await self.table.count_rows())

    async def nearest(self, row: Vector, k: int, clause: str) -> list[Hit]:
        """Return the ``k`` best rows that match.

        The search is exact for filters that leave few rows and for small tables; otherwise it uses the vector index,
        if there is one, whose candidates are re-ranked with their exact vectors.
        """
        probes = await self._choose_probes(clause, k)

        async def ask() -> pa.Table:
            query = self.table.query().nearest_to(row).column("vector").distance_type("dot").limit(k)
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
        times = await self.select(rows.sql_in("media", [media]), ["time"])
        return int(pc.max(times["time"]).as_py()) if len(times) else None

    async def existing_keys(self, times: set[int]) -> set[rows.StorageKey]:
        """Return the keys of the rows at these times."""
        found = await self.select(rows.sql_in("time", times), rows.KEY_COLUMNS)
        return {(row["camera"], row["time"], row["region"]) for row in found.to_pylist()}

    async def count(self, clause: str) -> int:
        """Count the rows that match."""
        return int(await self._retry_stale(lambda: self.table.count_rows(None if clause == "true" else clause)))

    async def select(self, clause: str, columns: Sequence[str] = (*rows.FACT_COLUMNS, "vector")) -> pa.Table:
        """Return the rows that match, in any order."""
        return await self._retry_stale(lambda: self.table.query().where(clause).select(list(columns)).to_arrow())

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
                    await self.table.checkout_latest()
            return await ask()
