"""Tests indexing of live cameras of a real RTSP server."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import av
import pytest

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.live.load import LoadMeter
from footage.indexer.live.retention import EXPIRED, Retention
from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Coverage, CoverageState, Where
from footage.indexer.store.errors import StoreError, StoreUnreachable
from footage.query.clips.service import ClipService, NotFound
from footage.query.clips.source import ClipError
from footage.query.values.ids import MomentId
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Kind
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.live.contracts import ConnectionState
from footage.stream.recording.archive import SegmentArchive
from tests.films import number
from tests.indexer.color_embedder import ColorEmbedder


async def until(condition, seconds=90.0):
    """Wait for a condition, which may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while not (value := await condition() if asyncio.iscoroutinefunction(condition) else condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)
    return value


@pytest.fixture
async def live(store, catalog, tmp_path, supervisor):
    """Starts a ``LiveService``, which is stopped at the end of the test."""
    running = []

    async def make(*cameras, embedder=None, **more):
        archive = SegmentArchive(tmp_path / "recordings")
        parts = (embedder or ColorEmbedder(), store, catalog, cameras)
        service = await LiveService.start(*parts, archive=archive, least_free=0, supervisor=supervisor, **more)
        running.append(service)
        return service

    yield make
    for service in running:
        await service.stop()


def camera(server, name="yard", **more):
    return Camera(name, server.url(name), **({"every": 0.2, "max_gap": 1.0, "stall": 20.0} | more))


def state(live, name="yard"):
    return next(s for s in live.cameras() if s.name == name)


async def records(store, name="yard"):
    return [r async for r in store.scan(Where((name,)))]


