"""Test harness for watches: a real index of plain colors, a running evaluator, and webhook receivers."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from footage.indexer.store.base import Record
from footage.indexer.supervisor import Supervisor
from footage.query.scoring.noun_bank import NounBank
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.evaluator import WatchEvaluator
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.watch import Watch, save_watch
from footage.query.watches.webhook import WebhookSender
from footage.stream.frame import Clock, Kind, Media
from tests.indexer.color_embedder import COLORS, ColorEmbedder

SINCE = datetime.now(UTC) - timedelta(minutes=30)
"""Start of the tests' watches; their frames are half an hour old, so a start catches up with them."""


async def until(condition, seconds=20.0):
    """Waits until a condition is true; returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
    return value


def at(second):
    return SINCE + timedelta(seconds=second)


async def make_records(colors, *, camera="yard", start=0.0, step=1.0):
    """Makes records of frames of plain colors, one every ``step`` seconds."""
    vectors = await ColorEmbedder().images([np.full((4, 4, 3), COLORS[c], np.uint8) for c in colors])
    return [Record(camera, at(start + i * step), camera, start + i * step, v) for i, v in enumerate(vectors)]


class WatchHarness:
    """An index and watches on it; ``write`` writes records as the pipeline does."""

    def __init__(self, store, catalog):
        self.store, self.catalog = store, catalog
        self.events = []
        self.alerts = AlertStream()
        self.embedder = ColorEmbedder()

    async def open(self):
        self.bank = await NounBank.build(self.embedder)
        media = Media("yard", "yard", "/yard.mp4", Kind.VIDEO, SINCE, Clock.GIVEN, 3000.0)
        await self.catalog.add_media(media, "")
        await self.store.write(await make_records(["red", "green", "blue"] * 8, start=-1000))
        return self

    async def add_watch(self, name="grass", text="something green", **more):
        watch = Watch(name=name, text=text, **({"since": SINCE, "cooldown": 0} | more))
        await save_watch(self.catalog, watch)
        return watch

    def scorer(self):
        return WatchScorer(self.embedder, self.store, self.bank)

    @asynccontextmanager
    async def run(self, webhooks=None, scorer=None, **more):
        """Runs the evaluator until the block ends."""
        tell = lambda name, outcome: self.events.append((name, outcome))  # noqa: E731
        async with Supervisor(pauses=(0.01, 0.05)) as supervisor:
            webhooks = webhooks or WebhookSender(
                self.catalog, tell, min_wait=0.01, max_wait=0.05, supervisor=supervisor
            )
            scorer = scorer or WatchScorer(self.embedder, self.store, self.bank, supervisor=supervisor)
            parts = (scorer, self.store, self.catalog, self.alerts, webhooks, tell)
            watches = WatchEvaluator(*parts, poll_interval=0.02, **more)
            async with supervisor.running(watches=watches.run):
                yield watches

    async def write(self, watches, records, batch=3):
        for i in range(0, len(records), batch):
            await self.store.write(records[i : i + batch])
            await watches.on_written(records[i : i + batch])

    def received(self):
        """Returns the alerts that listeners received."""
        return [json.loads(e.text.split(b"data: ")[1]) for e in self.alerts._history]


class Receiver:
    """A webhook on loopback that fails its next ``failures`` requests."""

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
    async def open(self, host="127.0.0.1", port=None):
        app = web.Application()
        app.router.add_post("/hook", self.take)
        app.router.add_post("/elsewhere", self.move)
        async with TestServer(app, host=host, port=port) as server:
            self.url, self.port = str(server.make_url("/hook")), server.port
            yield self


@pytest.fixture
async def receiver():
    async with Receiver().open() as one:
        yield one


def hooked(url, name="gate", **more):
    """A watch with a webhook."""
    return Watch(name=name, text="x", webhook=url, **({"allow_private": True} | more))


@pytest.fixture
async def sender(catalog, supervisor):
    """Makes and starts senders; ``events`` collects what they report."""
    started = []

    async def start(*watches, **more):
        one = WebhookSender(
            catalog,
            lambda *what: one.events.append(what),
            **({"min_wait": 0.01, "max_wait": 0.05, "supervisor": supervisor} | more),
        )
        one.events = []
        await one.start({w.name: w for w in watches})
        started.append(one)
        return one

    yield start
    for one in started:
        await one.stop()


async def outbox(catalog, *owners):
    """What the catalog stores of deliveries."""
    found = {}
    for watch_id in owners:
        found |= await catalog.documents(f"watch-outbox/{watch_id}") | await catalog.documents(f"watch-dead/{watch_id}")
    return found
