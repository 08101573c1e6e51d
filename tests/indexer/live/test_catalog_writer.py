"""Tests that notes for the catalog are written in order although the catalog fails meanwhile."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.errors import StoreBlocked, StoreError, StoreFull, StoreUnreachable
from footage.indexer.supervisor import Supervisor
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import DISTANT_FUTURE, EPOCH

START = datetime(2026, 5, 4, tzinfo=UTC)
MEDIA = Media("m" * 16, "yard", "/yard.mp4.tmp", Kind.SEGMENT, START, Clock.RTCP, 0.0)


async def written(writer):
    event = asyncio.Event()
    await asyncio.sleep(0)  # notes come into the queue by way of the loop
    writer.call_when_written(event.set)
    running = asyncio.create_task(writer.run())
    async with asyncio.timeout(20):
        await event.wait()
    writer.close()
    await running


async def test_an_ended_media_has_its_duration_and_an_empty_one_is_removed(catalog):
    writer, empty = CatalogWriter(catalog), replace(MEDIA, id="e" * 16)
    for media in (MEDIA, empty):
        writer.add_media(media)
    assert writer.open_media(MEDIA.id) == MEDIA
    writer.close_media(replace(MEDIA, path="/yard.mp4", duration=3.0))
    writer.close_media(empty)
    assert writer.open_media(MEDIA.id) is None
    await written(writer)
    (entry,) = await catalog.media_between(["yard"], EPOCH, DISTANT_FUTURE)
    assert (entry.media.id, entry.media.path, entry.media.duration) == (MEDIA.id, "/yard.mp4", 3.0)


async def test_a_note_is_retried_before_the_next_one_and_a_refused_one_is_skipped(catalog, monkeypatch):
    cover, errors = (
        catalog.set_coverage,
        [StoreUnreachable("away"), StoreBlocked("locked"), StoreFull("the disk is full"), StoreError("refused")],
    )
    calls = []

    async def failing(coverage):
        calls.append(coverage.cause)
        if errors:
            raise errors.pop(0)
        await cover(coverage)

    monkeypatch.setattr(catalog, "set_coverage", failing)
    writer = CatalogWriter(catalog)
    for cause in ("first", "second"):
        writer.set_coverage(Coverage("yard", START, START + timedelta(seconds=1), CoverageState.GAP, cause))
    await written(writer)
    assert calls == ["first", "first", "first", "first", "second"]
    (noted,) = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert noted.cause == "second"


async def test_a_catalog_that_cannot_be_written_to_is_told_once_and_loses_no_note(catalog, monkeypatch, caplog):
    cover, read_only = catalog.set_coverage, True

    async def set_coverage(coverage):
        if read_only:
            raise StoreBlocked("catalog.sqlite: it cannot be written")
        await cover(coverage)

    monkeypatch.setattr(catalog, "set_coverage", set_coverage)
    writer, cameras = CatalogWriter(catalog), ("yard", "gate", "door")
    for camera in cameras:
        writer.set_coverage(Coverage(camera, START, START + timedelta(seconds=1), CoverageState.WATCHED))
    running = asyncio.create_task(writer.run())
    async with asyncio.timeout(20):
        while not caplog.records:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    read_only = False
    writer.close()
    async with asyncio.timeout(20):
        await running
    assert {c.camera for c in await catalog.coverage([], EPOCH, DISTANT_FUTURE)} == set(cameras)
    assert [r.getMessage().partition(";")[0] for r in caplog.records] == ["catalog.sqlite: it cannot be written"]


class Away:
    """A catalog that takes nothing until it is back; it lists what it took."""

    def __init__(self):
        self.back = asyncio.Event()
        self.taken = []

    async def add_media(self, media, recipe):
        await self._take(("add", media.id))

    async def update_media(self, media):
        await self._take(("update", media.id, media.duration))

    async def remove_media(self, ids):
        await self._take(("remove", *ids))

    async def set_coverage(self, coverage):
        await self._take((coverage.state.value, coverage.camera, (coverage.end - coverage.start).total_seconds()))

    async def _take(self, what):
        await self.back.wait()
        self.taken.append(what)


def seconds(n):
    return START + timedelta(seconds=n)


def watched(camera, start, end, state=CoverageState.WATCHED):
    return Coverage(camera, seconds(start), seconds(end), state)


async def test_what_grows_while_the_catalog_is_away_stays_a_few_notes():
    catalog = Away()
    writer = CatalogWriter(catalog)
    running = asyncio.create_task(writer.run())
    writer.add_media(MEDIA)
    for n in range(1000):
        writer.set_coverage(watched("yard", n, n + 1))
        writer._update(replace(MEDIA, duration=n + 1.0))
        await asyncio.sleep(0)
    assert writer.backlog <= 4
    writer.set_coverage(watched("yard", 1000, 1001, CoverageState.GAP))
    writer.set_coverage(watched("yard", 1001, 1002))
    writer.close_media(replace(MEDIA, duration=1002.0))
    catalog.back.set()
    writer.close()
    async with asyncio.timeout(20):
        await running
    assert catalog.taken[0] == ("add", MEDIA.id)
    assert [t for t in catalog.taken if t[0] == "update"] == [("update", MEDIA.id, 1002.0)]
    covered = [t for t in catalog.taken if t[0] in ("watched", "gap")]
    assert sum(t[2] for t in covered) == 1002
    assert [t[0] for t in covered][-3:] == ["watched", "gap", "watched"]


async def test_a_media_that_ended_while_the_catalog_was_away_keeps_its_end():
    class EndsMeanwhile(Away):
        async def update_media(self, media):
            if media.duration == 3.0:
                writer.close_media(replace(MEDIA, duration=9.0))
                raise StoreUnreachable("away")
            await super().update_media(media)

    catalog = EndsMeanwhile()
    writer = CatalogWriter(catalog)
    writer.add_media(MEDIA)
    await writer.extend_media(replace(MEDIA, duration=3.0))
    await writer.extend_media(replace(MEDIA, duration=4.0))
    catalog.back.set()
    writer.close()
    async with asyncio.timeout(20):
        await writer.run()
    assert catalog.taken == [("add", MEDIA.id), ("update", MEDIA.id, 9.0)]


async def test_a_reader_waits_while_too_many_notes_wait_and_none_is_lost(caplog):
    catalog, reached, done = Away(), threading.Event(), threading.Event()
    writer = CatalogWriter(catalog, limit=20)
    running = asyncio.create_task(writer.run())

    def flap():  # a camera that comes and goes
        for n in range(0, 100, 2):
            writer.set_coverage(watched("yard", n, n + 1))
            writer.set_coverage(watched("yard", n + 1, n + 2, CoverageState.GAP))
            if n == 18:
                reached.set()
        done.set()

    reader = threading.Thread(target=flap, daemon=True)
    reader.start()
    assert await asyncio.to_thread(reached.wait, 20)
    async with asyncio.timeout(20):
        while "20 notes wait for the catalog: 'yard' is not read until it takes some" not in caplog.text:
            await asyncio.sleep(0.01)
    assert writer.backlog == 20
    writer.set_coverage(watched("gate", 0, 1))  # the event loop never waits
    assert not done.is_set()
    assert caplog.text.count("is not read until") == 1
    catalog.back.set()
    assert await asyncio.to_thread(done.wait, 20)
    writer.close()
    async with asyncio.timeout(20):
        await running
    assert [t[0] for t in catalog.taken if t[1] == "yard"] == ["watched", "gap"] * 50
    assert ("watched", "gate", 1.0) in catalog.taken


async def test_a_waiting_reader_is_released_when_all_readers_end():
    catalog, done = Away(), threading.Event()
    writer = CatalogWriter(catalog, limit=1)

    def note():
        for n in range(3):
            writer.set_coverage(watched("yard", n, n + 1, CoverageState.GAP if n % 2 else CoverageState.WATCHED))
        done.set()

    threading.Thread(target=note, daemon=True).start()
    writer.lift_limit()
    assert await asyncio.to_thread(done.wait, 20)
    assert writer.backlog == 3


async def test_one_cameras_note_that_waits_does_not_hold_the_others_up(catalog, monkeypatch):
    cover, waits = catalog.set_coverage, asyncio.Event()

    async def slow(coverage):
        if coverage.camera == "yard":
            await waits.wait()
        await cover(coverage)

    monkeypatch.setattr(catalog, "set_coverage", slow)
    writer = CatalogWriter(catalog)
    running = asyncio.create_task(writer.run())
    writer.set_coverage(watched("yard", 0, 1))
    async with asyncio.timeout(20):
        for n in range(3):
            writer.set_coverage(watched("gate", n, n + 1))
            while len(await catalog.coverage(["gate"], seconds(n), seconds(n + 1))) == 0:
                await asyncio.sleep(0.01)
        waits.set()
        writer.close()
        await running


async def test_a_note_that_kills_the_writer_is_kept_and_so_are_those_of_others(catalog, monkeypatch, caplog):
    cover, errors = catalog.set_coverage, [RuntimeError("a bug"), MemoryError()]

    async def dying(coverage):
        if coverage.camera == "yard" and errors:
            raise errors.pop(0)
        await cover(coverage)

    monkeypatch.setattr(catalog, "set_coverage", dying)
    writer, event = CatalogWriter(catalog), asyncio.Event()
    for n, camera in enumerate(["yard", "gate", "yard"]):
        writer.set_coverage(watched(camera, 10 * n, 10 * n + 1))
    writer.call_when_written(event.set)
    async with asyncio.timeout(20), Supervisor(pauses=(0.01, 0.05)) as supervisor:
        supervisor.start("catalog", writer.run)
        await event.wait()
        assert supervisor.failures["catalog"] == 2
    spans = await catalog.coverage([], EPOCH, DISTANT_FUTURE)
    assert sorted((c.camera, c.start) for c in spans) == [
        ("gate", seconds(10)),
        ("yard", seconds(0)),
        ("yard", seconds(20)),
    ]


async def test_a_note_that_always_kills_the_writer_is_left_out_in_the_end_and_told(catalog, monkeypatch, caplog):
    cover = catalog.set_coverage

    async def dying(coverage):
        if coverage.start == START:
            raise RuntimeError("a bug")
        await cover(coverage)

    monkeypatch.setattr(catalog, "set_coverage", dying)
    writer, event = CatalogWriter(catalog), asyncio.Event()
    writer.set_coverage(watched("yard", 0, 1))
    writer.set_coverage(watched("yard", 10, 11))
    writer.call_when_written(event.set)
    async with asyncio.timeout(20), Supervisor(pauses=(0.01, 0.01)) as supervisor:
        supervisor.start("catalog", writer.run)
        await event.wait()
    assert [c.start for c in await catalog.coverage([], EPOCH, DISTANT_FUTURE)] == [seconds(10)]
    (told,) = [r.getMessage() for r in caplog.records if "is left out" in r.getMessage()]
    assert "camera 'yard'" in told
    assert "2026" in told, "what is lost"
