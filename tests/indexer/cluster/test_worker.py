"""Tests leases, the fence, and workers that share cameras, over one SQLite catalog, with a fake clock."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence, FencedWriter
from footage.indexer.cluster.leases import Leases
from footage.indexer.cluster.worker import WORKER_KIND, Worker
from footage.indexer.store import sqlite
from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreUnreachable
from footage.indexer.store.sqlite import SqliteCatalog

NAMES = ["c1", "c2", "c3", "c4", "c5"]
START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    """Both clocks of a machine; tests move it on."""

    def __init__(self):
        self.seconds = 1_000_000.0

    def __call__(self):
        return self.seconds

    def now(self):
        return START + timedelta(seconds=self.seconds - 1_000_000.0)


@pytest.fixture
def clock(monkeypatch):
    """A fake clock, which the catalog uses, too."""
    clock = Clock()
    monkeypatch.setattr(sqlite, "time", type("Time", (), {"time": staticmethod(clock)}))
    return clock


class UnreachableCatalog:
    """A catalog that cannot be reached while ``away``."""

    def __init__(self, catalog):
        self.catalog, self.away = catalog, False

    def __getattr__(self, name):
        work = getattr(self.catalog, name)

        async def asked(*given):
            if self.away:
                raise StoreUnreachable("no node answers")
            return await work(*given)

        return asked


async def test_a_lease_is_valid_for_its_length_from_its_request(catalog, clock):
    leases = Leases(catalog, "a", 8, clock)
    assert await leases.acquire("yard")
    assert (leases.is_valid("yard"), leases.seconds_left("yard"), leases.seconds_left("gate")) == (True, 8, None)
    clock.seconds += 7
    assert leases.is_valid("yard")
    await leases.renew()
    clock.seconds += 7
    assert leases.is_valid("yard")
    clock.seconds += 1
    assert not leases.is_valid("yard")


async def test_nobody_else_holds_a_lease_while_it_is_valid(catalog, clock):
    one, two = Leases(catalog, "a", 8, clock), Leases(catalog, "b", 8, clock)
    assert await one.acquire("yard")
    while one.is_valid("yard"):
        assert not await two.acquire("yard")
        clock.seconds += 0.5
    assert await two.acquire("yard")
    await two.release("yard")
    assert await one.acquire("yard")


async def test_an_expired_lease_is_kept_if_nobody_else_acquired_it(catalog, clock, caplog):
    away = UnreachableCatalog(catalog)
    leases, lost = Leases(away, "a", 8, clock), []
    leases.on_lost = lost.append
    await leases.acquire("yard")
    away.away = True
    for _ in range(13):
        await leases.renew()
        clock.seconds += 10
    assert leases.seconds_left("yard") <= 0
    assert caplog.messages == 3 * ["leases cannot be renewed: no node answers"], "at once, then each minute"
    away.away = False
    await leases.renew()
    assert leases.is_valid("yard")
    assert lost == []


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_lease_that_somebody_else_acquired_in_between_is_lost(catalog, clock, given_up):
    leases, other, lost = Leases(catalog, "a", 8, clock), Leases(catalog, "b", 8, clock), []
    leases.on_lost = lost.append
    await leases.acquire("yard")
    clock.seconds += 9
    assert await other.acquire("yard")
    if given_up:
        await other.release("yard")
    await leases.renew()
    assert (lost, leases.seconds_left("yard")) == (["yard"], None)
    await catalog.announce_session("c#1", "c", 8)
    assert await catalog.acquire_lease("yard", "c", "c#1") is not None or not given_up


async def test_a_catalog_that_does_not_answer_in_time_is_unreachable(catalog):
    class Slow(UnreachableCatalog):
        def __getattr__(self, name):
            return lambda *_: asyncio.sleep(3600)

    with pytest.raises(StoreUnreachable, match="in time"):
        await Leases(Slow(catalog), "a", 0.1).acquire("yard")


class FakeStore:
    """A store that keeps records in memory, after a pause."""

    def __init__(self):
        self.kept, self.pause = [], 0.0

    async def write(self, records):
        await asyncio.sleep(self.pause)
        self.kept += [(r.camera, r.time) for r in records]


def record(clock, camera="yard"):
    return Record(camera, clock.now(), camera, 0.0, np.ones(3, np.float32))


async def test_a_fenced_worker_does_not_write_its_captured_records(clock):
    left = {"yard": 5.0}
    fence, store = Fence(left.get, clock.now), FakeStore()
    fenced = FencedWriter(store, fence)
    old = record(clock)
    clock.seconds += 60
    fence.hold("yard")
    clock.seconds += 1
    mine = record(clock)
    await fenced.write([mine])
    left["yard"] = -1.0
    clock.seconds += 5
    unsure = record(clock)
    with pytest.raises(StoreUnreachable, match="run out"):
        await fenced.write([unsure])
    with pytest.raises(StoreUnreachable):
        fence.may_write("yard", clock.now())
    fence.revoke("yard")
    clock.seconds += 5
    await fenced.write([unsure, record(clock), record(clock, "gate"), old])
    assert store.kept == [(r.camera, r.time) for r in (mine, record(clock, "gate"), old)]
    assert fence.dropped == 2
    clock.seconds += 60
    left["yard"] = 5.0
    fence.hold("yard")
    clock.seconds += 1
    await fenced.write([unsure, again := record(clock)])
    assert store.kept[-1] == ("yard", again.time)
    assert fence.dropped == 3


async def test_a_write_that_outlasts_its_lease_is_not_acknowledged(clock):
    left = {"yard": 0.05}
    fence, store = Fence(left.get, clock.now), FakeStore()
    fence.hold("yard")
    store.pause = 3600
    with pytest.raises(StoreUnreachable, match="ended before"):
        await FencedWriter(store, fence).write([record(clock)])
    assert store.kept == []


async def test_what_was_captured_after_the_clock_was_set_back_is_not_written_when_the_lease_is_lost(clock):
    fence, store = Fence({"yard": 5.0}.get, clock.now), FakeStore()
    fence.hold("yard")
    clock.seconds -= 3600
    fence.revoke("yard")
    await FencedWriter(store, fence).write([record(clock)])
    assert (store.kept, fence.dropped) == ([], 1)


class FakeHost:
    """A camera host that only records which cameras it watches."""

    def __init__(self):
        self.watching, self.lost = set(), []

    async def add(self, camera):
        assert camera.name not in self.watching
        self.watching.add(camera.name)

    async def remove(self, name, *, lost=False):
        self.watching.discard(name)
        if lost:
            self.lost.append(name)


class Member:
    """A worker with a fake camera host."""

    def __init__(self, name, catalog, clock, cameras, supervisor):
        async def list_cameras():
            if catalog.away:
                raise StoreUnreachable("no node answers")
            return {c: Camera(c, "") for c in cameras}

        async def noted(camera):
            self.noted.append(camera)

        self.noted = []
        self.host, self.catalog = FakeHost(), catalog
        self.leases = Leases(catalog, name, 8, clock)
        self.fence = Fence(self.leases.seconds_left, clock.now)
        hooks = {"on_added": noted, "on_removed": noted, "on_lost": noted, "supervisor": supervisor}
        self.worker = Worker(catalog, self.leases, self.fence, self.host, list_cameras, clock=clock, **hooks)

    async def step(self):
        await self.leases.renew()
        try:
            await self.worker.rebalance()
        except StoreUnreachable:
            self.worker._peers.clear()
        while self.worker._ending:
            await asyncio.sleep(0)


@pytest.fixture
async def members(tmp_path, clock, supervisor):
    """Makes workers, each with a catalog object of its own on one file; ``cameras`` are shared by all."""
    opened = []
    cameras = list(NAMES)

    async def make(name):
        catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
        opened.append(catalog)
        return Member(name, UnreachableCatalog(catalog), clock, cameras, supervisor)

    make.cameras = cameras
    yield make
    for catalog in opened:
        await catalog.close()


async def steps(clock, members, seconds):
    """Advance the clock; after each step no two workers hold a valid lease of the same camera."""
    for _ in range(int(seconds / 2)):
        for member in members:
            await member.step()
        sure = [c for m in members for c in m.host.watching if m.leases.is_valid(c)]
        assert len(sure) == len(set(sure))
        clock.seconds += 2


def shares(members):
    return sorted(len(m.host.watching) for m in members)


async def test_shares_stay_fair_as_workers_join_and_leave(members, clock):
    a = await members("a")
    await steps(clock, [a], 4)
    assert a.host.watching == set(NAMES)
    b = await members("b")
    await steps(clock, [a, b], 20)
    assert shares([a, b]) == [2, 3]
    c = await members("c")
    await steps(clock, [a, b, c], 20)
    assert shares([a, b, c]) == [1, 2, 2]
    await b.worker.stop()
    b.host.watching.clear()
    await steps(clock, [a, c], 6)  # at once: nobody waits for a lease to end
    assert shares([a, c]) == [2, 3]
    members.cameras.remove("c1")
    members.cameras += ["c6", "c7"]
    await steps(clock, [a, c], 20)
    assert shares([a, c]) == [3, 3]
    assert a.host.watching | c.host.watching == {*NAMES, "c6", "c7"} - {"c1"}


async def test_workers_that_start_together_share_at_once(members, clock):
    all_of_them = [await members(name) for name in "abc"]
    await asyncio.gather(*(m.step() for m in all_of_them))
    await steps(clock, all_of_them, 20)
    assert shares(all_of_them) == [1, 2, 2]


async def test_a_dead_workers_cameras_move_within_a_lease_and_its_heartbeat_is_deleted(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    died = clock.seconds
    while b.host.watching != set(NAMES):
        assert clock.seconds < died + 8 + 2  # the lease, and a round
        await steps(clock, [b], 2)
    assert set(await b.catalog.documents(WORKER_KIND)) == {"b"}


async def test_a_frozen_worker_loses_its_cameras_and_gets_a_share_again(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    before = set(a.host.watching)
    await steps(clock, [b], 20)
    assert not any(a.leases.is_valid(c) for c in before)
    await steps(clock, [a, b], 20)
    assert set(a.host.lost) == before
    assert shares([a, b]) == [2, 3]


async def test_while_the_catalog_is_unreachable_every_worker_keeps_its_cameras(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    before = [set(m.host.watching) for m in (a, b)]
    a.catalog.away = b.catalog.away = True
    await steps(clock, [a, b], 60)
    a.catalog.away = b.catalog.away = False
    await steps(clock, [b, a], 20)
    assert [m.host.watching for m in (a, b)] == before
    assert a.host.lost == b.host.lost == []


async def test_a_worker_stops_although_the_catalog_is_unreachable(members, clock):
    a = await members("a")
    await steps(clock, [a], 4)
    a.leases.seconds = 0.2

    async def waiting(camera):
        await asyncio.sleep(3600)

    a.worker._on_removed = waiting
    a.catalog.away = True
    async with asyncio.timeout(60):
        await a.worker.stop()
    assert a.worker.cameras == []


async def test_a_camera_that_cannot_start_is_left_to_other_workers(members, clock):
    a = await members("a")

    async def failing(camera):
        raise StoreUnreachable("no node answers")

    a.host.add = failing
    with pytest.raises(StoreUnreachable):
        await a.worker.rebalance()
    assert a.worker.cameras == []
    b = await members("b")
    await b.step()
    await b.step()
    assert len(b.host.watching) == math.ceil(len(NAMES) / 2)
