"""A worker without cameras, in a process that a test kills: writes frames, evaluates a watch, delivers its alerts.

``python -m tests.query.watches.failover_worker HOST PORT USER PASSWORD KEYSPACE NAME SINCE FRAMES``
"""

import asyncio
import sys
from contextlib import suppress
from datetime import datetime, timedelta

import numpy as np

from footage.indexer.cluster.leases import Leases
from footage.indexer.store.base import Record
from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, connect_cassandra
from footage.indexer.supervisor import Supervisor
from footage.query.scoring.noun_bank import NounBank
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.evaluator import WatchEvaluator
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.webhook import WebhookSender
from tests.indexer.color_embedder import COLORS, ColorEmbedder

CAMERA, MEDIA = "yard", "film"
CYCLE = ("green", "green", "red", "red", "red", "red", "red", "red")


async def film(leases: Leases, watches: WatchEvaluator, store: CassandraStore, since: datetime, frames: int) -> None:
    """Writes the frames that are missing, one after the other, while this process holds the camera."""
    vectors = await ColorEmbedder().images([np.full((4, 4, 3), COLORS[color], np.uint8) for color in CYCLE])
    while True:
        while not await leases.acquire(CAMERA):
            await asyncio.sleep(0.1)
        await watches.on_camera_added(CAMERA)
        newest = await store.last_time(MEDIA)
        number = 0 if newest is None else round((newest - since).total_seconds()) + 1
        while number < frames and leases.is_valid(CAMERA):
            record = Record(
                CAMERA, since + timedelta(seconds=number), MEDIA, float(number), vectors[number % len(CYCLE)]
            )
            await store.write([record])
            await watches.on_written([record])
            number += 1
            await asyncio.sleep(0.02)
        while leases.is_valid(CAMERA):
            await asyncio.sleep(0.1)
        await watches.on_camera_lost(CAMERA)


async def main(host: str, port: str, user: str, password: str, keyspace: str, name: str, *rest: str) -> None:
    """Runs until it is killed."""
    session = await connect_cassandra([host], int(port), keyspace, user=user, password=password)
    catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, ColorEmbedder.space)
    embedder, leases = ColorEmbedder(), Leases(catalog, name, 3)
    bank = await NounBank.build(embedder)
    async with Supervisor() as supervisor:
        webhooks = WebhookSender(catalog, min_wait=0.05, max_wait=0.2, leases=leases, supervisor=supervisor)
        scorer = WatchScorer(embedder, store, bank, supervisor=supervisor)
        watches = WatchEvaluator(scorer, store, catalog, AlertStream(), webhooks, poll_interval=0.1, cameras=())
        async with supervisor.running(leases=leases.run, watches=watches.run):
            await film(leases, watches, store, datetime.fromisoformat(rest[0]), int(rest[1]))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
