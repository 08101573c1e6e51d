"""Tests that records that a store refuses are retried, or spooled and written in order."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError, Vectors
from footage.indexer.pipeline.retry import RetryingEmbedder, SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreError, StoreUnreachable
from footage.indexer.supervisor import Supervisor
from footage.stream.frame import Image
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.store.store_contract import make_records, record_keys

LIMIT = 1_000_000


class FlakyStore:
    """A store in memory that raises ``error`` while there is one."""

    def __init__(self, error: StoreError | None = None) -> None:
        self.error, self.refusals = error, 0
        self.records: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        if self.error:
            self.refusals += 1
            raise self.error
        self.records += records


async def drained(spool: Spool) -> None:
    async with asyncio.timeout(20):
        while spool.pending:
            await asyncio.sleep(0.01)


async def test_while_the_spool_is_drained_new_records_queue_behind_it(tmp_path: Path, supervisor: Supervisor) -> None:
    records, store = make_records(20), FlakyStore(StoreUnreachable("away"))
    spool = Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool, supervisor=supervisor)
    await writer.write(records[:10])
    store.error = None
    await writer.write(records[10:])
    await drained(spool)
    assert record_keys(store.records) == record_keys(records)
    await writer.close()


async def test_records_left_in_the_spool_by_an_earlier_process_are_drained_at_once(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    records, store = make_records(20), FlakyStore(StoreUnreachable("away"))
    before = SpoolingWriter(store, Spool(tmp_path / "spool", LIMIT), supervisor=supervisor)
    await before.write(records)
    await before.close()
    store.error = None
    spool = Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool, supervisor=supervisor)
    await drained(spool)
    assert record_keys(store.records) == record_keys(records)
    await writer.close()


async def test_without_a_spool_a_write_waits_until_the_store_accepts_it() -> None:
    records, store = make_records(3), FlakyStore(StoreError("the disk is full"))
    writing = asyncio.create_task(SpoolingWriter(store, error=StoreError).write(records))
    async with asyncio.timeout(60):
        while not store.refusals:
            await asyncio.sleep(0.01)
        assert not writing.done()
        store.error = None
        await writing
    assert record_keys(store.records) == record_keys(records)


class FailingEmbedder(ColorEmbedder):
    """Fails so many times first."""

    def __init__(self, failures: int, error: Exception) -> None:
        super().__init__()
        self.failures, self.error = failures, error

    async def images(self, batch: Sequence[Image]) -> Vectors:
        if self.failures:
            self.failures -= 1
            raise self.error
        return await super().images(batch)


async def test_an_embedder_that_fails_is_tried_again_and_that_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    image = np.full((8, 8, 3), 200, np.uint8)
    failing = FailingEmbedder(2, EmbedderError("the model is away"))
    embedder = RetryingEmbedder(failing)
    assert (embedder.space, embedder.floor, embedder.side, embedder.batch) == (
        failing.space,
        failing.floor,
        failing.side,
        failing.batch,
    )
    found = await embedder.images([image])
    np.testing.assert_array_equal(found, await ColorEmbedder().images([image]))
    np.testing.assert_array_equal(await embedder.texts(["red"]), await ColorEmbedder().texts(["red"]))
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "footage.indexer.pipeline.retry"]
    assert logged == [("WARNING", "the model is away; it is tried again until it succeeds")]


async def test_another_error_of_an_embedder_reaches_the_caller_at_once() -> None:
    embedder = RetryingEmbedder(FailingEmbedder(1, ValueError("no image")))
    with pytest.raises(ValueError, match="no image"):
        await embedder.images([np.zeros((8, 8, 3), np.uint8)])


async def test_an_outage_and_its_end_are_logged_once_each(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, supervisor: Supervisor
) -> None:
    caplog.set_level("INFO")
    records, store = make_records(20), FlakyStore(StoreUnreachable("the database is away"))
    spool = Spool(tmp_path / "folder" / "spool", LIMIT)
    writer = SpoolingWriter(store, spool, supervisor=supervisor)
    await writer.write(records[:10])
    await writer.write(records[10:])
    assert (tmp_path / "folder" / "spool").exists()
    store.error = None
    async with asyncio.timeout(10):
        while not any("spooled records" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)
    assert not spool.pending
    await writer.close()
    logged = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "footage.indexer.pipeline.retry"]
    assert logged[0] == ("WARNING", "records wait in a file: the database is away")
    assert logged[-1] == ("INFO", "20 spooled records are in the store")
    assert len([text for _, text in logged if text.startswith("records wait")]) == 1


async def test_an_error_while_the_spool_is_drained_is_heard_and_the_rest_is_drained(
    tmp_path: Path, supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    records, store = make_records(20), FlakyStore(StoreUnreachable("away"))
    spool = Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool, supervisor=supervisor)
    store.error = StoreUnreachable("away")
    await writer.write(records)
    store.error = RuntimeError("a bug")  # type: ignore[assignment]
    async with asyncio.timeout(20):
        while not supervisor.failures["spool"]:
            await asyncio.sleep(0.01)
    assert supervisor.health()["spool"] is False
    store.error = None
    await drained(spool)
    assert record_keys(store.records) == record_keys(records)
    assert any(r.exc_info and "'spool'" in r.getMessage() for r in caplog.records)
    await writer.close()


async def test_a_spool_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", LIMIT)
    await spool.append(make_records(3))
    with (tmp_path / "spool").open("r+b") as file:
        file.write(bytes(40))
    with pytest.raises(StoreError, match=r"spool: \d+ bytes of records that wait here cannot be read"):
        await spool.drain(FlakyStore(None).write)
