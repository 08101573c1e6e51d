"""Builds an index of real footage spread over cameras and days, for ``bench.page`` and ``tools.screenshots``.

Parts are cut from clips and indexed once; then their records are written for each camera and time at which a part is to
be seen. So pictures, clips and scores are those of the footage, and only camera and time are made up.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path

import av

from footage.commands.composition import SearchServices, open_services
from footage.commands.indexing import make_indexer
from footage.config.settings import Settings
from footage.indexer.files.file_indexer import Job
from footage.indexer.store.base import Coverage, CoverageState, Record, Where
from footage.stream.frame import Clock, Media

TICK = Fraction(1, 12_800)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a clip, from ``begin`` to ``end`` in seconds."""

    clip: Path
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Showing:
    """What a camera is to show from ``start`` (UTC) on."""

    camera: str
    part: Part
    start: datetime


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which a camera was not watched, and why."""

    camera: str
    start: datetime
    end: datetime
    cause: str


def build_index(data: Path, showings: Sequence[Showing], gaps: Sequence[Gap] = (), every: float = 0.5) -> None:
    """Build an index in the folder ``data`` with the built-in model.

    Args:
        every: seconds between two samples.
    """
    parts = sorted({one.part for one in showings}, key=str)
    files = {part: cut(part, data / "parts" / f"part{i}.mp4") for i, part in enumerate(parts)}
    asyncio.run(_build(data, showings, gaps, every, files))


def cut(part: Part, path: Path) -> Path:
    """Encode a part of a clip anew, as H.264 with a keyframe every second."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(part.clip)) as source, av.open(str(path), "w") as target:
        video = source.streams.video[0]
        rate = video.average_rate or Fraction(25)
        stream = target.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = video.width // 2 * 2, video.height // 2 * 2, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20", "g": str(round(rate))}
        stream.codec_context.time_base = TICK
        for frame in source.decode(video):
            if part.begin <= frame.time < part.end:
                picture = frame.reformat(width=stream.width, height=stream.height, format="yuv420p")
                picture.pts, picture.time_base = round((frame.time - part.begin) / TICK), TICK
                picture.pict_type = av.video.frame.PictureType.NONE
                target.mux(stream.encode(picture))
        target.mux(stream.encode())
    return path


async def _build(
    data: Path, showings: Sequence[Showing], gaps: Sequence[Gap], every: float, files: dict[Part, Path]
) -> None:
    folders = (data / "parts" / "index", data)
    first, second = (Settings.model_validate({"data": folder, "embedder": "lite"}) for folder in folders)
    async with open_services(first) as services:
        await make_indexer(services).run([Job(path, path.stem, every) for path in files.values()])
        found = {part: await _read(services, path.stem) for part, path in files.items()}
    async with open_services(second) as services:
        for gap in gaps:
            await services.catalog.set_coverage(Coverage(gap.camera, gap.start, gap.end, CoverageState.GAP, gap.cause))
        records: list[Record] = []
        for number, one in enumerate(showings):
            records += await _show(services, one, number, *found[one.part])
        for i in range(0, len(records), 500):
            await services.store.write(records[i : i + 500])
        await services.store.maintain()


async def _read(services: SearchServices, camera: str) -> tuple[Media, list[Record]]:
    records = [record async for record in services.store.scan(Where(cameras=(camera,)))]
    entries = await services.catalog.media([records[0].media])
    return entries[records[0].media].media, records


async def _show(
    services: SearchServices, one: Showing, number: int, media: Media, records: list[Record]
) -> list[Record]:
    """Add the part to the catalog as a file of this camera; returns its records."""
    name = hashlib.sha256(f"{one.camera} {number}".encode()).hexdigest()[:16]
    shown = replace(media, id=name, camera=one.camera, start=one.start, clock=Clock.NAME)
    await services.catalog.add_media(shown, "bench")
    await services.catalog.finish_media(name)
    end = one.start + timedelta(seconds=media.duration)
    await services.catalog.set_coverage(Coverage(one.camera, one.start, end, CoverageState.WATCHED))
    return [
        replace(record, camera=one.camera, media=name, time=one.start + timedelta(seconds=record.offset))
        for record in records
    ]
