"""Tests that notes for the catalog are written in order although the catalog fails meanwhile."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.store.base import Coverage, CoverageState, StoreError, StoreFull, StoreUnreachable
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
        [StoreUnreachable("no node answers"), StoreFull("the disk is full"), StoreError("refused")],
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
    assert calls == ["first", "first", "first", "second"]
    (noted,) = await catalog.coverage(["yard"], EPOCH, DISTANT_FUTURE)
    assert noted.cause == "second"
