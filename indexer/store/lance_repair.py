"""Reads a LanceDB table file by file: counts what is whole, and moves that into a new table."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from footage.indexer.embed.base import Space
from footage.indexer.file_lock import lock_file
from footage.indexer.store import rows
from footage.indexer.store.durable import fsync_written
from footage.indexer.store.error_hints import is_panic, translate_errors
from footage.indexer.store.lance_files import TableLedger, TableState, read_table_chunks
from footage.indexer.store.lance_table import create_scalar_indexes, open_table, table_name
from footage.indexer.store.times import micros
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST
from footage.stream.private import make_folder

log = logging.getLogger(__name__)


@dataclass(slots=True)
class StoreReport:
    """What is in a store.

    Attributes:
        whole: records that can be read and whose vectors have unit length.
        unreadable: records whose file is missing or cut.
        invalid: records whose content was changed.
        counts: whole records by media.
    """

    whole: int = 0
    unreadable: int = 0
    invalid: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def lost(self) -> int:
        """Records that are not whole."""
        return self.unreadable + self.invalid

    def add(self, chunk: pa.Table | int, dim: int) -> pa.Table | None:
        """Count rows that were read, or that could not be; return those that are whole."""
        if isinstance(chunk, int):
            self.unreadable += chunk
            return None
        whole = chunk.filter(pa.array(_is_whole(chunk, dim)))
        self.whole += len(whole)
        self.invalid += len(chunk) - len(whole)
        self.counts.update(whole["media"].to_pylist())
        return whole


def _is_whole(chunk: pa.Table, dim: int) -> np.ndarray[Any, Any]:
    """Say of each row whether its vector has unit length, and its time is one."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(rows.vector_matrix(chunk, dim).astype(np.float64), axis=1)
        right = np.abs(lengths - 1) < 1e-3
    times = np.asarray(chunk["time"])
    return np.asarray(right & (times >= micros(DISTANT_PAST)) & (times <= micros(DISTANT_FUTURE)))


async def examine_table(table: Any, dim: int) -> StoreReport:
    """Read every row of a table."""
    report = StoreReport()
    async for chunk in read_table_chunks(table, rows.arrow_schema(dim).names):
        report.add(chunk, dim)
    return report


async def salvage(folder: Path, space: Space) -> tuple[StoreReport, Path | None]:
    """Move what is whole of a table into a new one; the damaged one is kept aside.

    No service may use the folder meanwhile. Killed in between, it leaves the rest aside, and that much noted as lost.

    Returns:
        What was whole and what was not, and where the damaged table is now; None where there was none.
    """
    name = table_name(space)
    with translate_errors(folder):
        await asyncio.to_thread(make_folder, folder)
        async with lock_file(folder / "maintain.lock"), lock_file(folder / "write.lock"):
            ledger, aside, report = TableLedger(folder, name), None, StoreReport()
            before = ledger.read()
            if (folder / f"{name}.lance").exists():
                aside = folder / f"damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
                make_folder(aside)
                ledger.write(TableState(lost=max(1, before.rows, before.lost)))
                (folder / f"{name}.lance").rename(aside / f"{name}.lance")
            table = await open_table(folder, space)
            if aside and (damaged := await _open_damaged(aside, space)):
                await _copy_whole(damaged, table, report, space.dim)
            await create_scalar_indexes(table)
            await asyncio.to_thread(fsync_written, folder / f"{name}.lance", 0.0)
            lost = max(before.rows - report.whole, before.lost, report.lost, 1)
            ledger.write(TableState(int(await table.version()), report.whole, lost))
    return report, aside


async def _copy_whole(damaged: Any, table: Any, report: StoreReport, dim: int) -> None:
    schema = rows.arrow_schema(dim)
    async for chunk in read_table_chunks(damaged, schema.names):
        whole = report.add(chunk, dim)
        if whole is not None and len(whole):
            await table.add(whole.cast(schema))


async def _open_damaged(folder: Path, space: Space) -> Any:
    """Open the newest state of a damaged table whose list of files can be read; None where there is none."""
    versions = folder / f"{table_name(space)}.lance" / "_versions"
    while versions.exists() and (newest := min(versions.glob("*.manifest"), default=None)):
        try:
            return await open_table(folder, space)
        except BaseException as error:
            if not isinstance(error, Exception) and not is_panic(error):
                raise
            log.warning("%s cannot be read; the one before it is tried", newest.name)
            newest.rename(newest.with_suffix(".unreadable"))
    return None
