"""Tests retention over a real store and catalog; the archive is a fake, except where its files count."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from footage.indexer.live.expiry_clock import ExpiryClock
from footage.indexer.live.retention import Retention
from footage.indexer.store.base import Coverage, CoverageState, Record
from footage.indexer.store.errors import StoreFull
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.recording.archive import SegmentArchive
from footage.stream.recording.segment import finished_segment, new_segment

START = datetime(2026, 5, 4, tzinfo=UTC)


def segment(number, second):
    return Media(f"s{number}", "yard", "", Kind.SEGMENT, START + timedelta(seconds=second), Clock.RTCP, 10.0)


async def test_time_between_expired_segments_is_not_marked_as_expired(store, catalog):
    """It may be another worker's, who had the camera then."""
    due = [segment(i, second) for i, second in enumerate((0, 10, 60))]
    archive = SimpleNamespace(find_expired=lambda *_: due, delete=lambda found: found)
    await catalog.set_coverage(Coverage("yard", START, START + timedelta(seconds=100), CoverageState.WATCHED))
    assert await Retention(store, catalog, archive, {"yard": None}).delete_expired(START) == 3
    spans = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert [(c.state, c.cause, (c.end - START).total_seconds()) for c in spans] == [
        (CoverageState.GAP, "footage has expired", 20),
        (CoverageState.WATCHED, "", 60),
        (CoverageState.GAP, "footage has expired", 70),
        (CoverageState.WATCHED, "", 100),
    ]


async def test_records_are_forgotten_before_their_footage_is_deleted(store, catalog):
    """A kill in between must not leave a record whose image is gone."""
    media, loop, left = segment(0, 0), asyncio.get_running_loop(), []

    async def held():
        return await store.count(), await catalog.media([media.id])

    def delete(found):  # on a thread
        left.append(asyncio.run_coroutine_threadsafe(held(), loop).result(20))
        return found

    archive = SimpleNamespace(find_expired=lambda *_: [media], delete=delete)
    await catalog.add_media(media, "live")
    await store.write([Record("yard", media.start, media.id, 0.0, np.array([1, 0, 0], np.float32))])
    assert await held() != (0, {})
    assert await Retention(store, catalog, archive, {"yard": None}).delete_expired(START) == 1
    assert left == [(0, {})]


async def test_on_a_full_disk_footage_is_deleted_first_to_make_room_for_forgetting_its_records(store, catalog):
    media, deleted = segment(0, 0), []
    forget = store.forget

    async def full(where):
        if not deleted:
            raise StoreFull("the disk is full")
        return await forget(where)

    def delete(found):
        deleted.extend(found)
        return found

    archive = SimpleNamespace(find_expired=lambda *_: [media], delete=delete)
    await catalog.add_media(media, "live")
    await store.write([Record("yard", media.start, media.id, 0.0, np.array([1, 0, 0], np.float32))])
    store.forget = full
    assert await Retention(store, catalog, archive, {"yard": None}).delete_expired(START) == 1
    assert deleted == [media]
    assert (await store.count(), await catalog.media([media.id])) == (0, {})


def record(second, camera="yard", media="feed"):
    return Record(camera, START + timedelta(seconds=second), media, float(second), np.array([1, 0, 0], np.float32))


def feed(name, start, length, camera="yard"):
    """A stretch of a camera that is not recorded."""
    return Media(name, camera, "", Kind.FEED, START + timedelta(seconds=start), Clock.ARRIVAL, length)


class EmptyArchive:
    """No footage; it notes what is asked of it."""

    def __init__(self):
        self.asked = []

    def find_expired(self, *asked):
        self.asked.append(asked)
        return []

    def delete(self, found):
        assert found == []
        return []


