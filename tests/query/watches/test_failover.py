"""Tests that no alert is lost when the worker that evaluates and delivers is killed, and that ids stay the same."""

import asyncio
import json
import os
import sys
import uuid
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.indexer.embed.fingerprint import fingerprint
from footage.query.watches.watch import Watch, save_watch
from footage.query.watches.webhook import DELIVERY_LEASE
from footage.stream.frame import Clock, Kind, Media
from tests.cassandra.fixture import need_driver
from tests.indexer.color_embedder import ColorEmbedder

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, connect_cassandra, schema

FRAMES, CYCLE = 400, 8


async def until(condition, seconds=90):
    """Waits until an asynchronous condition holds."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.1)


class Cluster:
    """A keyspace with one camera, and workers of it.

    Attributes:
        since: when the camera's footage begins.
    """

    def __init__(self, address, session, catalog, store, since):
        self.session, self.catalog, self.store, self.since = session, catalog, store, since
        self._address, self._workers = address, []

    async def start(self, name):
        at = self._address
        fixed = (at.host, str(at.port), at.user, at.password, self.session.keyspace, name)
        module = "tests.query.watches.failover_worker"
        command = (sys.executable, "-m", module, *fixed, self.since.isoformat(), str(FRAMES))
        self._workers.append(await asyncio.create_subprocess_exec(*command, env=dict(os.environ)))

    async def kill_first(self):
        self._workers[0].kill()
        await self._workers[0].wait()

    async def end(self):
        for worker in self._workers:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
        await self.session.execute_ddl(f"DROP KEYSPACE {self.session.keyspace}")
        await self.session.close()

    async def holders(self):
        return dict(await self.session.select("SELECT name, holder FROM @lease_holders"))


@pytest.fixture
async def cluster(cassandra):
    at, keyspace = cassandra, f"f_{uuid.uuid4().hex[:12]}"
    since = (datetime.now(UTC) - timedelta(minutes=30)).replace(microsecond=0)
    session = await connect_cassandra([at.host], at.port, keyspace, user=at.user, password=at.password)
    await schema.create_tables(session, ColorEmbedder.space)
    catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, ColorEmbedder.space)
    await catalog.bind_space(ColorEmbedder.space, await fingerprint(ColorEmbedder()))
    await catalog.add_media(Media("film", "yard", "/film.mp4", Kind.VIDEO, since, Clock.GIVEN, float(FRAMES)), "")
    cluster = Cluster(at, session, catalog, store, since)
    yield cluster
    await cluster.end()


@pytest.fixture
async def receiver():
    """A slow receiver of alerts: its URL, and the ids by start of the moment."""
    received = defaultdict(list)

    async def take(request):
        alert = json.loads(await request.read())
        received[datetime.fromisoformat(alert["start"])].append(alert["id"])
        await asyncio.sleep(0.2)  # so that one is always on its way, and others wait
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), received


@pytest.mark.slow
async def test_a_watch_fires_at_least_once_with_one_id_when_its_worker_is_killed(cluster, receiver, capsys):
    url, received = receiver
    watch = Watch(name="grass", text="green", since=cluster.since, cooldown=0, webhook=url, allow_private=True)
    await save_watch(cluster.catalog, watch)

    async def held_by_first():
        return await cluster.holders() == {"yard": "a", DELIVERY_LEASE: "a"} and len(received) >= 5

    async def all_done():
        waiting = await cluster.catalog.documents(f"watch-outbox/{watch.id}")
        return len(received) == FRAMES // CYCLE and not waiting and await cluster.store.count() == FRAMES

    await cluster.start("a")
    await until(held_by_first)
    await cluster.start("b")
    stored = await cluster.store.count()
    await cluster.kill_first()
    before = len(received)
    await until(all_done)
    assert await cluster.holders() == {"yard": "b", DELIVERY_LEASE: "b"}
    assert stored < FRAMES
    assert sorted(received) == [cluster.since + timedelta(seconds=CYCLE * n) for n in range(FRAMES // CYCLE)]
    assert all(len(set(ids)) == 1 for ids in received.values())
    repeated = sum(len(ids) - 1 for ids in received.values())
    with capsys.disabled():
        print(f"\nkilled after {before} alerts of {len(received)}: none missed, {repeated} delivered again")
    assert repeated < before  # those that were on their way, but not all that was delivered
