"""Tests that no firing is lost when the worker that evaluates and delivers is killed, and that ids stay the same."""

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


@pytest.mark.slow
async def test_a_watch_fires_at_least_once_with_one_id_when_its_worker_is_killed(cassandra, capsys):
    at, keyspace = cassandra, f"f_{uuid.uuid4().hex[:12]}"
    since = (datetime.now(UTC) - timedelta(minutes=30)).replace(microsecond=0)
    received = defaultdict(list)  # ids by start of the moment

    async def take(request):
        firing = json.loads(await request.read())
        received[datetime.fromisoformat(firing["start"])].append(firing["id"])
        await asyncio.sleep(0.2)  # so that one is always on its way, and others wait
        return web.Response()

    session = await connect_cassandra([at.host], at.port, keyspace, user=at.user, password=at.password)
    await schema.create_tables(session, ColorEmbedder.space)
    catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, ColorEmbedder.space)
    await catalog.bind_space(ColorEmbedder.space, await fingerprint(ColorEmbedder()))
    await catalog.add_media(Media("film", "yard", "/film.mp4", Kind.VIDEO, since, Clock.GIVEN, float(FRAMES)), "")
    app = web.Application()
    app.router.add_post("/", take)

    async def start(name):
        fixed = (at.host, str(at.port), at.user, at.password, keyspace, name, since.isoformat(), str(FRAMES))
        module = "tests.query.watches.failover_worker"
        return await asyncio.create_subprocess_exec(sys.executable, "-m", module, *fixed, env=dict(os.environ))

    async def holders():
        found = await session.select("SELECT name, holder FROM @lease_holders")
        return dict(found)

    async def held_by_first():
        return await holders() == {"yard": "a", DELIVERY_LEASE: "a"} and len(received) >= 5

    async def all_done():
        waiting = await catalog.documents(f"watch-outbox/{watch.id}")
        return len(received) == FRAMES // CYCLE and not waiting and await store.count() == FRAMES

    processes = []
    async with TestServer(app) as server:
        watch = Watch(
            name="grass", text="green", since=since, cooldown=0, webhook=str(server.make_url("/")), allow_private=True
        )
        await save_watch(catalog, watch)
        try:
            processes.append(await start("a"))
            await until(held_by_first)
            processes.append(await start("b"))
            stored = await store.count()
            processes[0].kill()
            await processes[0].wait()
            before = len(received)
            await until(all_done)
            assert await holders() == {"yard": "b", DELIVERY_LEASE: "b"}
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    assert stored < FRAMES
    expected = [since + timedelta(seconds=CYCLE * n) for n in range(FRAMES // CYCLE)]
    assert sorted(received) == expected
    assert all(len(set(ids)) == 1 for ids in received.values())
    repeated = sum(len(ids) - 1 for ids in received.values())
    with capsys.disabled():
        print(f"\nkilled after {before} firings of {len(received)}: none missed, {repeated} delivered again")
    assert repeated <= 2  # those that were on their way
    await session.execute_ddl(f"DROP KEYSPACE {keyspace}")
    await session.close()
