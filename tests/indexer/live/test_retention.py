"""Tests retention over a real store and catalog; the archive is a fake."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np

from footage.indexer.live.retention import Retention
from footage.indexer.store.base import Coverage, CoverageState, Record
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import DISTANT_FUTURE, EPOCH

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
    assert [(c.state, (c.end - START).total_seconds()) for c in spans] == [
        (CoverageState.GAP, 20),
        (CoverageState.WATCHED, 60),
        (CoverageState.GAP, 70),
        (CoverageState.WATCHED, 100),
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
