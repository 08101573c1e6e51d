"""Tests that a store with three replicas keeps working without one node and loses nothing."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record, Store
from footage.indexer.store.errors import StoreError, StoreUnreachable
from tests.cassandra.fixture import need_driver
from tests.indexer.store.store_contract import make_records, scan_all

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import CassandraStore, connect_cassandra, schema
from tests.cassandra.server import QUICK, Server, wait_until_all_see_all

SPACE = Space("test/one", 32)
PAUSE = 0.02  # seconds between requests: three nodes and their restarts share a small machine with them
SLOW = "no node answers"
"""Two nodes are there all the time: neither heard for two seconds, it is this machine that holds up all of them."""
COPIES = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}"


@dataclass
class Traffic:
    """Writes of five records and searches, one after the other, until ``stop`` is set."""

    store: Store
    acknowledged: list[Record] = field(default_factory=list)
    found: int = 0
    errors: list[str] = field(default_factory=list)
    slowest: float = 0
    stop: bool = False

    async def write(self) -> None:
        records = make_records(20_000)
        for i in range(0, len(records), 5):
            if self.stop:
                return
            if await self._try(self.store.write(records[i : i + 5])):
                self.acknowledged += records[i : i + 5]
            await asyncio.sleep(PAUSE)

    async def search(self) -> None:
        while not self.stop:
            if self.acknowledged:
                record = self.acknowledged[-1]
                self.found += await self._try(self.store.nearest(record.vector, 1))
            await asyncio.sleep(PAUSE)

    async def _try(self, work: object) -> bool:
        began = time.monotonic()
        try:
            await work  # type: ignore[misc]
        except StoreError as error:
            self.errors.append(str(error))
            return False
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return True

    async def more(self, writes: int, searches: int) -> None:
        """Wait until so many more writes and searches have succeeded."""
        wanted = len(self.acknowledged) + 5 * writes, self.found + searches
        async with asyncio.timeout(300):
            while len(self.acknowledged) < wanted[0] or self.found < wanted[1]:
                await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(900)  # nodes start six times
async def test_nothing_is_lost_or_doubled_when_nodes_die_restart_one_after_another_and_freeze(
    cassandra3: list[Server], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = cassandra3
    points = [node.contact.host for node in cassandra3]

    def start(node: Server) -> None:
        node.start()
        node.wait(peers=2)
        wait_until_all_see_all(cassandra3, "footage.about")  # else the next one that goes leaves one of three

    def restart(node: Server) -> None:
        node.stop()
        start(node)

    session = await connect_cassandra(points, first.contact.port, "footage")
    await schema.create_tables(session, SPACE, replication=COPIES)
    await asyncio.to_thread(wait_until_all_see_all, cassandra3, "footage.about")
    traffic = Traffic(await CassandraStore.open(session, SPACE))
    async with asyncio.TaskGroup() as group:
        group.create_task(traffic.write())
        group.create_task(traffic.search())
        lines = []
        for what, act in (
            ("three nodes", lambda: None),
            ("one killed", third.kill),
            ("it is back", partial(start, third)),
            ("another restarted", partial(restart, second)),
            ("the last one restarted", partial(restart, first)),
            ("one frozen", second.pause),
            ("it is back", second.resume),
        ):
            traffic.slowest = 0
            before = len(traffic.acknowledged), traffic.found, len(traffic.errors), time.monotonic()
            await asyncio.to_thread(act)
            await traffic.more(20, 20)
            seconds = time.monotonic() - before[3]
            lines.append(
                f"{what}: {len(traffic.acknowledged) - before[0]} records, {traffic.found - before[1]} searches, "
                f"{len(traffic.errors) - before[2]} errors in {seconds:.1f} s, the slowest {traffic.slowest:.1f} s"
            )
        traffic.stop = True
    stored = [record.time for record in await scan_all(traffic.store)]
    kept = set(stored)
    lost = [record for record in traffic.acknowledged if record.time not in kept]
    with capsys.disabled():
        print("", *lines, f"{len(traffic.acknowledged)} acknowledged, {len(lost)} lost", *traffic.errors[:3], sep="\n")
    await session.close()
    assert lost == []
    assert len(stored) == len(kept)
    assert [error for error in traffic.errors if SLOW not in error] == []


@pytest.mark.slow
async def test_a_store_whose_server_was_away_goes_on(tmp_path: Path) -> None:
    server = Server(tmp_path, options=QUICK)
    with server:
        at = server.contact
        session = await connect_cassandra([at.host], at.port, "footage", user=at.user, password=at.password)
        await schema.create_tables(session, SPACE)
        store = await CassandraStore.open(session, SPACE)
        records = make_records(30)
        await store.write(records[:10])
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreUnreachable, match="no node answers"):
            await store.nearest(records[0].vector, 1)
        with pytest.raises(StoreUnreachable):
            await store.write(records[10:20])
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(server.wait)
        async with asyncio.timeout(180):
            while True:
                try:
                    await store.write(records[10:])
                    break
                except StoreUnreachable:
                    await asyncio.sleep(0.2)
        assert [record.time for record in await scan_all(store)] == [record.time for record in records]
        assert len(await store.nearest(records[0].vector, 50)) == 30
        await session.close()
