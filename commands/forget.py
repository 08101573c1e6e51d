"""``footage forget``: removes a camera's time, or files that were deleted, from the index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import NOTHING, print_message, reports_errors
from footage.commands.options import Config, Data, FromOption, ToOption, option, resolve_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from footage.commands.composition import Index
    from footage.config.settings import Settings
    from footage.stream.frame import Media

IN_FLIGHT = timedelta(minutes=1)
"""Age at which a live camera's record has been written; what is younger may come while its time is forgotten."""
VERIFY_BATCH, VERIFY_SPANS = 1_000, 50
"""Records, and spans of time, that are read at once to see that none is left."""


@reports_errors
async def forget(
    camera: Annotated[str | None, option("--camera", text="The camera to forget.")] = None,
    start: FromOption = None,
    end: ToOption = None,
    gone: Annotated[
        bool, typer.Option("--gone", help="Only files that were deleted, of all cameras or this one.")
    ] = False,
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove a camera's time from the index: vectors, coverage and cached clips; or files that were deleted."""
    from footage.commands.composition import find_index
    from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST

    if camera is None and not gone:
        raise typer.BadParameter("say which camera, or --gone for files that were deleted", param_hint="--camera")
    settings = resolve_settings(config, data=data)
    span = (start or DISTANT_PAST, end or DISTANT_FUTURE)
    records = media = 0
    index = await find_index(settings)
    if index is not None:
        try:
            if gone:
                await _forget_gone(index, settings, [camera] if camera else [], *span)
                return
            records, media = await _forget(index, settings, camera or "", *span)
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
    from footage.query.moments.reviews import ReviewLog
    from footage.stream.frame import Kind

    begun = datetime.now(UTC)
    await index.list_partitions()
    for path in clip_cache(settings).glob("*"):
        path.unlink(missing_ok=True)
    media = [e.media for e in await index.catalog.media_between([camera], start, end)]
    segments = [m for m in media if m.kind is Kind.SEGMENT]
    whole = [m for m in media if m.kind is not Kind.SEGMENT and start <= m.start and m.end <= end]
    inside = [m.id for m in whole]
    records = 0
    if segments:
        records += await index.store.forget(Where(media=tuple(m.id for m in segments)))
    deleted = await _delete_segments(settings, segments, camera, start, end)
    records += await index.store.forget(Where((camera,), ((start, end),)))
    await index.catalog.remove_media([*inside, *deleted])
    await recount([m.id for m in media], index.store, index.catalog)
    await index.catalog.clear_coverage([camera], start, end)
    await ReviewLog(index.catalog).forget(camera, start, end)
    await index.recheck_losses([camera])
    await _verify_forgotten(index, camera, start, min(end, begun - IN_FLIGHT))
    files = (Kind.VIDEO, Kind.PHOTO)  # nothing comes to the others any more where they ended long ago
    settled = [m for m in (*whole, *segments) if m.kind in files or m.end <= begun - IN_FLIGHT]
    await _verify_media_forgotten(index, settled, {m.id for m in settled} & {*inside, *deleted})
    return records, len(inside) + len(deleted)


async def _verify_forgotten(index: Index, camera: str, start: datetime, end: datetime) -> None:
    """Read again that nothing of a camera's time is left.

    Raises:
        StoreError: something is.
    """
    from footage.indexer.store.base import Where
    from footage.indexer.store.errors import StoreError

    await index.list_partitions()
    left = await index.store.count(Where((camera,), ((start, end),))) if start < end else 0
    if left:
        raise StoreError(f"{left} records of camera '{camera}' are still there, or came meanwhile; forget them again")


async def _verify_media_forgotten(index: Index, media: Sequence[Media], removed: Collection[str]) -> None:
    """Read again, by time and not by the list of a media's records, that no record of these media is left.

    Args:
        media: whose records were forgotten.
        removed: those whose rows were removed too.

    Raises:
        StoreError: something is left.
    """
    from footage.indexer.store.base import Where
    from footage.indexer.store.errors import StoreError
    from footage.stream.spans import merge

    ids, left = {m.id for m in media}, 0
    for camera in sorted({m.camera for m in media}):
        spans = merge((m.start, m.end + timedelta(seconds=1)) for m in media if m.camera == camera)
        for i in range(0, len(spans), VERIFY_SPANS):
            where = Where((camera,), tuple(spans[i : i + VERIFY_SPANS]))
            async for batch in index.store.batches(where, VERIFY_BATCH):
                left += sum(batch.medias[number] in ids for number in batch.media.tolist())
    rows = len(await index.catalog.media(list(removed)))
    if left or rows:
        raise StoreError(
            f"{left} records and {rows} of the files are still there, or came meanwhile; forget them again"
        )


async def _forget_gone(index: Index, settings: Settings, cameras: list[str], start: datetime, end: datetime) -> None:
    """Remove files that were deleted, with their records and coverage; not those whose disk may be away."""
    import asyncio

    from footage.commands.composition import clip_cache
    from footage.indexer.store.base import Where
    from footage.stream.frame import Kind

    entries = await index.catalog.media_between(cameras, start, end)
    media = [e.media for e in entries if e.media.kind in (Kind.VIDEO, Kind.PHOTO)]
    deleted, away = await asyncio.to_thread(_missing_files, media)
    if away:
        print_message(f"{away} more files are in folders that are empty or not there: is a disk not mounted?")
    if not deleted:
        print_message("no file of the index was deleted")
        raise typer.Exit(NOTHING)
    await index.list_partitions()
    for path in clip_cache(settings).glob("*"):
        path.unlink(missing_ok=True)
    records = await index.store.forget(Where(media=tuple(m.id for m in deleted)))
    await index.catalog.remove_media([m.id for m in deleted])
    for one in deleted:  # a time that other footage shows stays covered
        if not await index.catalog.media_between([one.camera], one.start, one.end):
            await index.catalog.clear_coverage([one.camera], one.start, one.end)
    await index.recheck_losses([m.camera for m in deleted])
    await _verify_media_forgotten(index, deleted, [m.id for m in deleted])
    print_message(f"forgot {records} records of {len(deleted)} files that were deleted")


def _missing_files(media: Sequence[Media]) -> tuple[list[Media], int]:
    """The media whose file was deleted, and how many others are not there because their folder may be away."""
    from pathlib import Path

    deleted, away = [], 0
    for one in media:
        path = Path(one.path)
        if not path.exists():
            if any(path.parent.iterdir()) if path.parent.is_dir() else False:
                deleted.append(one)
            else:
                away += 1
    return deleted, away


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
