"""Recovers what a killed live service left: unfinished segments, and catalog entries whose file is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.indexer.live.catalog_writer import RECIPE
from footage.indexer.store.base import Catalog, Coverage, CoverageState
from footage.stream.frame import Kind, Media
from footage.stream.instants import EPOCH
from footage.stream.recording.archive import SegmentArchive

MARGIN = timedelta(seconds=1)


async def recover_segments(catalog: Catalog, archive: SegmentArchive) -> None:
    """Finish the segments that a killed service left open, and note their real end and what they cover."""
    for media in await asyncio.to_thread(archive.recover):
        await catalog.add_media(media, RECIPE)
        await catalog.update_media(media)
        await catalog.set_coverage(Coverage(media.camera, media.start, media.end, CoverageState.WATCHED))


async def remove_missing_segments(catalog: Catalog, archive: SegmentArchive, cameras: Sequence[str]) -> None:
    """Correct entries of segments whose file is missing: update finished ones, remove empty ones.

    Only for cameras that no other worker may have recorded: its files are on another machine.
    """
    for entry in await catalog.media_between(cameras, EPOCH, datetime.now(UTC)):
        media, path = entry.media, Path(entry.media.path)
        own = media.kind is Kind.SEGMENT and path.is_relative_to(archive.folder)
        if own and not await asyncio.to_thread(path.exists):
            finished = await asyncio.to_thread(_find_finished, archive, media)
            await (catalog.update_media(finished) if finished else catalog.remove_media([media.id]))


def _find_finished(archive: SegmentArchive, media: Media) -> Media | None:
    """Return the finished segment with this media's id."""
    around = archive.segments(media.camera, media.start - MARGIN, media.start + MARGIN)
    return next((segment for segment in around if segment.id == media.id), None)
