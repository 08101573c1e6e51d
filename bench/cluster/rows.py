"""Fills the catalog of a cluster with the rows that a month of cameras leaves, faster than cameras do.

Segments are written with the product's own statements, many in one request; everything else, retention too, by the
product itself. Before that a sample is written both ways, and every row of it must be the same.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bench.cluster.node import SEGMENT

from footage.indexer.live.catalog_writer import RECIPE
from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession
from footage.indexer.store.cassandra.cameras import LIVE_STEP, NOTE_LIVE, facts_key
from footage.indexer.store.cassandra.media import INSERT_MEDIA
from footage.indexer.store.cassandra.months import bound_of, month_of
from footage.indexer.store.cassandra.session import Statement
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import to_micros

LONG_SEGMENTS = (600.0, 1800.0, 3600.0)  # seconds; the first for which there is time
ROWS = 100  # a request
REMOVED = 200  # media that retention takes at once
SAMPLE = 300  # segments
INSERT_PLACE = "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?)"
INSERT_MONTH = "UPDATE @camera_months SET longest = ? WHERE camera = ? AND month = ?"


async def fill_catalog(
    session: CassandraSession,
    catalog: CassandraCatalog,
    names: Sequence[str],
    whole: int,
    start: datetime,
    days: int,
    seconds: float,
) -> str:
    """Write segments and coverage of ``days``, and have retention delete the first third; says what there is then.

    Args:
        whole: cameras with segments of ten seconds, as live ones have them; fewer where there is no time for them.
        seconds: that this may take, measured by a day of another camera.
    """
    await _check_sample(session, catalog, start)
    begun = time.monotonic()
    probed = await _fill_camera(session, catalog, "probe", start, 1, SEGMENT)
    each = (time.monotonic() - begun) / probed  # seconds a segment
    whole, length = _plan(len(names), whole, days * 86_400 / SEGMENT, each, seconds)
    print(f"{1 / each:.0f} segments a second, so {whole} cameras with short segments fit", flush=True)
    count = 0
    for number, camera in enumerate(names):
        count += await _fill_camera(session, catalog, camera, start, days, SEGMENT if number < whole else length)
    took = time.monotonic() - begun
    others = f"{whole} cameras with segments of {SEGMENT:.0f} s, {len(names) - whole} of {length:.0f} s"
    return f"{count} media and coverage of {days} days, {others}; a third deleted by retention: {took:.0f} s"


def _plan(cameras: int, whole: int, segments: float, each: float, seconds: float) -> tuple[int, float]:
    """Return how many cameras get short segments, at least one, and how long those of the others are.

    Args:
        whole: cameras that should get short segments.
        segments: short ones of a camera.
        each: seconds that writing one takes.
        seconds: that writing may take.
    """
    for length in LONG_SEGMENTS:
        long = segments * SEGMENT / length  # segments of one of the others
        fit = int((seconds / each - cameras * long) / (segments - long))
        if fit >= 1:
            break
    return max(1, min(whole, cameras, fit)), length


async def _fill_camera(
    session: CassandraSession, catalog: CassandraCatalog, camera: str, start: datetime, days: int, length: float
) -> int:
    """Write one camera's rows; returns how many segments there were before retention."""
    media = segments(camera, start, timedelta(days=days), length)
    await write_segments(session, media)
    old = [each.id for each in media[: len(media) // 3]]
    for i in range(0, len(old), REMOVED):
        await catalog.remove_media(old[i : i + REMOVED])
    await _cover(catalog, camera, start, days)
    return len(media)


def segments(camera: str, start: datetime, span: timedelta, length: float) -> list[Media]:
    """Return the recorded segments of a camera, one after the other."""
    return [
        Media(f"{camera}-{i}", camera, f"/f/{camera}-{i}.mp4", Kind.SEGMENT, start + i * step, Clock.RTCP, length)
        for step in (timedelta(seconds=length),)
        for i in range(int(span / step))
    ]


async def write_segments(session: CassandraSession, media: Sequence[Media]) -> None:
    """Write what adding and closing these segments of one camera, in order, leaves."""
    slots = asyncio.Semaphore(8)
    camera, lengths = media[0].camera, dict[int, int]()
    months: dict[int, list[Statement]] = defaultdict(list)
    places: list[Statement] = []
    for each in media:
        given, length = to_micros(each.start), to_micros(each.end) - to_micros(each.start)
        month = month_of(given)
        row = (camera, month, given, each.id, each.path, each.kind, each.clock, given, length, each.duration, RECIPE)
        months[month].append((INSERT_MEDIA, row))
        places.append((INSERT_PLACE, (each.id, camera, given)))
        lengths[month] = max(lengths.get(month, 0), length)

    async def write(statements: list[Statement]) -> None:
        async with slots:
            await session.write_batch(statements)

    groups = [rows[i : i + ROWS] for rows in (*months.values(), places) for i in range(0, len(rows), ROWS)]
    for i in range(0, len(groups), 64):
        await asyncio.gather(*map(write, groups[i : i + 64]))
    for month, length in lengths.items():
        await session.write(INSERT_MONTH, bound_of(length), camera, month)
    first, last = media[0], media[-1]
    reached = last.start if to_micros(last.end) - to_micros(last.start) <= LIVE_STEP else last.end
    span = to_micros(first.start), to_micros(reached)
    await session.write("INSERT INTO @camera_facts (shard, camera) VALUES (?, ?)", *facts_key(camera))
    await session.write(NOTE_LIVE, len(media), *span, {media[0].clock.value}, *facts_key(camera))


async def _cover(catalog: CassandraCatalog, camera: str, start: datetime, days: int) -> None:
    """Watched, with a lost connection each day."""
    for day in range(days):
        since = start + timedelta(days=day)
        await catalog.set_coverage(Coverage(camera, since, since + timedelta(days=1), CoverageState.WATCHED))
        until = since + timedelta(minutes=5)
        await catalog.set_coverage(Coverage(camera, since, until, CoverageState.GAP, "connection lost"))


async def _check_sample(session: CassandraSession, catalog: CassandraCatalog, start: datetime) -> None:
    """Write some segments by the product and as ``write_segments`` does, and compare every row."""
    for each in segments("sample", start, timedelta(seconds=SAMPLE * SEGMENT), SEGMENT):
        await catalog.add_media(replace(each, path=f"{each.path}.tmp", duration=0.0), RECIPE)
        await catalog.update_media(each)
    product = await _rows(session, "sample")
    await write_segments(session, segments("sbmple", start, timedelta(seconds=SAMPLE * SEGMENT), SEGMENT))
    differ = [table for table, rows in (await _rows(session, "sbmple")).items() if rows != product[table]]
    if differ:
        raise RuntimeError(f"rows of {', '.join(differ)} are not what the product writes")
    print(f"the same rows: {', '.join(f'{len(rows)} of {table}' for table, rows in product.items())}", flush=True)


async def _rows(session: CassandraSession, camera: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the camera's rows, with its name as if it were that of the sample."""
    month = "SELECT month, longest FROM @camera_months WHERE camera = ?"
    months = await session.select(month, camera)
    found = {"camera_months": months, "camera_media": [], "places": []}
    for number, _ in months:
        found["camera_media"] += await session.select(
            "SELECT given, id, path, kind, clock, since, length, duration, recipe, done, note FROM @camera_media "
            "WHERE camera = ? AND month = ?",
            *(camera, number),
        )
    for row in found["camera_media"]:
        found["places"] += await session.select("SELECT id, given FROM @places WHERE id = ?", row[1])
    facts = "first, last, removed, files, live_added, live_first, live_last, clocks"
    found["camera_facts"] = await session.select(
        f"SELECT {facts} FROM @camera_facts WHERE shard = ? AND camera = ?", *facts_key(camera)
    )
    plain = {
        table: [tuple(v.replace(camera, "sample") if isinstance(v, str) else v for v in _lists(row)) for row in rows]
        for table, rows in found.items()
    }
    return {table: sorted(rows, key=repr) for table, rows in plain.items()}


def _lists(row: tuple[Any, ...]) -> list[Any]:
    return [sorted(value) if hasattr(value, "__iter__") and not isinstance(value, str) else value for value in row]
