"""``footage forget``: remove a camera's time from the index."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import typer

from footage.commands.errors import NOTHING, say
from footage.commands.parts import Index, clips, close_index, open_index, recordings
from footage.config.settings import Settings
from footage.indexer.store.base import Where
from footage.stream.frame import Kind
from footage.stream.recording.archive import Shelf

_PAST, _FUTURE = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def run(settings: Settings, camera: str, start: datetime | None, end: datetime | None) -> None:
    """Forget, and tell how much; exit with 3 when there was nothing."""
    records, media = asyncio.run(_run(settings, camera, start or _PAST, end or _FUTURE))
    if not records and not media:
        say(f"nothing of camera '{camera}' in that time")
        raise typer.Exit(NOTHING)
    say(f"forgot {records} records and {media} files of camera '{camera}'; recorded footage is gone, other files stay")


async def _run(settings: Settings, camera: str, start: datetime, end: datetime) -> tuple[int, int]:
    index = await open_index(settings)
    if index is None:
        return 0, 0
    try:
        return await forget(index, settings, camera, start, end)
    finally:
        await close_index(index)


async def forget(index: Index, settings: Settings, camera: str, start: datetime, end: datetime) -> tuple[int, int]:
    """Remove records, coverage, cached clips, recorded segments and media rows; returns how many records and media.

    A recorded segment that reaches into the time goes as a whole, with its records, so that no picture of it is left.
    A file that others wrote stays; its row goes when it lies wholly inside, so that it can be indexed again.
    """
    for path in clips(settings).glob("*"):
        path.unlink(missing_ok=True)
    media = [e.media for e in await index.catalog.between([camera], start, end)]
    segments = [m for m in media if m.kind is Kind.SEGMENT]
    inside = [m.id for m in media if m.kind is not Kind.SEGMENT and start <= m.start and m.end <= end]
    records = 0
    if segments:
        records += await index.store.forget(Where(media=tuple(m.id for m in segments)))
        shelf = Shelf(recordings(settings))
        await asyncio.to_thread(lambda: shelf.delete(list(shelf.segments(camera, start, end))))
    records += await index.store.forget(Where((camera,), ((start, end),)))
    gone = await asyncio.to_thread(lambda: [m.id for m in segments if not Path(m.path).exists()])
    await index.catalog.remove([*inside, *gone])
    await index.catalog.uncover([camera], start, end)
    return records, len(inside) + len(gone)
