"""Makes the column from its table, repairs it after a crash, and merges its small runs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from footage.indexer.file_lock import lock_file
from footage.indexer.store import rows
from footage.indexer.store.column import slices
from footage.indexer.store.column.column import Column, Snapshot, tail_rows
from footage.indexer.store.column.run_file import ColumnDamaged, Run
from footage.indexer.store.errors import StoreError
from footage.indexer.store.row_arrays import RowArrays, concatenate, encode_names, from_arrow
from footage.stream.threads import run_to_completion

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

RUN_ROWS = 65_536
"""Rows of a run that is not merged any more: what is forgotten is cut out of runs of at most this size."""
SEAL_ROWS = 1_024
"""Rows in the log from which on they become a run: until then each takes 2.6 kB of the process's own memory."""
MAX_LOG_ROWS = 16_384
"""Rows in the log from which on that does not wait for maintenance."""
TRIM_TO = 0.8
"""Share of the rows for which there is memory that are kept when there are too many."""

KEY_COLUMNS = ("camera", "time", "region")
Hashes = NDArray[np.uint64]


class Table(Protocol):
    """What is read from the table."""

    async def state(self) -> tuple[int, int]:
        """Return its version and its number of rows."""
        ...

    async def select(self, clause: str, columns: Sequence[str] = ...) -> pa.Table:
        """Return the rows of an SQL condition."""
        ...


class ColumnUpkeep:
    """Keeps the column what the table is.

    Args:
        folder: of the store, with its lock files.
        max_rows: how many rows the column may have; the newest are kept.
    """

    def __init__(self, column: Column, table: Table, folder: Path, max_rows: int) -> None:
        self._column, self._table, self._max_rows = column, table, max_rows
        self._write_lock, self._maintain_lock = folder / "write.lock", folder / "maintain.lock"

    async def tend(self) -> None:
        """Repair the column if it needs that, and merge what has come together; errors are logged."""
        try:
            async with lock_file(self._maintain_lock):
                if await self.try_repair():
                    with suppress(OSError, ColumnDamaged):  # it is searched as it is
                        await self.compact()
        except Exception:  # nobody awaits it
            log.exception("the scan column in %s could not be looked after", self._column.folder)

    async def try_repair(self) -> bool:
        """Repair the column as ``repair`` does; return whether that was possible, and log why it was not."""
        try:
            await self.repair()
        except (StoreError, ColumnDamaged, OSError) as error:
            log.warning("the scan column in %s is not up to date, searches take longer: %s", self._column.folder, error)
            return False
        return True

    async def repair(self) -> None:
        """Make the column hold what the table holds; costs little if it does. Whoever calls holds ``maintain.lock``."""
        if await asyncio.to_thread(self._column.verify, *await self._table.state()):
            return
        async with lock_file(self._write_lock):  # nobody is in the midst of a change now
            if await asyncio.to_thread(self._column.verify, *await self._table.state()):
                return
            old = await asyncio.to_thread(self._column.readable)
            with suppress(OSError, ColumnDamaged):
                await run_to_completion(self._column.invalidate)
        draft = _Draft(self._column, self._table, self._max_rows, old)
        await draft.compare()
        async with lock_file(self._write_lock):  # and what has been written meanwhile
            version, total = await self._table.state()
            await draft.compare()
            await run_to_completion(draft.publish, version, total)

    async def compact(self) -> None:
        """Make a run of the log and merge small runs into it, and drop what there is no memory for.

        Whoever calls holds ``maintain.lock``.
        """
        snapshot = await asyncio.to_thread(self._column.snapshot)
        if snapshot is None:
            return
        runs = [segment for segment in snapshot.segments if isinstance(segment, Run)]
        tail = tail_rows(snapshot, self._column.space.dim)
        if len(tail) < SEAL_ROWS and snapshot.rows <= self._max_rows:
            return
        since = _trim(snapshot, self._max_rows)
        kept, merged = _choose(runs, len(tail))
        names = await run_to_completion(self._write, kept, merged, tail, since)
        async with lock_file(self._write_lock):
            state = await self._table.state()
            await run_to_completion(self._replace, names, len(tail), state, since)

    def _write(self, kept: list[Run], merged: list[Run], tail: RowArrays, since: int | None) -> list[str]:
        """Write what is merged, without what is older than ``since``; return the names of all runs."""
        dim = self._column.space.dim
        if since is not None:
            merged = merged + [run for run in kept if run.time.min() < since <= run.time.max()]
            kept = [run for run in kept if run.time.min() >= since]
        names = [run.name for run in kept]
        every = concatenate([*(slices.read_rows([(run, [(0, run.rows)])], dim) for run in merged), tail], dim)
        every = every.take(every.time >= since) if since is not None else every
        parts = (every.take(slice(first, first + RUN_ROWS)) for first in range(0, len(every), RUN_ROWS))
        return [*names, *(self._column.write_run(part) for part in parts)]

    def _replace(self, names: list[str], sealed: int, state: tuple[int, int], since: int | None) -> None:
        """Publish runs that hold the first ``sealed`` rows of the log, too."""
        snapshot = self._column.snapshot()
        if snapshot is None or not self._column.begin(state[1]):
            return
        rest = tail_rows(snapshot, self._column.space.dim).take(slice(sealed, None))
        if since is not None:
            rest = rest.take(rest.time >= since)
        self._column.publish(names, rest, *state, since)


