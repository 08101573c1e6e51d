"""Parts for tests of watches: a real index of plain colours that grows, watches at work, and receivers."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.indexer.store.base import Record
from footage.query.scoring.noun_bank import Bank
from footage.query.watches.alerts import Alerts
from footage.query.watches.evaluator import Watches
from footage.query.watches.scoring import Scorer
from footage.query.watches.watch import Watch, keep
from footage.query.watches.webhook import Courier
from footage.stream.frame import Clock, Kind, Media
from tests.indexer.parts import COLOURS, ColourEmbedder

SINCE = datetime.now(UTC) - timedelta(minutes=30)
"""Watches of the tests begin here; their frames are half an hour old, and a start catches up with them."""


async def until(condition, seconds=20.0):
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return value


def at(second):
    return SINCE + timedelta(seconds=second)


async def shown(colours, *, camera="yard", start=0.0, step=1.0):
    """Records of frames of plain colours, one every ``step`` seconds."""
    vectors = await ColourEmbedder().images([np.full((4, 4, 3), COLOURS[c], np.uint8) for c in colours])
    return [Record(camera, at(start + i * step), camera, start + i * step, v) for i, v in enumerate(vectors)]


class Yard:
    """An index and the watches over it; ``add`` writes records as the pipeline does."""

    def __init__(self, store, catalog):
        self.store, self.catalog = store, catalog
        self.told = []
        self.events = Alerts()
        self.embedder = ColourEmbedder()

    async def open(self):
        self.bank = await Bank.of(self.embedder)
        media = Media("yard", "yard", "/yard.mp4", Kind.VIDEO, SINCE, Clock.GIVEN, 3000.0)
        await self.catalog.admit(media, "")
        await self.store.write(await shown(["red", "green", "blue"] * 8, start=-1000))
        return self

    async def watch(self, name="grass", text="something green", **more):
        watch = Watch(name=name, text=text, **({"since": SINCE, "cooldown": 0} | more))
        await keep(self.catalog, watch)
        return watch

    def scorer(self):
        return Scorer(self.embedder, self.store, self.bank)

    @asynccontextmanager
    async def running(self, courier=None, scorer=None, **more):
        """The watches at work until the block ends."""
        tell = lambda name, outcome: self.told.append((name, outcome))  # noqa: E731
        courier = courier or Courier(self.catalog, tell, wait=0.01, longest=0.05)
        parts = (scorer or self.scorer(), self.store, self.catalog, self.events, courier, tell)
        watches = Watches(*parts, notice=0.02, **more)
        task = asyncio.create_task(watches.run())
        try:
            yield watches
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def add(self, watches, records, batch=3):
        for i in range(0, len(records), batch):
            await self.store.write(records[i : i + batch])
            await watches.seen(records[i : i + batch])

    def fired(self):
        """What listeners were told."""
        return [json.loads(e.text.split(b"data: ")[1]) for e in self.events._ring]


class Receiver:
    """A webhook on loopback that fails as often as it is told to."""

    def __init__(self):
        self.failures = 0
        self.got = []
        self.tried = 0

    async def take(self, request):
        self.tried += 1
        if self.failures > 0:
            self.failures -= 1
            raise web.HTTPServiceUnavailable
        self.got.append((dict(request.headers), await request.read()))
        return web.Response()

    async def move(self, request):
        return web.Response(status=302, headers={"Location": "/hook"})

    @asynccontextmanager
    async def open(self):
        app = web.Application()
        app.router.add_post("/hook", self.take)
        app.router.add_post("/elsewhere", self.move)
        async with TestServer(app) as server:
            self.url = str(server.make_url("/hook"))
            yield self
