"""Offers the scan column to the store: what it can answer, what it must be told, and its upkeep."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.file_lock import lock_file
from footage.indexer.store.base import Hit, Scores, Vector, Where
from footage.indexer.store.column import slices
from footage.indexer.store.column.column import Column, Snapshot
from footage.indexer.store.column.memory import memory_limit
from footage.indexer.store.column.run_file import ColumnDamaged, Run
from footage.indexer.store.column.scanner import Ranked, Scanner
from footage.indexer.store.column.slices import Filter
from footage.indexer.store.column.upkeep import MAX_LOG_ROWS, ColumnUpkeep, Table
from footage.indexer.store.row_arrays import RowArrays, from_arrow
from footage.stream.frame import Region
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, from_micros
from footage.stream.threads import run_to_completion

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

T = TypeVar("T")

SMALL_TABLE = 2_000
"""Rows of a table whose column is made while the store is opened, in a few milliseconds."""
DEFAULT_SHARE = 4
"""The column may take one part in so many of the machine's memory."""
KEY_BYTES = 32
"""Bytes of a row in memory besides its code."""
TEND_PAUSE = 0.5
"""Seconds between two tries to repair the column."""
COMPARISON_PAUSE = 2.0
"""Seconds between two comparisons with the table's number of rows, which cost a millisecond."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """What the column knows of the nearest records; ``rest`` is what the table must be asked for, if anything."""

    hits: list[Hit]
    rest: Where | None


@dataclass(frozen=True, slots=True)
class ColumnStatus:
    """What there is of the column.

    Attributes:
        usable: whether searches use it now.
        rows: how many records it holds.
        since: from when on; None for all of them.
        max_rows: how many there is memory for.
    """

    usable: bool
    rows: int
    since: int | None
    max_rows: int


class ScanColumn:
    """The column of one table. Methods that answer return None where the table must.

    Args:
        folder: of the store.
        name: of the table.
        memory: bytes that codes and keys may take; None for a quarter of the machine's memory, 0 for no column.
    """

    def __init__(self, folder: Path, name: str, space: Space, table: Table, memory: int | None = None) -> None:
        memory = memory_limit() // DEFAULT_SHARE if memory is None else memory
        self._folder, self._dim, self._table = folder, space.dim, table
        self._max_rows = memory // (space.dim + KEY_BYTES)
        self._column = Column(folder / f"{name}.column", space, folder / "write.lock", folder / f"{name}.lance")
        self._upkeep = ColumnUpkeep(self._column, table, folder, self._max_rows)
        self._scanner = Scanner(self._column)
        self._tending: asyncio.Task[None] | None = None
        self._closed, self._not_before, self._next_comparison = False, 0.0, 0.0

    async def open(self) -> None:
        """Compare with the table; make a small column at once, and a larger one in the background.

        Whoever calls holds ``maintain.lock``.
        """
        if not self._max_rows:
            return
        version, total = await self._table.state()
        if not await asyncio.to_thread(self._column.verify, version, total):
            if total > SMALL_TABLE:
                self._tend()
            else:
                await self._upkeep.try_repair()

    async def verify(self, version: int, total: int) -> bool:
        """Return whether the column is that of the table with this version and so many rows, whole and up to date."""
        return bool(self._max_rows) and await asyncio.to_thread(self._column.verify, version, total)

    async def nearest(self, vector: Vector, k: int, where: Where, least: float) -> Nearest | None:
        """Return the best records, best first, of those whose scores are at least ``least``."""
        if not self._max_rows:
            return None
        await self._compare_with_table()
        found = await asyncio.wrap_future(self._scanner.nearest(vector, k, Filter.of(where), least))
        if found is None:
            self._tend()
            return None
        return Nearest(_hits(found), _rest(where, found.since))

    async def read(self, wanted: Sequence[Filter], use: Callable[[RowArrays], T]) -> list[T] | None:
        """Return what ``use`` makes of the records of each filter, in order of time, camera and region."""

        def work(snapshot: Snapshot) -> list[T]:
            picked = (slices.pick(snapshot.segments, one) for one in wanted)
            return [use(slices.read_rows(each, self._dim, by_time=True)) for each in picked]

        return await self._ask(work, *wanted)

    async def scores(self, wanted: Filter, score: Callable[[Vectors], Scores]) -> tuple[RowArrays, Scores] | None:
        """Return records without vectors, as ``read`` orders them, and what ``score`` makes of each one's vector."""
        return await self._ask(
            lambda snapshot: slices.score_rows(slices.pick(snapshot.segments, wanted), self._dim, score), wanted
        )

    async def load(self) -> None:
        """Bring what questions scan into memory, a run at a time: else the first of them waits for all of it."""
        snapshot = await asyncio.to_thread(self._column.snapshot) if self._max_rows else None
        for segment in snapshot.segments if snapshot else ():
            if isinstance(segment, Run) and not self._closed:
                await self._ask(partial(_load, segment))

    async def count(self, wanted: Filter) -> int | None:
        """Count records."""
        return await self._ask(lambda snapshot: slices.count(slices.pick(snapshot.segments, wanted)), wanted)

    async def intervals(self, wanted: Filter, size: int) -> list[tuple[int, int]] | None:
        """Cut time into intervals with about ``size`` of the records each, in microseconds."""

        def work(snapshot: Snapshot) -> list[tuple[int, int]]:
            picked = slices.pick(snapshot.segments, wanted)
            times = [segment.time[a:b] for segment, ranges in picked for a, b in ranges]
            return _intervals(np.sort(np.concatenate(times)), size) if times else []

        return await self._ask(work, wanted)

    async def sample(self, n: int, wanted: Filter) -> Vectors | None:
        """Return vectors of whole frames, as ``Store.sample`` does."""

        def work(snapshot: Snapshot) -> Vectors:
            return slices.sample(slices.pick(snapshot.segments, wanted), n, self._dim)

        return await self._ask(work, wanted)

    @asynccontextmanager
    async def adding(self, batch: pa.Table) -> AsyncIterator[None]:
        """Take over rows that the block adds to the table; whoever calls holds ``write.lock``."""

        def add(version: int, total: int) -> None:
            rows, since = from_arrow(batch, self._dim), self._column.since
            kept = rows if since is None else rows.take(rows.time >= since)
            self._column.add(kept, len(rows), version, total)

        async with self._changing(add):
            yield
        if self._column.log_rows > MAX_LOG_ROWS:
            self._tend()

    @asynccontextmanager
    async def forgetting(self, where: Where) -> AsyncIterator[None]:
        """Remove what the block removes from the table, from the files too; whoever calls holds both locks."""
        wanted, dropped = Filter.of(where), False

        def drop(version: int, total: int) -> None:
            nonlocal dropped
            self._column.drop(wanted, version, total)
            dropped = True

        async with self._changing(drop):
            yield
        if not dropped:  # nothing of it may stay in the files
            await run_to_completion(self._column.discard)
            self._tend()

    async def maintained(self) -> None:
        """Note the table's version, and merge small runs; whoever calls holds ``maintain.lock``."""
        if not self._max_rows:
            return
        async with lock_file(self._folder / "write.lock"):
            await self._tell(self._column.note)
        if await asyncio.to_thread(self._column.snapshot) is None:
            self._tend()
            return
        with suppress(OSError, ColumnDamaged):
            await self._upkeep.compact()

    async def status(self) -> ColumnStatus:
        """Return what there is of the column."""
        snapshot = await asyncio.to_thread(self._column.snapshot) if self._max_rows else None
        rows, since = (snapshot.rows, snapshot.since) if snapshot else (0, None)
        return ColumnStatus(snapshot is not None, rows, since, self._max_rows)

    async def covers_all(self) -> bool:
        """Whether no search needs the table's own index."""
        found = await self.status()
        return found.usable and found.since is None

    async def close(self) -> None:
        """End what is done in the background, and release the files."""
        self._closed = True
        if self._tending:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        await asyncio.to_thread(self._scanner.close)
        self._column.close()

    @asynccontextmanager
    async def _changing(self, tell: Callable[[int, int], None]) -> AsyncIterator[None]:
        """Tell other processes of a change to the table before and after, if they can be told.

        Cancelled, it leaves what it told before: the table may still be changing, and the column must be repaired.
        """
        told = await run_to_completion(self._begin, (await self._table.state())[1])
        try:
            yield
        except Exception:
            if told:
                await self._tell(self._column.note)
            raise
        if told and not await self._tell(tell):
            self._tend()

    def _begin(self, total: int) -> bool:
        try:
            if self._max_rows:
                return self._column.begin(total)
            self._column.withdraw()
        except (OSError, ColumnDamaged) as error:
            log.warning("the scan column in %s cannot be written: %s", self._folder, error)
            with suppress(OSError):  # nobody may use it after a change that nobody is told of
                self._column.withdraw()
        return False

    async def _tell(self, tell: Callable[[int, int], None]) -> bool:
        try:
            await run_to_completion(tell, *await self._table.state())
        except (OSError, ColumnDamaged) as error:  # the table has everything; the column is repaired later
            log.warning("the scan column in %s cannot be written: %s", self._folder, error)
            return False
        return True

    async def _compare_with_table(self) -> None:
        """Notice, every few seconds, that the table was changed by somebody who told nothing."""
        if time.monotonic() < self._next_comparison:
            return
        self._next_comparison = time.monotonic() + COMPARISON_PAUSE
        before = await asyncio.to_thread(self._column.announced)
        _, total = await self._table.state()
        if before and before[1] != total and await asyncio.to_thread(self._column.announced) == before:
            async with lock_file(self._folder / "write.lock"):
                await run_to_completion(self._column.invalidate)

    async def _ask(self, work: Callable[[Snapshot], T], *wanted: Filter) -> T | None:
        """Read something, unless the column does not reach back as far as one of the filters does."""
        if not self._max_rows:
            return None

        def guarded(snapshot: Snapshot) -> tuple[T | None]:
            return (None if any(_is_beyond(one, snapshot.since) for one in wanted) else work(snapshot),)

        found = await asyncio.wrap_future(self._scanner.read(guarded))
        if found is None:
            self._tend()
            return None
        return found[0]

    def _tend(self) -> None:
        """Start what repairs and merges, unless it runs or has just failed."""
        running = self._tending is not None and not self._tending.done()
        if running or self._closed or not self._max_rows or time.monotonic() < self._not_before:
            return
        self._not_before = time.monotonic() + TEND_PAUSE
        self._tending = asyncio.create_task(self._upkeep.tend())


def _load(run: Run, _: Snapshot) -> None:
    run.load_codes()


def _is_beyond(wanted: Filter, since: int | None) -> bool:
    return since is not None and (wanted.spans is None or any(a < since and a < b for a, b in wanted.spans))


def _rest(where: Where, since: int | None) -> Where | None:
    """Return the part of a filter that a column does not reach back to."""
    if since is None:
        return None
    spans = where.spans or ((DISTANT_PAST, DISTANT_FUTURE),)
    left = tuple((a, b) for a, b in ((a, min(b, from_micros(since))) for a, b in spans) if a < b)
    return replace(where, spans=left) if left else None


def _hits(found: Ranked) -> list[Hit]:
    rows, scores = found.rows, found.scores
    columns = (rows.camera, rows.time, rows.media, rows.offset, rows.region, scores)
    return [
        Hit(rows.cameras[camera], from_micros(time), rows.medias[media], offset, Region.of(region), score)
        for camera, time, media, offset, region, score in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _intervals(times: NDArray[np.int64], size: int) -> list[tuple[int, int]]:
    """Cut sorted times into half-open intervals with about ``size`` of them each."""
    edges = [*np.unique(times[::size]).tolist(), int(times[-1]) + 1]
    return list(pairwise(edges))