async def shown(clips, record):
    """The image of a record, as soon as its footage can be read: a new segment's first second is still in memory."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await clips.get_frame(MomentId(record.camera, record.time, record.time, record.time).frame)
            except (ClipError, MediaError, NotFound):
                await asyncio.sleep(0.1)


async def test_a_camera_is_indexed_recorded_and_covered(live, rtsp, films, store, catalog, tmp_path):
    server = rtsp(films)
    fresh = []

    async def written(found):
        fresh.extend((datetime.now(UTC) - r.time).total_seconds() for r in found)

    service = await live(camera(server), on_written=written)
    await until(lambda: len(fresh) >= 20 and state(service).status.state is ConnectionState.LIVE)
    assert state(service).recording == "recording"
    assert min(fresh) > -5  # a line of times is bent; how fresh records are is measured in bench/live.py
    now = (await records(store))[-1]
    entry = (await catalog.media([now.media]))[now.media]
    assert entry.media.kind is Kind.SEGMENT
    picture = await shown(ClipService(store, catalog, tmp_path / "clips"), now)
    assert picture.shape == (192, 320, 3)
    assert await service.stop(60.0)
    kept = await records(store)
    times = [r.time for r in kept]
    assert times == sorted(set(times))
    segments = [e.media for e in await catalog.media_between(["yard"], EPOCH, DISTANT_FUTURE)]
    assert all(Path(m.path).exists() and m.path.endswith(".mp4") and m.duration > 0 for m in segments)
    assert {r.media for r in kept} <= {m.id for m in segments}
    (watched,) = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert watched.state is CoverageState.WATCHED
    assert watched.start <= times[0] <= times[-1] <= watched.end + timedelta(seconds=0.1)


async def test_a_records_picture_is_the_frame_that_was_embedded(live, rtsp, films, store, catalog, tmp_path):
    class NumberReader(ColorEmbedder):
        """Records the numbers shown in the images that it embeds."""

        seen: ClassVar[list[int]] = []

        async def images(self, batch):
            self.seen += [number(image) for image in batch]
            return await super().images(batch)

    embedder = NumberReader()
    embedder.side = 192
    service = await live(camera(rtsp(films)), embedder=embedder)
    await until(lambda: len(embedder.seen) >= 10)
    await service.stop()
    clip_service = ClipService(store, catalog, tmp_path / "clips")
    kept = await records(store)
    shown = [number(await clip_service.get_frame(MomentId("yard", r.time, r.time, r.time).frame)) for r in kept]
    assert shown == embedder.seen[: len(shown)]


async def test_a_gap_has_its_length_and_cause_and_nothing_comes_twice(live, rtsp, films, store, catalog):
    server = rtsp(films)
    service = await live(camera(server))
    await until(lambda: state(service).kept > 5)
    killed = datetime.now(UTC)
    server.kill()
    await until(lambda: state(service).status.state is not ConnectionState.LIVE)
    await until(lambda: datetime.now(UTC) > killed + timedelta(seconds=1))  # a gap has a length
    kept = state(service).kept
    back = datetime.now(UTC)
    server.start()
    await until(lambda: state(service).kept > kept + 5)
    assert await service.stop(60.0)
    spans = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert [s.state for s in spans] == [CoverageState.WATCHED, CoverageState.GAP, CoverageState.WATCHED]
    assert abs((spans[1].start - killed).total_seconds()) < 10  # as long as a reader on a busy machine may be behind
    assert -1 < (spans[1].end - back).total_seconds() < 60
    assert spans[1].cause
    times = [r.time for r in await records(store)]
    assert times == sorted(set(times))
    assert not any(spans[1].start < t < spans[1].end for t in times)


async def test_one_dead_camera_does_not_slow_the_others(live, rtsp, films, store):
    server = rtsp(films)
    dead = Camera("dead", "rtsp://127.0.0.1:9/none", every=0.2)
    service = await live(camera(server), dead, camera(server, "gate"))
    await until(lambda: state(service).kept > 5 and state(service, "gate").kept > 5)
    assert state(service, "dead").status.state in (ConnectionState.CONNECTING, ConnectionState.BACKING_OFF)
    assert state(service, "dead").status.error


async def test_an_unrecorded_camera_has_records_without_footage(live, rtsp, films, store, catalog):
    service = await live(camera(rtsp(films), record=False))
    await until(lambda: state(service).kept > 5)
    await service.stop()
    (feed,) = [e.media for e in await catalog.media_between(["yard"], EPOCH, DISTANT_FUTURE)]
    kept = await records(store)
    assert feed.kind is Kind.FEED
    assert {r.media for r in kept} == {feed.id}
    assert feed.start <= kept[0].time <= kept[-1].time <= feed.end
    assert await catalog.media_between(["yard"], kept[-1].time, DISTANT_FUTURE)


async def test_overload_drops_the_oldest_frames_and_counts_them(live, rtsp, films, monkeypatch):
    monkeypatch.setattr(LoadMeter, "SPAN", 6.0)  # so that it soon forgets the time before the first frame
    slow = ColorEmbedder(1.0)
    slow.batch = 1
    service = await live(camera(rtsp(films), every=0.04), embedder=slow)
    await until(lambda: state(service).dropped > 10)
    await until(lambda: service.load().busy > 0.5)
    assert service.load().dropped > 0


@pytest.mark.slow
async def test_while_the_store_fails_writes_are_retried_and_nothing_is_lost(live, rtsp, films, store, monkeypatch):
    write, refused = store.write, Counter()

    async def failing(found):
        if refused["writes"] < 3:
            refused["writes"] += 1
            raise StoreError("the disk is full")
        await write(found)

    monkeypatch.setattr(store, "write", failing)
    service = await live(camera(rtsp(films)))
    await until(lambda: state(service).kept > 20)
    await service.stop()
    assert refused["writes"] == 3
    assert await store.count() == state(service).kept - state(service).dropped


@pytest.mark.slow
async def test_while_the_store_is_unreachable_records_are_spooled(
    live, rtsp, films, store, catalog, tmp_path, monkeypatch
):
    write, amend, cover = store.write, catalog.update_media, catalog.set_coverage
    away = asyncio.Event()

    def refusing(work):
        async def refused(given):
            if away.is_set():
                raise StoreUnreachable("no node answers")
            await work(given)

        return refused

    monkeypatch.setattr(store, "write", refusing(write))
    monkeypatch.setattr(catalog, "update_media", refusing(amend))
    monkeypatch.setattr(catalog, "set_coverage", refusing(cover))
    spool = Spool(tmp_path / "spool", 1 << 20)
    service = await live(camera(rtsp(films)), spool=spool)
    await until(lambda: state(service).kept > 5)
    away.set()
    before = state(service).kept
    await until(lambda: state(service).kept > before + 15)
    await until(lambda: spool.pending)
    away.clear()
    await until(lambda: not spool.pending, 60)
    await service.stop()
    kept = await records(store)
    assert len(kept) == state(service).kept - state(service).dropped
    assert len({r.time for r in kept}) == len(kept)
    (watched,) = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert watched.end >= kept[-1].time


async def test_after_a_restart_the_time_between_is_a_gap(live, rtsp, films, catalog):
    server = rtsp(films)
    first = await live(camera(server))
    await until(lambda: state(first).kept > 3)
    await first.stop()
    stopped = datetime.now(UTC)
    await until(lambda: datetime.now(UTC) > stopped + timedelta(seconds=1))
    second = await live(camera(server))
    await until(lambda: state(second).kept > 3)
    await second.stop()
    spans = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert [(s.state, s.cause) for s in spans] == [
        (CoverageState.WATCHED, ""),
        (CoverageState.GAP, "footage was not running"),
        (CoverageState.WATCHED, ""),
    ]


async def test_cameras_are_added_and_removed_while_the_service_runs(live, rtsp, films, store, catalog):
    server = rtsp(films)
    service = await live(camera(server))
    await service.add(camera(server, "gate"))
    await until(lambda: state(service, "gate").kept > 5)
    await service.remove("gate")
    assert [s.name for s in service.cameras()] == ["yard"]
    written = await records(store, "gate")
    *_, watched = await catalog.coverage(["gate"], EPOCH, DISTANT_FUTURE)  # a busy machine may have stalled before
    assert watched.state is CoverageState.WATCHED
    assert watched.end >= written[-1].time
    segments = [e.media for e in await catalog.media_between(["gate"], EPOCH, DISTANT_FUTURE)]
    assert all(m.path.endswith(".mp4") and m.duration > 0 for m in segments)
    await service.remove("gate")
    before = state(service).kept
    await until(lambda: state(service).kept > before + 5)
    assert len(await records(store, "gate")) == len(written)
    await service.add(camera(server, "gate"))
    await until(lambda: state(service, "gate").kept > 3)
    await service.stop()
    assert len(await records(store, "gate")) > len(written)
    spans = await catalog.coverage(["gate"], watched.end, DISTANT_FUTURE)
    assert [s.state for s in spans if s.end > watched.end][:2] == [CoverageState.GAP, CoverageState.WATCHED]


@pytest.mark.slow
async def test_records_of_a_lost_camera_are_not_written(live, rtsp, films, store, catalog, tmp_path):
    left = {"yard": 60.0, "gate": 60.0}
    fence = Fence(left.get)
    spool = Spool(tmp_path / "spool", 1 << 20)
    service, server = await live(fence=fence, spool=spool), rtsp(films)
    for name in left:
        fence.hold(name)
        await service.add(camera(server, name))

    async def covered():
        return await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)

    await until(covered)
    left["yard"] = -1.0
    unsure = datetime.now(UTC) + timedelta(seconds=1)
    await until(lambda: spool.pending and datetime.now(UTC) > unsure + timedelta(seconds=1))
    fence.revoke("yard")
    await service.remove("yard", lost=True)
    await until(lambda: fence.dropped and not spool.pending, 60)
    before = len(await records(store, "gate"))
    await until(lambda: state(service, "gate").kept > before + 5)
    await service.stop()
    assert all(r.time < unsure for r in await records(store))
    assert all(c.end < unsure for c in await covered())
    assert fence.dropped >= 1
    assert len(await records(store, "gate")) == state(service, "gate").kept - state(service, "gate").dropped


async def test_footage_and_records_expire_together(live, rtsp, films, store, catalog):
    service = await live(camera(rtsp(films)))
    await until(lambda: sum(1 for _ in service.archive.segments("yard")) >= 1, 60)
    await service.stop()
    segments = list(service.archive.segments("yard"))
    assert await store.count(Where(media=(segments[0].id,)))
    retention = Retention(store, catalog, service.archive, {"yard": timedelta(hours=1)})
    assert await retention.delete_expired() == 0
    later = datetime.now(UTC) + timedelta(hours=2)
    assert await retention.delete_expired(later) == len(segments)
    assert await store.count() == 0
    assert list(service.archive.segments("yard")) == []
    assert await catalog.media_between(["yard"], EPOCH, DISTANT_FUTURE) == []
    assert {(c.state, c.cause) for c in await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)} == {
        (CoverageState.GAP, EXPIRED)
    }


async def test_coverage_of_a_damaged_clock_is_never_negative(catalog):
    now = datetime.now(UTC)
    await catalog.set_coverage(Coverage("yard", now, now, CoverageState.WATCHED))
    assert await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE) == []


async def test_recorded_segments_are_real_files(live, rtsp, films, catalog):
    service = await live(camera(rtsp(films), every=1.0))
    await until(lambda: state(service).kept > 2)
    await service.stop()
    for entry in await catalog.media_between(["yard"], EPOCH, DISTANT_FUTURE):
        with av.open(entry.media.path) as container:
            frames = sum(1 for _ in container.decode(video=0))
        assert frames / 25 == pytest.approx(entry.media.duration, rel=0.3)  # as far as a line of times is bent


async def test_when_the_pipeline_dies_its_frames_are_a_gap_and_stop_says_so(
    live, rtsp, films, store, catalog, supervisor, monkeypatch
):
    writing, written, write = asyncio.Lock(), asyncio.Event(), store.write

    async def write_alone(found):
        async with writing:
            await write(found)
            written.set()

    class Dying(ColorEmbedder):
        """Dies, other than by an EmbedderError, once some frames are written and while no others are being written."""

        count = 0

        async def images(self, batch):
            self.count += len(batch)
            if self.count > 15:
                await written.wait()
                await writing.acquire()  # a write that is interrupted may yet be durable
                raise RuntimeError("no such device")
            return await super().images(batch)

    monkeypatch.setattr(store, "write", write_alone)
    service = await live(camera(rtsp(films)), embedder=Dying())
    await until(lambda: supervisor.failures["pipeline"])
    died = datetime.now(UTC)
    await until(lambda: state(service).status.last_packet > died)
    async with asyncio.timeout(60):
        assert not await service.stop(), "what was in flight is lost"
    times = [r.time for r in await records(store)]
    spans = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    watched = [c for c in spans if c.state is CoverageState.WATCHED]
    (gap,) = [c for c in spans if c.state is CoverageState.GAP]
    assert gap.cause == "indexing failed (RuntimeError; see the service's log)"
    assert max(times) <= watched[-1].end == gap.start < died, "nothing after the oldest lost frame was watched"
    assert gap.end >= died - timedelta(seconds=1)


async def test_a_removal_does_not_wait_for_a_dead_pipeline(live, rtsp, films):
    class Dying(ColorEmbedder):
        async def images(self, batch):
            raise RuntimeError("no such device")

    service = await live(camera(rtsp(films)), embedder=Dying())
    async with asyncio.timeout(30):
        await service.remove("yard")
        assert not service.cameras()
