"""Leases, the fence, and workers that share cameras, over one SQLite catalogue; a fake clock where time must pass."""

import asyncio
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence, Fenced
from footage.indexer.cluster.leases import Leases
from footage.indexer.cluster.worker import KIND, Worker
from footage.indexer.store import sqlite
from footage.indexer.store.base import Record, StoreUnreachable
from footage.indexer.store.sqlite import SqliteCatalog

NAMES = ["c1", "c2", "c3", "c4", "c5"]
START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Clock:
    """Both clocks of a machine; it goes on when it is told to."""

    def __init__(self):
        self.seconds = 1_000_000.0

    def __call__(self):
        return self.seconds

    def now(self):
        return START + timedelta(seconds=self.seconds - 1_000_000.0)


@pytest.fixture
def clock(monkeypatch):
    """The time of the catalogue, and of whoever is given it."""
    clock = Clock()
    monkeypatch.setattr(sqlite, "time", type("Time", (), {"time": staticmethod(clock)}))
    return clock


class Away:
    """A catalogue that can be away."""

    def __init__(self, catalog):
        self.catalog, self.away = catalog, False

    def __getattr__(self, name):
        work = getattr(self.catalog, name)

        async def asked(*given):
            if self.away:
                raise StoreUnreachable("no node answers")
            return await work(*given)

        return asked


async def test_a_lease_is_sure_for_its_length_since_it_was_asked_for(catalog, clock):
    leases = Leases(catalog, "a", 8, clock)
    assert await leases.take("yard")
    assert (leases.sure("yard"), leases.left("yard"), leases.left("gate")) == (True, 8, None)
    clock.seconds += 7
    assert leases.sure("yard")
    await leases.renew()
    clock.seconds += 7
    assert leases.sure("yard")
    clock.seconds += 1
    assert not leases.sure("yard")


async def test_nobody_else_holds_a_lease_while_it_is_sure(catalog, clock):
    one, two = Leases(catalog, "a", 8, clock), Leases(catalog, "b", 8, clock)
    assert await one.take("yard")
    while one.sure("yard"):
        assert not await two.take("yard")
        clock.seconds += 0.5
    assert await two.take("yard")
    await two.release("yard")
    assert await one.take("yard")


async def test_a_lease_that_ran_out_goes_on_if_nobody_had_it(catalog, clock):
    away = Away(catalog)
    leases, told = Leases(away, "a", 8, clock), []
    leases.lost = told.append
    await leases.take("yard")
    away.away = True
    clock.seconds += 60
    await leases.renew()
    assert leases.left("yard") < 0
    away.away = False
    await leases.renew()
    assert leases.sure("yard")
    assert told == []


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_lease_that_somebody_had_in_between_is_lost(catalog, clock, given_up):
    leases, other, told = Leases(catalog, "a", 8, clock), Leases(catalog, "b", 8, clock), []
    leases.lost = told.append
    await leases.take("yard")
    clock.seconds += 9
    assert await other.take("yard")
    if given_up:
        await other.release("yard")
    await leases.renew()
    assert (told, leases.left("yard")) == (["yard"], None)
    assert await catalog.lease("yard", "c", 8) is not None or not given_up


async def test_a_catalogue_that_does_not_answer_in_time_is_away(catalog):
    class Slow(Away):
        def __getattr__(self, name):
            return lambda *_: asyncio.sleep(3600)

    with pytest.raises(StoreUnreachable, match="in time"):
        await Leases(Slow(catalog), "a", 0.1).take("yard")


class Shelf:
    """A store that keeps what it is given, and may take its time."""

    def __init__(self):
        self.kept, self.pause = [], 0.0

    async def write(self, records):
        await asyncio.sleep(self.pause)
        self.kept += [(r.camera, r.time) for r in records]


def record(clock, camera="yard"):
    return Record(camera, clock.now(), camera, 0.0, np.ones(3, np.float32))


async def test_a_fenced_worker_writes_nothing_of_what_it_captured(clock):
    left = {"yard": 5.0}
    fence, shelf = Fence(left.get, clock.now), Shelf()
    fenced = Fenced(shelf, fence)
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
        fence.passes("yard", clock.now())
    fence.lose("yard")
    clock.seconds += 5
    await fenced.write([unsure, record(clock), record(clock, "gate"), old])
    assert shelf.kept == [(r.camera, r.time) for r in (mine, record(clock, "gate"), old)]
    assert fence.dropped == 2
    clock.seconds += 60
    left["yard"] = 5.0
    fence.hold("yard")
    clock.seconds += 1
    await fenced.write([unsure, again := record(clock)])
    assert shelf.kept[-1] == ("yard", again.time)
    assert fence.dropped == 3


async def test_a_write_that_outlasts_its_lease_is_not_acknowledged(clock):
    left = {"yard": 0.05}
    fence, shelf = Fence(left.get, clock.now), Shelf()
    fence.hold("yard")
    shelf.pause = 3600
    with pytest.raises(StoreUnreachable, match="ended before"):
        await Fenced(shelf, fence).write([record(clock)])
    assert shelf.kept == []