def _choose(runs: list[Run], rows: int) -> tuple[list[Run], list[Run]]:
    """Return which runs stay, and which are merged with so many new rows: the newest, while they are no larger."""
    merged: list[Run] = []
    for run in reversed(runs):
        if run.rows > rows or run.rows + rows > RUN_ROWS:
            break
        merged.insert(0, run)
        rows += run.rows
    return runs[: len(runs) - len(merged)], merged


def _trim(snapshot: Snapshot, max_rows: int) -> int | None:
    """Return from which time on there is memory for the rows."""
    if snapshot.rows <= max_rows:
        return snapshot.since
    newest = _newest(np.concatenate([segment.time for segment in snapshot.segments]), int(TRIM_TO * max_rows))
    return newest if snapshot.since is None else max(newest, snapshot.since)


def _newest(times: NDArray[np.int64], rows: int) -> int:
    """Return the time from which on there are about so many rows."""
    return int(np.partition(times, -rows)[-rows])


class _Draft:
    """A column in the making: runs and rows that are right as far as the table was compared."""

    def __init__(self, column: Column, table: Table, max_rows: int, old: Snapshot | None) -> None:
        self._column, self._table, self._max_rows = column, table, max_rows
        self._runs: list[str | Run] = []
        self._tail = concatenate([], column.space.dim)
        self._hashes: list[Hashes] = []
        self._since: int | None = None
        self._version = 0
        self._old = old

    async def compare(self) -> None:
        """Take over what the table has, and drop what it has not; nothing where its version is the same as before."""
        version, _ = await self._table.state()
        if version == self._version:
            return
        keys = from_arrow_keys(await self._table.select("true", KEY_COLUMNS))
        await run_to_completion(self._take_over, keys)
        await self._add_missing(keys)
        self._version = version

    def publish(self, version: int, total: int) -> None:
        """Replace the column's files."""
        names = [run.name if isinstance(run, Run) else run for run in self._runs]
        self._column.publish(names, self._tail, version, total, self._since)

    def _take_over(self, keys: _Keys) -> None:
        """Keep what the column has of these rows, the first time."""
        if len(keys.time) > self._max_rows:
            self._since = _newest(keys.time, int(TRIM_TO * self._max_rows))
        if self._old is None:
            return
        old, self._old = self._old, None
        wanted = np.unique(keys.hashes)
        if self._since is not None:
            wanted = np.unique(keys.hashes[keys.time >= self._since])
        dim = self._column.space.dim
        for segment in old.segments:
            hashes = hash_keys(segment.cameras, segment.camera, segment.time, segment.region)
            known = np.isin(hashes, wanted)
            self._hashes.append(hashes[known])
            if isinstance(segment, Run):
                self._runs += self._keep(segment, known)
            else:
                self._tail = concatenate([self._tail, segment.arrays().take(known)], dim)

    def _keep(self, run: Run, known: NDArray[np.bool_]) -> list[str | Run]:
        if known.all():
            return [run]
        rows = slices.read_rows([(run, slices.ranges_of(known))], self._column.space.dim)
        return [self._column.write_run(rows)] if len(rows) else []

    async def _add_missing(self, keys: _Keys) -> None:
        """Read the rows that the column lacks, a run's worth at a time."""
        known = np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)
        missing = ~np.isin(keys.hashes, known)
        if self._since is not None:
            missing &= keys.time >= self._since
        times, hashes = keys.time[missing], keys.hashes[missing]
        order = np.argsort(times, kind="stable")
        times, hashes = times[order], hashes[order]
        first = 0
        while first < len(times):
            last = min(first + RUN_ROWS, len(times))
            last = int(np.searchsorted(times, times[last - 1], side="right"))  # a time is not cut in two
            await self._add(
                rows.sql_time_range(int(times[first]), int(times[last - 1]) + 1), np.unique(hashes[first:last])
            )
            first = last

    async def _add(self, clause: str, wanted: Hashes) -> None:
        dim = self._column.space.dim
        found = from_arrow(await self._table.select(clause), dim)
        hashes = hash_keys(found.cameras, found.camera, found.time, found.region)
        chosen = np.isin(hashes, wanted)
        found = found.take(chosen)
        self._hashes.append(hashes[chosen])
        if len(found) >= SEAL_ROWS:
            self._runs.append(await run_to_completion(self._column.write_run, found))
        else:
            self._tail = concatenate([self._tail, found], dim)


class _Keys:
    """The keys of a table's rows."""

    def __init__(self, time: NDArray[np.int64], hashes: Hashes) -> None:
        self.time, self.hashes = time, hashes


def from_arrow_keys(table: pa.Table) -> _Keys:
    """Return times and hashes of keys."""
    names, camera = encode_names(table["camera"])
    time, region = np.asarray(table["time"], np.int64), np.asarray(table["region"]).astype(np.uint32)
    return _Keys(time, hash_keys(names, camera, time, region))


def hash_keys(
    cameras: tuple[str, ...], camera: NDArray[Any], time: NDArray[np.int64], region: NDArray[np.uint32]
) -> Hashes:
    """Return 64-bit hashes of keys; of a thousand million keys two agree with a chance of three in a hundred."""
    names = [int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") for name in cameras]
    with np.errstate(over="ignore"):
        mixed = _mix(time.view(np.uint64) + np.array(names or [0], np.uint64)[camera])
        return _mix(mixed ^ (region.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)))


def _mix(value: Hashes) -> Hashes:
    """Spread every bit over all (the finalizer of SplitMix64: Steele, Lea and Flood 2014)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)), np.uint64)
