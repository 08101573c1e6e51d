"""Recovers what a killed live service left: unfinished segments, and catalog entries whose file is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from footage.indexer.live.catalog_writer import RECIPE
from footage.indexer.store.base import NOT_WRITTEN, Catalog, Coverage, CoverageState, Store
from footage.stream.frame import Kind, Media
from footage.stream.instants import DISTANT_FUTURE, EPOCH, MICROSECOND
from footage.stream.recording import segment
from footage.stream.recording.archive import SegmentArchive

MARGIN = timedelta(seconds=1)


async def recover_segments(catalog: Catalog, archive: SegmentArchive, store: Store) -> None:
    """Finish the segments that a killed service left open, and note their real end and what they cover.

    Frames are stored up to a second before their footage is on the disk. Of a segment that was killed in its first
    second nothing is left: it stays in the catalog while it has records, with a note why they have no picture.
    """
    unfinished = await asyncio.to_thread(archive.unfinished)
    repaired = {media.id: media for media in await asyncio.to_thread(archive.recover)}
    for media in repaired.values():
        await catalog.add_media(media, RECIPE)
        await catalog.update_media(media)
        last = await store.last_time(media.id)
        await _cover(catalog, media, max(media.end, last + MICROSECOND if last else media.end))
    for media in unfinished:
        if media.id not in repaired and not await asyncio.to_thread(Path(media.path).exists):
            await _note_unwritten(catalog, store, media)


async def remove_missing_segments(
    catalog: Catalog, archive: SegmentArchive, store: Store, cameras: Sequence[str]
) -> None:
    """Correct entries of segments whose file is missing: update finished ones, remove those without records.

    A finished segment with records stays: its file was deleted by hand, or its disk is not mounted.
    Only for cameras that no other worker may have recorded: its files are on another machine.
    """
    for entry in await catalog.media_between(cameras, EPOCH, DISTANT_FUTURE):  # a clock may have been ahead
        media, path = entry.media, Path(entry.media.path)
        own = media.kind is Kind.SEGMENT and path.is_relative_to(archive.folder)
        if own and not await asyncio.to_thread(path.exists):
            finished = await asyncio.to_thread(_find_finished, archive, media)
            if finished:
                await catalog.update_media(finished)
            elif segment.is_unfinished(media):
                await _note_unwritten(catalog, store, media)
            elif await store.last_time(media.id) is None:
                await catalog.remove_media([media.id])


async def _note_unwritten(catalog: Catalog, store: Store, media: Media) -> None:
    """Note that a segment has records and no footage, or remove it when it has none of either."""
    last = await store.last_time(media.id)
    if last is None:
        await catalog.remove_media([media.id])
        return
    end = last + MICROSECOND
    known = await catalog.add_media(replace(media, duration=(end - media.start).total_seconds()), RECIPE)
    if known.media.end < end:
        await catalog.update_media(replace(known.media, duration=(end - media.start).total_seconds()))
    if known.note != NOT_WRITTEN:
        await catalog.finish_media(media.id, NOT_WRITTEN)
    await _cover(catalog, media, end)


async def _cover(catalog: Catalog, media: Media, end: datetime) -> None:
    await catalog.set_coverage(Coverage(media.camera, media.start, end, CoverageState.WATCHED))


def _find_finished(archive: SegmentArchive, media: Media) -> Media | None:
    """Return the finished segment with this media's id."""
    around = archive.segments(media.camera, media.start - MARGIN, media.start + MARGIN)
    return next((found for found in around if found.id == media.id), None)