async def test_without_footage_records_media_and_coverage_expire_by_their_own_time(store, catalog):
    """Of a camera that keeps 100 s; another one keeps everything."""
    for media in (feed("old", 0, 50), feed("half", 50, 100), feed("new", 150, 50), feed("other", 0, 50, "door")):
        await catalog.add_media(media, "live")
    await store.write([record(second) for second in (0, 99, 100, 180)] + [record(0, "door", "other")])
    for camera, begin in (("yard", 0), ("door", -100)):
        spans = Coverage(
            camera, START + timedelta(seconds=begin), START + timedelta(seconds=200), CoverageState.WATCHED
        )
        await catalog.set_coverage(spans)
    archive, now = EmptyArchive(), START + timedelta(seconds=200)
    keep = {"yard": timedelta(seconds=100), "door": None}
    assert await Retention(store, catalog, archive, keep, 7, 9).delete_expired(now) == 0
    assert [asked[:5] for asked in archive.asked] == [(keep, 7, 9, (), now)]
    left = [(r.camera, (r.time - START).total_seconds()) async for r in store.scan()]
    assert left == [("door", 0), ("yard", 100), ("yard", 180)]
    held = await catalog.media_between([], EPOCH, DISTANT_FUTURE)
    assert {entry.media.id for entry in held} == {"half", "new", "other"}
    spans = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert [(c.state, c.cause, (c.end - START).total_seconds()) for c in spans] == [
        (CoverageState.GAP, "footage has expired", 100),
        (CoverageState.WATCHED, "", 200),
    ]
    assert spans[0].start == START
    (door,) = await catalog.coverage(["door"], EPOCH, DISTANT_FUTURE)
    assert door.state is CoverageState.WATCHED


async def test_a_gap_that_is_older_than_everything_kept_stays_as_it_is(store, catalog):
    gap = Coverage("yard", START, START + timedelta(seconds=50), CoverageState.GAP, "no connection")
    await catalog.set_coverage(gap)
    now = START + timedelta(seconds=200)
    await Retention(store, catalog, EmptyArchive(), {"yard": timedelta(seconds=100)}).delete_expired(now)
    assert await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE) == [gap]


async def test_a_media_that_ends_at_the_border_expires(store, catalog):
    await catalog.add_media(feed("old", 0, 100), "live")
    now = START + timedelta(seconds=200)
    await Retention(store, catalog, EmptyArchive(), {"yard": timedelta(seconds=100)}).delete_expired(now)
    assert await catalog.media(["old"]) == {}


class Disk(EmptyArchive):
    """An archive whose disk is full when the test says so."""

    def __init__(self):
        super().__init__()
        self.full, self.free = False, []

    def has_room(self, free):
        self.free.append(free)
        return not self.full