class Hands:
    """Notes what it is told to watch."""

    def __init__(self):
        self.watching, self.lost = set(), []

    async def add(self, camera):
        assert camera.name not in self.watching
        self.watching.add(camera.name)

    async def drop(self, name, *, lost=False):
        self.watching.discard(name)
        if lost:
            self.lost.append(name)


class Member:
    """A worker with hands that only note."""

    def __init__(self, name, catalog, clock, cameras):
        async def listed():
            if catalog.away:
                raise StoreUnreachable("no node answers")
            return {c: Camera(c, "") for c in cameras}

        async def noted(camera):
            self.noted.append(camera)

        self.noted = []
        self.hands, self.catalog = Hands(), catalog
        self.leases = Leases(catalog, name, 8, clock)
        self.fence = Fence(self.leases.left, clock.now)
        hooks = {"took": noted, "gave": noted, "lost": noted}
        self.worker = Worker(catalog, self.leases, self.fence, self.hands, listed, clock=clock, **hooks)

    async def step(self):
        await self.leases.renew()
        try:
            await self.worker.round()
        except StoreUnreachable:
            self.worker._others.clear()
        while self.worker._ending:
            await asyncio.sleep(0)


@pytest.fixture
async def members(tmp_path, clock):
    """Makes workers, each with a catalogue object of its own on one file; ``cameras`` are shared by all."""
    opened = []
    cameras = list(NAMES)

    async def make(name):
        catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
        opened.append(catalog)
        return Member(name, Away(catalog), clock, cameras)

    make.cameras = cameras
    yield make
    for catalog in opened:
        await catalog.close()


async def steps(clock, members, seconds):
    """Let time pass; after each step no two have the same camera, if each of them is sure of it."""
    for _ in range(int(seconds / 2)):
        for member in members:
            await member.step()
        sure = [c for m in members for c in m.hands.watching if m.leases.sure(c)]
        assert len(sure) == len(set(sure))
        clock.seconds += 2


def shares(members):
    return sorted(len(m.hands.watching) for m in members)


async def test_shares_are_fair_whoever_comes_and_goes(members, clock):
    a = await members("a")
    await steps(clock, [a], 4)
    assert a.hands.watching == set(NAMES)
    b = await members("b")
    await steps(clock, [a, b], 20)
    assert shares([a, b]) == [2, 3]
    c = await members("c")
    await steps(clock, [a, b, c], 20)
    assert shares([a, b, c]) == [1, 2, 2]
    await b.worker.stop()
    b.hands.watching.clear()
    await steps(clock, [a, c], 6)  # at once: nobody waits for a lease to end
    assert shares([a, c]) == [2, 3]
    members.cameras.remove("c1")
    members.cameras += ["c6", "c7"]
    await steps(clock, [a, c], 20)
    assert shares([a, c]) == [3, 3]
    assert a.hands.watching | c.hands.watching == {*NAMES, "c6", "c7"} - {"c1"}


async def test_workers_that_begin_together_share_at_once(members, clock):
    all_of_them = [await members(name) for name in "abc"]
    await asyncio.gather(*(m.step() for m in all_of_them))
    await steps(clock, all_of_them, 20)
    assert shares(all_of_them) == [1, 2, 2]


async def test_a_dead_workers_cameras_move_within_a_lease_and_its_sign_goes(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    died = clock.seconds
    while b.hands.watching != set(NAMES):
        assert clock.seconds < died + 8 + 2  # the lease, and a round
        await steps(clock, [b], 2)
    assert set(await b.catalog.get(KIND)) == {"b"}


async def test_a_worker_that_was_frozen_finds_its_cameras_gone_and_gets_a_share_again(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    before = set(a.hands.watching)
    await steps(clock, [b], 20)
    assert not any(a.leases.sure(c) for c in before)
    await steps(clock, [a, b], 20)
    assert set(a.hands.lost) == before
    assert shares([a, b]) == [2, 3]


async def test_while_the_catalogue_is_away_everybody_keeps_what_he_has(members, clock):
    a, b = await members("a"), await members("b")
    await steps(clock, [a, b], 20)
    before = [set(m.hands.watching) for m in (a, b)]
    a.catalog.away = b.catalog.away = True
    await steps(clock, [a, b], 60)
    a.catalog.away = b.catalog.away = False
    await steps(clock, [b, a], 20)
    assert [m.hands.watching for m in (a, b)] == before
    assert a.hands.lost == b.hands.lost == []


async def test_a_worker_ends_though_the_catalogue_is_away(members, clock):
    a = await members("a")
    await steps(clock, [a], 4)
    a.leases.seconds = 0.2

    async def waiting(camera):
        await asyncio.sleep(3600)

    a.worker._gave = waiting
    a.catalog.away = True
    async with asyncio.timeout(20):
        await a.worker.stop()
    assert a.worker.cameras == []


async def test_a_camera_that_cannot_begin_is_left_to_others(members, clock):
    a = await members("a")

    async def failing(camera):
        raise StoreUnreachable("no node answers")

    a.hands.add = failing
    with pytest.raises(StoreUnreachable):
        await a.worker.round()
    assert a.worker.cameras == []
    b = await members("b")
    await b.step()
    await b.step()
    assert len(b.hands.watching) == math.ceil(len(NAMES) / 2)
