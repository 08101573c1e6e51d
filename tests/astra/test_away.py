"""What a service does while a database in the cloud is gone, cut off, slow, overloaded or building an index."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.astra.fixture import need_cryptography, open_session
from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.pipeline.retry import SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record, Where
from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    breaker,
)
from footage.indexer.store.errors import StoreUnreachable
from footage.indexer.supervisor import Supervisor
from footage.query.clips.service import ClipService
from footage.query.http import app
from footage.query.http.metrics import Metrics
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.engine import SearchEngine
from tests.astra.server import Astra
from tests.indexer.color_embedder import ColorEmbedder
from tests.running_time import running_seconds

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
LEASE = 120.0  # seconds: this machine may take long


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    async with open_session(astra, ColorEmbedder.space) as session:
        yield session


@pytest.fixture
async def store(session: CassandraSession) -> CassandraStore:
    """Ten red records in a minute, searched row by row; a search of an hour uses the index."""
    store = await CassandraStore.open(session, ColorEmbedder.space)
    (red,) = await ColorEmbedder().images([np.full((4, 4, 3), (255, 0, 0), np.uint8)])
    await store.write([Record("yard", START + timedelta(seconds=i), "m", float(i), red) for i in range(10)])
    return store


@pytest.fixture
async def client(
    session: CassandraSession, store: CassandraStore, tmp_path: Path
) -> AsyncIterator[TestClient[object, object]]:
    """A client of a service over the database, which has answered a search."""
    embedder, catalog = ColorEmbedder(), await CassandraCatalog.open(session)
    clips = ClipService(store, catalog, tmp_path / "clips")
    engine = SearchEngine(embedder, store, catalog, await NounBank.build(embedder), clips.get_frame)
    services = app.AppServices(store, catalog, engine, clips, Metrics())
    client: TestClient[object, object] = TestClient(TestServer(app.build_app(services)))
    await client.start_server()
    for path in ("/readyz", "/api/search?q=red"):
        assert (await client.get(path)).status == 200
    yield client
    await client.close()


class Heard(logging.Handler):
    """What reaches the root logger, as it would reach a terminal; pytest's own hears non-propagating loggers too."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith("aiohttp"):
            self.records.append(record)

    def lines(self) -> list[str]:
        """What was said."""
        return [record.getMessage() for record in self.records]


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Heard]:
    caplog.set_level(logging.INFO)
    handler = Heard()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


async def answered(client: TestClient[object, object], path: str) -> None:
    async with asyncio.timeout(120):
        while (await client.get(path)).status != 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("how", ["gone", "cut off"])
async def test_a_search_and_readiness_are_refused_in_time_and_served_again(
    astra: Astra, client: TestClient[object, object], heard: Heard, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "gone":
        await asyncio.to_thread(astra.go_away)
    else:
        astra.silent = True
    (search, searched), (ready, asked) = await asyncio.gather(
        running_seconds(client.get("/api/search?q=red")), running_seconds(client.get("/readyz"))
    )
    assert (search.status, ready.status) == (503, 503)
    assert int(search.headers["Retry-After"]) > 0
    assert "no node answers" in (await search.json())["error"]
    assert searched < 3
    assert asked < 1
    for path in ("/api/search?q=red", "/readyz"):
        again, at_once = await running_seconds(client.get(path))
        assert again.status == 503
        assert at_once < 1
    (told,) = heard.lines()
    assert "no node answers" in told
    monkeypatch.setattr(breaker, "SILENCE_SECONDS", 60)  # a machine that stands still meanwhile is no second outage
    if how == "gone":
        await asyncio.to_thread(astra.come_back)
    else:
        astra.silent = False
    for path in ("/readyz", "/api/search?q=red"):
        await answered(client, path)
    gone, back = heard.lines()
    assert "no node answers" in gone
    assert "answers again" in back
    assert not any(record.exc_info for record in heard.records)


async def test_a_slow_database_is_waited_for(astra: Astra, client: TestClient[object, object], heard: Heard) -> None:
    astra.delay = 0.02
    assert (await client.get("/api/search?q=red")).status == 200
    assert (await client.get("/readyz")).status == 200
    assert heard.records == []


async def test_an_overloaded_database_is_told_as_such_and_backed_off_from(
    astra: Astra, session: CassandraSession, store: CassandraStore
) -> None:
    astra.overloaded, began = True, time.monotonic()
    astra.turned_away.clear()
    with pytest.raises(StoreUnreachable, match="overloaded"):
        await store.last_time("m")
    attempts = max(Counter(astra.turned_away).values())
    assert 1 < attempts <= 4, astra.turned_away
    assert time.monotonic() - began > 2  # pauses of half a second, one and two
    waiting = asyncio.create_task(store.last_time("m"))
    await asyncio.sleep(0.1)
    astra.overloaded = False
    assert await waiting == START + timedelta(seconds=9)


async def test_an_index_that_is_being_built_is_waited_for_or_told(
    astra: Astra, session: CassandraSession, store: CassandraStore
) -> None:
    (red,) = await ColorEmbedder().texts(["red"])
    astra.building = True
    with pytest.raises(StoreUnreachable, match="while an index is being built"):
        await store.nearest(red, 5)
    searching = asyncio.create_task(store.nearest(red, 5))
    await asyncio.sleep(0.1)
    astra.building = False
    assert len(await searching) == 5


async def renewed(catalog: CassandraCatalog) -> None:
    async with asyncio.timeout(LEASE / 2):
        while True:
            try:
                return await catalog.announce_session("session", "one", LEASE)
            except StoreUnreachable:
                await asyncio.sleep(0.1)


async def test_a_lease_is_renewed_after_a_short_outage_before_it_ends(astra: Astra, session: CassandraSession) -> None:
    catalog = await CassandraCatalog.open(session)
    await catalog.announce_session("session", "one", LEASE)
    number = await catalog.acquire_lease("camera", "one", "session")
    assert number is not None
    await asyncio.to_thread(astra.go_away)
    with pytest.raises(StoreUnreachable):
        await catalog.announce_session("session", "one", LEASE)
    await asyncio.to_thread(astra.come_back)
    _, seconds = await running_seconds(renewed(catalog))
    assert seconds < 5  # a lease of a service is seven seconds long
    assert await catalog.acquire_lease("camera", "one", "session") == number
    await catalog.release_lease("camera", "session")


async def test_what_the_database_refuses_for_good_is_set_aside_and_the_rest_stored(
    astra: Astra, session: CassandraSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More values in an IN than Astra takes: a batch is refused, and each of its records alone is not."""
    store = await CassandraStore.open(session, ColorEmbedder.space)
    monkeypatch.setattr(store, "_keys_per_lookup", 100)
    (red,) = await ColorEmbedder().texts(["red"])
    records = [Record("attic", START + timedelta(seconds=i), "a", float(i), red) for i in range(80)]
    records[30] = Record("attic", START + timedelta(seconds=30), "a", 30.0, np.array([np.nan, 0, 0], np.float32))
    refused = RefusedRecords(tmp_path, ColorEmbedder.space)
    async with Supervisor() as supervisor:
        spool = Spool(tmp_path / "spool", 1 << 30)
        await SpoolingWriter(store, spool, refused, supervisor=supervisor).write(records)
    assert await store.count(Where(("attic",))) == 79
    assert "cartesian product" in astra.refused[0][1]
    summary = await refused.summary()
    assert dict(summary.cameras) == {"attic": 1}
    assert "only unit vectors" in summary.reason