async def reached(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_it_deletes_at_once_then_at_intervals_and_whenever_the_disk_is_full(store, catalog):
    disk = Disk()
    running = asyncio.create_task(Retention(store, catalog, disk, {}, free=123).run(every=1000, check=0.01))
    await reached(lambda: len(disk.free) >= 3)
    assert len(disk.asked) == 1  # the first time without a look at the disk
    assert set(disk.free) == {123}
    disk.full = True
    await reached(lambda: len(disk.asked) >= 3)
    disk.full = False
    running.cancel()
    often = Disk()
    soon = asyncio.create_task(Retention(store, catalog, often, {}).run(every=0.03, check=0.01))
    await reached(lambda: len(often.asked) >= 3)
    soon.cancel()
    assert len(often.free) >= len(often.asked)  # two looks between two deletions
    await asyncio.gather(running, soon, return_exceptions=True)


async def test_a_failure_is_logged_and_does_not_end_it(store, catalog, caplog):
    disk = Disk()

    def failing(*_):
        disk.asked.append(())
        raise OSError("the disk is gone")

    disk.find_expired = failing
    running = asyncio.create_task(Retention(store, catalog, disk, {}).run(every=0.03, check=0.01))
    await reached(lambda: len(disk.asked) >= 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    first = next(r for r in caplog.records if r.name == "footage.indexer.live.retention")
    assert first.getMessage() == "retention failed; it is tried again in 0.03 s"
    assert "the disk is gone" in str(first.exc_info[1])


async def test_footage_does_not_expire_while_the_clock_is_an_hour_ahead(store, catalog, tmp_path):
    """The first hour of 90 minutes of segments is kept for one; the clock is set forward, and back."""
    archive, machine = SegmentArchive(tmp_path), {"elapsed": 0.0, "error": 0.0}

    def now():
        return START + timedelta(minutes=90, seconds=machine["elapsed"] + machine["error"])

    for minute in range(0, 90, 10):
        opened = new_segment(archive.folder, "yard", START + timedelta(minutes=minute), Clock.RTCP, ".mp4")
        media = finished_segment(opened, 600.0)
        Path(media.path).parent.mkdir(parents=True, exist_ok=True)
        Path(media.path).write_bytes(b"film")
        await catalog.add_media(media, "live")
    clock = ExpiryClock(now, lambda: machine["elapsed"])
    retention = Retention(store, catalog, archive, {"yard": timedelta(hours=1)}, clock=clock)
    deleted = []
    for error, hours in ((0, 0.0), (3600, 0.0), (3600, 1 / 6), (-3600, 0.0), (0, 0.0)):
        machine["elapsed"] += hours * 3600
        machine["error"] = error
        deleted.append(await retention.delete_expired())
    assert deleted == [3, 0, 1, 0, 0]  # what has truly expired
    left = [m.start for m in archive.segments("yard")]
    assert left == [START + timedelta(minutes=minute) for minute in range(40, 90, 10)]
    assert len(await catalog.media_between([], EPOCH, DISTANT_FUTURE)) == 5


class Machine:
    """A machine whose clock is wrong until it is set, and the clock by which footage expires."""

    def __init__(self, error):
        self.elapsed, self.error = 600.0, error
        self.clock = ExpiryClock(self.now, lambda: self.elapsed)

    def now(self):
        return START + timedelta(seconds=self.elapsed) + self.error

    def run(self, length):
        self.elapsed += length.total_seconds()
        self.clock()


async def test_footage_of_a_clock_that_showed_1970_is_kept_for_as_long_as_other_footage(store, catalog, tmp_path):
    archive, hour = SegmentArchive(tmp_path), timedelta(hours=1)
    machine = Machine(EPOCH - START)
    keep = {"yard": 2 * hour * 24, "gate": 2 * hour * 24}
    retention = Retention(store, catalog, archive, keep, clock=machine.clock)
    for _ in range(6):
        opened = new_segment(archive.folder, "yard", machine.now(), Clock.ARRIVAL, ".mp4")
        machine.run(timedelta(minutes=10))
        media = finished_segment(opened, 600.0)
        Path(media.path).parent.mkdir(parents=True, exist_ok=True)
        Path(media.path).write_bytes(b"film")
        unrecorded = Media(f"f{media.id}", "gate", "", Kind.FEED, media.start, Clock.ARRIVAL, 600.0)
        for one in (media, unrecorded):  # a camera that is recorded, and one that is not
            await catalog.add_media(one, "live")
            await store.write([Record(one.camera, one.start, one.id, 0.0, np.array([1, 0, 0], np.float32))])
            await catalog.set_coverage(Coverage(one.camera, one.start, one.end, CoverageState.WATCHED))
    machine.error = timedelta()
    deleted, watched = [], []
    for length in (timedelta(), hour, 24 * hour, 22 * hour, timedelta(minutes=31), hour):
        machine.run(length)
        deleted.append(await retention.delete_expired())
        spans = await catalog.coverage(["gate"], EPOCH, DISTANT_FUTURE)
        watched.append(sum((s.end - s.start for s in spans if s.state is CoverageState.WATCHED), timedelta()))
    assert deleted == [0, 0, 0, 0, 3, 3]
    assert [round(w / timedelta(minutes=1)) for w in watched] == [60, 60, 60, 60, 29, 0]
    assert (await store.count(), await catalog.media_between([], EPOCH, DISTANT_FUTURE)) == (0, [])
