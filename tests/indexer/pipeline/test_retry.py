"""Records that a store refuses are retried, or spooled and written in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from footage.indexer.pipeline.retry import SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record, StoreError, StoreUnreachable
from tests.indexer.store.store_contract import make_records, record_keys

LIMIT = 1_000_000


class FlakyStore:
    """A store in memory that raises ``error`` while there is one."""

    def __init__(self, error: StoreError | None = None) -> None:
        self.error = error
        self.records: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        if self.error:
            raise self.error
        self.records += records


async def drained(spool: Spool) -> None:
    async with asyncio.timeout(20):
        while spool.pending:
            await asyncio.sleep(0.01)


async def test_while_the_spool_is_drained_new_records_queue_behind_it(tmp_path: Path) -> None:
    records, store = make_records(20), FlakyStore(StoreUnreachable("away"))
    spool = Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool)
    await writer.write(records[:10])
    store.error = None
    await writer.write(records[10:])
    await drained(spool)
    assert record_keys(store.records) == record_keys(records)
    await writer.close()


async def test_what_an_earlier_process_left_in_the_spool_is_drained_at_once(tmp_path: Path) -> None:
    records, store = make_records(20), FlakyStore(StoreUnreachable("away"))
    before = SpoolingWriter(store, Spool(tmp_path / "spool", LIMIT))
    await before.write(records)
    await before.close()
    store.error = None
    spool = Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool)
    await drained(spool)
    assert record_keys(store.records) == record_keys(records)
    await writer.close()


async def test_without_a_spool_a_write_waits_until_the_store_takes_it() -> None:
    records, store = make_records(3), FlakyStore(StoreError("the disk is full"))
    writing = asyncio.create_task(SpoolingWriter(store, None, StoreError).write(records))
    await asyncio.sleep(0.05)
    assert not writing.done()
    store.error = None
    async with asyncio.timeout(20):
        await writing
    assert record_keys(store.records) == record_keys(records)
