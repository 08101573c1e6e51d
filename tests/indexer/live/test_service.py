"""Live cameras into the index, against a real RTSP server."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import av
import pytest

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.live.retention import EXPIRED, Expiry
from footage.indexer.live.service import Live, Meter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Coverage, State, StoreError, StoreUnreachable, Where
from footage.query.clips.service import Cutter
from footage.query.values.ids import MomentId
from footage.stream.frame import Clock, Kind, Media
from footage.stream.live.contracts import LiveState
from footage.stream.recording.archive import Shelf
from tests.films import number
from tests.indexer.parts import ColourEmbedder

LONG_AGO, FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


async def until(condition, seconds=30.0):
    """Waits for a condition, which may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while not (value := await condition() if asyncio.iscoroutinefunction(condition) else condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
    return value


@pytest.fixture
async def live(store, catalog, tmp_path):
    """Makes and starts a ``Live``; stopped at the end of the test."""
    running = []

    async def make(*cameras, embedder=None, **more):
        shelf = Shelf(tmp_path / "recordings")
        one = Live(embedder or ColourEmbedder(), store, catalog, cameras, shelf=shelf, least_free=0, **more)
        await one.start()
        running.append(one)
        return one

    yield make
    for one in running:
        await one.stop()


def camera(server, name="yard", **more):
    return Camera(name, server.url(name), **({"every": 0.2, "max_gap": 1.0, "stall": 2.0} | more))


def state(live, name="yard"):
    return next(s for s in live.cameras() if s.name == name)


async def records(store, name="yard"):
    return [r async for r in store.scan(Where((name,)))]


async def test_a_camera_is_indexed_recorded_and_covered(live, rtsp, films, store, catalog, tmp_path):
    server = rtsp(films)
    fresh = []

    async def written(found):
        fresh.extend((datetime.now(UTC) - r.time).total_seconds() for r in found)

    one = await live(camera(server), written=written)
    await until(lambda: len(fresh) >= 20)
    assert state(one).status.state is LiveState.LIVE
    assert state(one).recording == "recording"
    assert min(fresh) > -2  # how fresh it is at best and at worst is measured in bench/live.py
    now = (await records(store))[-1]
    entry = (await catalog.media([now.media]))[now.media]
    assert entry.media.kind is Kind.SEGMENT
    picture = await Cutter(store, catalog, tmp_path / "clips").frame(
        MomentId("yard", now.time, now.time, now.time).frame
    )
    assert picture.shape == (192, 320, 3)
    assert await one.stop()
    kept = await records(store)
    times = [r.time for r in kept]
    assert times == sorted(set(times))
    segments = [e.media for e in await catalog.between(["yard"], LONG_AGO, FAR)]
    assert all(Path(m.path).exists() and m.path.endswith(".mp4") and m.duration > 0 for m in segments)
    assert {r.media for r in kept} <= {m.id for m in segments}
    (watched,) = await catalog.coverage(["yard"], LONG_AGO, FAR)
    assert watched.state is State.WATCHED
    assert watched.start <= times[0] <= times[-1] <= watched.end + timedelta(seconds=0.1)


async def test_a_records_picture_is_the_frame_that_was_embedded(live, rtsp, films, store, catalog, tmp_path):
    class Numbers(ColourEmbedder):
        """Notes the numbers of the pictures that it embeds."""

        seen: ClassVar[list[int]] = []

        async def images(self, batch):
            self.seen += [number(image) for image in batch]
            return await super().images(batch)

    embedder = Numbers()
    embedder.side = 192
    one = await live(camera(rtsp(films)), embedder=embedder)
    await until(lambda: len(embedder.seen) >= 10)
    await one.stop()
    cutter = Cutter(store, catalog, tmp_path / "clips")
    kept = await records(store)
    shown = [number(await cutter.frame(MomentId("yard", r.time, r.time, r.time).frame)) for r in kept]
    assert shown == embedder.seen[: len(shown)]


async def test_a_gap_has_its_length_and_cause_and_nothing_comes_twice(live, rtsp, films, store, catalog):
    server = rtsp(films)
    one = await live(camera(server))
    await until(lambda: state(one).kept > 5)
    killed = datetime.now(UTC)
    server.kill()
    await until(lambda: state(one).status.state is not LiveState.LIVE)
    await asyncio.sleep(1.0)
    kept = state(one).kept
    server.start()
    back = datetime.now(UTC)
    await until(lambda: state(one).kept > kept + 5)
    assert await one.stop()
    spans = await catalog.coverage(["yard"], LONG_AGO, FAR)
    assert [s.state for s in spans] == [State.WATCHED, State.GAP, State.WATCHED]
    assert abs((spans[1].start - killed).total_seconds()) < 3
    assert -0.5 < (spans[1].end - back).total_seconds() < 30
    assert spans[1].cause
    times = [r.time for r in await records(store)]
    assert times == sorted(set(times))
    assert not any(spans[1].start < t < spans[1].end for t in times)


async def test_one_dead_camera_does_not_slow_the_others(live, rtsp, films, store):
    server = rtsp(films)
    dead = Camera("dead", "rtsp://127.0.0.1:9/none", every=0.2)
    one = await live(camera(server), dead, camera(server, "gate"))
    await until(lambda: state(one).kept > 5 and state(one, "gate").kept > 5)
    assert state(one, "dead").status.state in (LiveState.CONNECTING, LiveState.BACKING_OFF)
    assert state(one, "dead").status.error


async def test_an_unrecorded_camera_has_records_without_footage(live, rtsp, films, store, catalog):
    one = await live(camera(rtsp(films), record=False))
    await until(lambda: state(one).kept > 5)
    await one.stop()
    (feed,) = [e.media for e in await catalog.between(["yard"], LONG_AGO, FAR)]
    kept = await records(store)
    assert feed.kind is Kind.FEED
    assert {r.media for r in kept} == {feed.id}
    assert feed.start <= kept[0].time <= kept[-1].time <= feed.end
    assert await catalog.between(["yard"], kept[-1].time, FAR)


async def test_overload_drops_the_oldest_frames_and_says_so(live, rtsp, films):
    slow = ColourEmbedder(2.0)
    slow.batch = 1
    one = await live(camera(rtsp(films), every=0.04), embedder=slow)
    await until(lambda: state(one).dropped > 10)
    await until(lambda: one.load().busy > 0.9)
    assert one.load().dropped > 0


async def test_while_the_store_is_away_writes_are_tried_again_and_nothing_is_lost(
    live, rtsp, films, store, monkeypatch
):
    write, refused = store.write, Counter()

    async def failing(found):
        if refused["writes"] < 3:
            refused["writes"] += 1
            raise StoreError("the disk is full")
        await write(found)

    monkeypatch.setattr(store, "write", failing)
    one = await live(camera(rtsp(films)))
    await until(lambda: state(one).kept > 20)
    await one.stop()
    assert refused["writes"] == 3
    assert await store.count() == state(one).kept


async def test_while_the_store_cannot_be_reached_records_wait_in_a_file(
    live, rtsp, films, store, catalog, tmp_path, monkeypatch
):
    write, amend, cover = store.write, catalog.amend, catalog.cover
    away = asyncio.Event()

    def refusing(work):
        async def refused(given):
            if away.is_set():
                raise StoreUnreachable("no node answers")
            await work(given)

        return refused

    monkeypatch.setattr(store, "write", refusing(write))
    monkeypatch.setattr(catalog, "amend", refusing(amend))
    monkeypatch.setattr(catalog, "cover", refusing(cover))
    spool = Spool(tmp_path / "spool", 1 << 20)
    one = await live(camera(rtsp(films)), spool=spool)
    await until(lambda: state(one).kept > 5)
    away.set()
    before = state(one).kept
    await until(lambda: state(one).kept > before + 15)
    await until(lambda: spool.waiting)
    away.clear()
    await until(lambda: not spool.waiting, 60)
    await one.stop()
    kept = await records(store)
    assert len(kept) == state(one).kept
    assert len({r.time for r in kept}) == len(kept)
    (watched,) = await catalog.coverage(["yard"], LONG_AGO, FAR)
    assert watched.end >= kept[-1].time


async def test_after_a_restart_the_time_between_is_a_gap(live, rtsp, films, catalog):
    server = rtsp(films)
    first = await live(camera(server))
    await until(lambda: state(first).kept > 3)
    await first.stop()
    await asyncio.sleep(1.0)
    second = await live(camera(server))
    await until(lambda: state(second).kept > 3)
    await second.stop()
    spans = await catalog.coverage(["yard"], LONG_AGO, FAR)
    assert [(s.state, s.cause) for s in spans] == [
        (State.WATCHED, ""),
        (State.GAP, "footage was not running"),
        (State.WATCHED, ""),
    ]


async def test_cameras_come_and_go_while_it_runs(live, rtsp, films, store, catalog):
    server = rtsp(films)
    one = await live(camera(server))
    await one.add(camera(server, "gate"))
    await until(lambda: state(one, "gate").kept > 5)
    await one.drop("gate")
    assert [s.name for s in one.cameras()] == ["yard"]
    written = await records(store, "gate")
    (watched,) = await catalog.coverage(["gate"], LONG_AGO, FAR)
    assert watched.end >= written[-1].time
    segments = [e.media for e in await catalog.between(["gate"], LONG_AGO, FAR)]
    assert all(m.path.endswith(".mp4") and m.duration > 0 for m in segments)
    await one.drop("gate")
    before = state(one).kept
    await until(lambda: state(one).kept > before + 5)
    assert len(await records(store, "gate")) == len(written)
    await one.add(camera(server, "gate"))
    await until(lambda: state(one, "gate").kept > 3)
    await one.stop()
    assert len(await records(store, "gate")) > len(written)
    spans = await catalog.coverage(["gate"], LONG_AGO, FAR)
    assert [s.state for s in spans] == [State.WATCHED, State.GAP, State.WATCHED]


async def test_a_lost_camera_leaves_nothing_behind_its_fence(live, rtsp, films, store, catalog, tmp_path):
    left = {"yard": 60.0, "gate": 60.0}
    fence = Fence(left.get)
    spool = Spool(tmp_path / "spool", 1 << 20)
    one, server = await live(fence=fence, spool=spool), rtsp(films)
    for name in left:
        fence.hold(name)
        await one.add(camera(server, name))

    async def covered():
        return await catalog.coverage(["yard"], LONG_AGO, FAR)

    await until(covered)
    unsure, left["yard"] = datetime.now(UTC) + timedelta(seconds=1), -1.0
    await until(lambda: spool.waiting and datetime.now(UTC) > unsure + timedelta(seconds=1))
    fence.lose("yard")
    await one.drop("yard", lost=True)
    await until(lambda: fence.dropped and not spool.waiting, 60)
    before = len(await records(store, "gate"))
    await until(lambda: state(one, "gate").kept > before + 5)
    await one.stop()
    assert all(r.time < unsure for r in await records(store))
    assert all(c.end < unsure for c in await covered())
    assert fence.dropped >= 1
    assert len(await records(store, "gate")) == state(one, "gate").kept


async def test_what_lies_between_expired_segments_is_not_said_to_have_expired(store, catalog):
    """It may be another worker's, who had the camera then."""
    start = datetime(2026, 5, 4, tzinfo=UTC)
    begins = [start + timedelta(seconds=s) for s in (0, 10, 60)]
    due = [Media(f"s{i}", "yard", "", Kind.SEGMENT, t, Clock.RTCP, 10.0) for i, t in enumerate(begins)]
    shelf = SimpleNamespace(expired=lambda *_: due, delete=lambda found: found)
    await catalog.cover(Coverage("yard", start, start + timedelta(seconds=100), State.WATCHED))
    assert await Expiry(store, catalog, shelf, {"yard": None}).once(start) == 3
    spans = await catalog.coverage(["yard"], LONG_AGO, FAR)
    assert [(c.state, (c.end - start).total_seconds()) for c in spans] == [
        (State.GAP, 20),
        (State.WATCHED, 60),
        (State.GAP, 70),
        (State.WATCHED, 100),
    ]


async def test_footage_and_records_expire_together(live, rtsp, films, store, catalog):
    one = await live(camera(rtsp(films)))
    await until(lambda: sum(1 for _ in one.shelf.segments("yard")) >= 1, 60)
    await one.stop()
    segments = list(one.shelf.segments("yard"))
    assert await store.count(Where(media=(segments[0].id,)))
    expiry = Expiry(store, catalog, one.shelf, {"yard": timedelta(minutes=1)})
    assert await expiry.once() == 0
    later = datetime.now(UTC) + timedelta(minutes=2)
    assert await expiry.once(later) == len(segments)
    assert await store.count() == 0
    assert list(one.shelf.segments("yard")) == []
    assert await catalog.between(["yard"], LONG_AGO, FAR) == []
    assert {(c.state, c.cause) for c in await catalog.coverage(["yard"], LONG_AGO, FAR)} == {(State.GAP, EXPIRED)}


def test_the_meter_tells_how_many_cameras_are_sustained():
    meter = Meter()
    assert meter.load(4).sustained is None
    for second in range(0, 100, 2):
        meter.note(second, second * 0.25, second)
    load = meter.load(4)
    assert (load.busy, load.sustained, load.dropped) == (pytest.approx(0.25), 16, 60)


async def test_coverage_of_a_damaged_clock_is_never_negative(catalog):
    now = datetime.now(UTC)
    await catalog.cover(Coverage("yard", now, now, State.WATCHED))
    assert await catalog.coverage(["yard"], LONG_AGO, FAR) == []


async def test_recorded_segments_are_real_files(live, rtsp, films, catalog):
    one = await live(camera(rtsp(films), every=1.0))
    await until(lambda: state(one).kept > 2)
    await one.stop()
    for entry in await catalog.between(["yard"], LONG_AGO, FAR):
        with av.open(entry.media.path) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames / 25 == pytest.approx(entry.media.duration, abs=0.1)
