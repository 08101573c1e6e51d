"""A minute without the database, while a file and a live camera are indexed: nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.astra.fixture import need_cryptography, open_session
from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.embed.base import Vectors
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.pipeline.retry import SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Coverage, CoverageState, Record, Where
from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
)
from footage.indexer.store.errors import StoreError
from footage.indexer.supervisor import Supervisor
from footage.stream.frame import Image
from tests.astra.server import Astra
from tests.films import encode, numbered
from tests.indexer.color_embedder import ColorEmbedder

OUTAGE = 60.0
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
SPACE = ColorEmbedder.space


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    async with open_session(astra, SPACE) as session:
        yield session


class HeldEmbedder(ColorEmbedder):
    """Embeds one batch, and the others when ``go_on`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()

    async def images(self, batch: Sequence[Image]) -> Vectors:
        if self.batches:
            await self.go_on.wait()
        return await super().images(batch)


class LiveCamera:
    """Makes a record and notes coverage four times a second, as the pipeline of a live camera does."""

    def __init__(self, writer: SpoolingWriter, notes: CatalogWriter) -> None:
        self.times: list[datetime] = []
        self._writer, self._notes = writer, notes

    async def run(self) -> None:
        (vector,) = await ColorEmbedder().texts(["green"])
        while True:
            at = START + len(self.times) * timedelta(seconds=0.25)
            await self._writer.write([Record("yard", at, "live", 0.0, vector)])
            self.times.append(at)
            self._notes.set_coverage(Coverage("yard", START, at, CoverageState.WATCHED))
            await asyncio.sleep(0.25)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_minute_away_loses_and_doubles_nothing(
    astra: Astra, session: CassandraSession, supervisor: Supervisor, tmp_path: Path
) -> None:
    store, catalog = await CassandraStore.open(session, SPACE), await CassandraCatalog.open(session)
    film = encode(tmp_path / "film.mp4", numbered(100), fps=10, gop=10)
    refused, spool = RefusedRecords(tmp_path, SPACE), Spool(tmp_path / "spool", 1 << 30)
    writer, notes = SpoolingWriter(store, spool, refused, supervisor=supervisor), CatalogWriter(catalog)
    noting = asyncio.create_task(notes.run())
    camera = LiveCamera(writer, notes)
    watching = asyncio.create_task(camera.run())
    embedder = HeldEmbedder()
    indexing = asyncio.create_task(
        FileIndexer(embedder, store, catalog, refused=refused).run([Job(film, "gate", 0.1, START)])
    )
    async with asyncio.timeout(120):
        while not await store.count(Where(("gate",))) or not await store.count(Where(("yard",))):
            await asyncio.sleep(0.05)
    await asyncio.to_thread(astra.go_away)
    began, before = time.monotonic(), len(camera.times)
    embedder.go_on.set()
    while time.monotonic() < began + OUTAGE or len(camera.times) < before + 20:
        assert not indexing.done()
        assert not watching.done()
        with pytest.raises(StoreError):
            await store.count()
        await asyncio.sleep(1)
    assert spool.pending
    await asyncio.to_thread(astra.come_back)
    async with asyncio.timeout(180):
        report = await indexing
        while spool.pending:
            await asyncio.sleep(0.1)
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    notes.close()
    async with asyncio.timeout(60):
        await noting
        while spool.pending:
            await asyncio.sleep(0.1)
    await writer.close()
    assert (report.done, report.failed, report.refused) == (1, {}, 0)
    found = [record async for record in store.scan(Where())]
    assert [r.time for r in found if r.camera == "gate"] == [START + i * timedelta(seconds=0.1) for i in range(100)]
    yard = [r.time for r in found if r.camera == "yard"]
    assert yard[: len(camera.times)] == camera.times
    assert len(yard) - len(camera.times) in (0, 1)
    covered = await catalog.coverage(["yard"], START, START + timedelta(days=1))
    assert [(c.start, c.end, c.state) for c in covered] == [(START, camera.times[-1], CoverageState.WATCHED)]
    (gate,) = await catalog.coverage(["gate"], START, START + timedelta(days=1))
    assert (gate.start, gate.state) == (START, CoverageState.WATCHED)
    assert abs((gate.end - START).total_seconds() - 10) < 0.2
