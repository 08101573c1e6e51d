"""``footage forget``: removes a camera's time from the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import NOTHING, print_message, reports_errors
from footage.commands.options import Config, Data, FromOption, ToOption, resolve_settings

if TYPE_CHECKING:
    from datetime import datetime

    from footage.commands.composition import Index
    from footage.config.settings import Settings
    from footage.stream.frame import Media


@reports_errors
async def forget(
    camera: Annotated[str, typer.Option("--camera", help="The camera to forget.")],
    start: FromOption = None,
    end: ToOption = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove a camera's time from the index: vectors, coverage and cached clips."""
    from footage.commands.composition import find_index
    from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST

    settings = resolve_settings(config, data=data)
    records = media = 0
    index = await find_index(settings)
    if index is not None:
        try:
            span = (start or DISTANT_PAST, end or DISTANT_FUTURE)
            records, media = await _forget(index, settings, camera, *span)
        finally:
            await index.close()
    if not records and not media:
        print_message(f"nothing of camera '{camera}' in that time")
        raise typer.Exit(NOTHING)
    removed = f"{records} records and {media} files of camera '{camera}'"
    print_message(f"forgot {removed}; recorded footage is deleted, other files stay")


async def _forget(index: Index, settings: Settings, camera: str, start: datetime, end: datetime) -> tuple[int, int]:
    """Remove records, coverage, cached clips, recorded segments and media rows; returns how many records and media.

    A recorded segment that reaches into the time goes as a whole, with its records, so that no image of it is left.
    A file that others wrote stays; its row goes when it is wholly inside, so that it can be indexed again.
    """
    from footage.commands.composition import clip_cache
    from footage.indexer.store.base import Where
    from footage.indexer.store.integrity import recount
    from footage.stream.frame import Kind

    for path in clip_cache(settings).glob("*"):
        path.unlink(missing_ok=True)
    media = [e.media for e in await index.catalog.media_between([camera], start, end)]
    segments = [m for m in media if m.kind is Kind.SEGMENT]
    inside = [m.id for m in media if m.kind is not Kind.SEGMENT and start <= m.start and m.end <= end]
    records = 0
    if segments:
        records += await index.store.forget(Where(media=tuple(m.id for m in segments)))
    deleted = await _delete_segments(settings, segments, camera, start, end)
    records += await index.store.forget(Where((camera,), ((start, end),)))
    await index.catalog.remove_media([*inside, *deleted])
    await recount([m.id for m in media], index.store, index.catalog)
    await index.catalog.clear_coverage([camera], start, end)
    return records, len(inside) + len(deleted)


async def _delete_segments(
    settings: Settings, segments: list[Media], camera: str, start: datetime, end: datetime
) -> list[str]:
    """Delete the footage of segments; returns the ids of the deleted ones."""
    import asyncio
    from pathlib import Path

    from footage.commands.composition import recordings_folder
    from footage.stream.recording.archive import SegmentArchive

    def delete() -> list[str]:
        archive = SegmentArchive(recordings_folder(settings))
        archive.delete(list(archive.segments(camera, start, end)))
        return [m.id for m in segments if not Path(m.path).exists()]

    return await asyncio.to_thread(delete) if segments else []
