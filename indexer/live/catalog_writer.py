"""Writes to the catalog what live cameras report: media that begin, grow and end, and coverage."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from footage.indexer.cluster.fence import Fence
from footage.indexer.pipeline.retry import retry_forever
from footage.indexer.store.base import PASSING, Catalog, Coverage, StoreError
from footage.stream.frame import Media

log = logging.getLogger(__name__)

RECIPE = "live"
"""Recipe of the catalog entries of live media."""
MAX_BATCH = 512
"""Notes that are written at once, each camera's in their order."""


@dataclass(slots=True)
class _Note:
    """Something to write of a camera, if what happened at ``time`` may be written then."""

    camera: str
    time: datetime
    write: Callable[[], Awaitable[Any]]
    coverage: Coverage | None = None


@dataclass(slots=True)
class _Barrier:
    """``callback`` is called when everything before it is written."""

    callback: Callable[[], None]


class CatalogWriter:
    """Queues notes for the catalog and writes them.

    A note is retried while the catalog is unreachable or its disk is full. Notes of one camera are written in their
    order, those of different cameras at the same time, and coverage that continues what waits of the same camera is
    joined with it: so one camera's notes, or a slow cluster, do not hold the others up.

    Threads: ``add_media``, ``close_media``, ``set_coverage`` and ``open_media`` may be called from any thread; they
    hand the note to the event loop that made the writer. Everything else is used in that loop, where ``run`` writes
    what is queued, batch after batch. ``close`` stops it: ``run`` returns when the notes that were queued before are
    written.

    Args:
        fence: keeps out notes of cameras that were lost to another worker, where cameras are shared.
    """

    def __init__(self, catalog: Catalog, fence: Fence | None = None) -> None:
        self._catalog, self._fence = catalog, fence
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[_Note | _Barrier | None] = asyncio.Queue()
        self._open: dict[str, Media] = {}

    @property
    def backlog(self) -> int:
        """Number of notes that are not written yet."""
        return self._notes.qsize()

    def add_media(self, media: Media) -> None:
        """Note that a media has begun."""
        self._open[media.id] = media
        self._note(media.camera, media.start, lambda: self._catalog.add_media(media, RECIPE))

    def close_media(self, media: Media) -> None:
        """Note that a media has ended, with its last path and duration; one without duration is removed."""
        self._open.pop(media.id, None)
        if media.duration > 0:
            self._note(media.camera, media.end, lambda: self._catalog.update_media(media))
        else:
            self._note(media.camera, media.end, lambda: self._catalog.remove_media([media.id]))

    def set_coverage(self, coverage: Coverage) -> None:
        """Note that a span was watched, or was not and why."""
        write = partial(self._catalog.set_coverage, coverage)
        self._put(_Note(coverage.camera, coverage.end, write, coverage))

    def open_media(self, id: str) -> Media | None:
        """Return the media with this id if it has begun and not ended."""
        return self._open.get(id)

    async def extend_media(self, media: Media) -> None:
        """Write now how far an open media reaches, or behind the queued notes when the catalog takes nothing."""
        try:
            if self._may_write(media.camera, media.end):
                await self._catalog.update_media(media)
        except PASSING:
            self._note(media.camera, media.end, lambda: self._catalog.update_media(media))

    def call_when_written(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when all notes that are queued now are written."""
        self._notes.put_nowait(_Barrier(callback))

    async def run(self) -> None:
        """Write notes until ``close``."""
        ended = False
        while not ended:
            items = [await self._notes.get()]
            while len(items) < MAX_BATCH and isinstance(items[-1], _Note) and not self._notes.empty():
                items.append(self._notes.get_nowait())
            await self._write([item for item in items if isinstance(item, _Note)])
            last = items[-1]
            if isinstance(last, _Barrier):
                last.callback()
            ended = last is None

    async def _write(self, batch: Sequence[_Note]) -> None:
        cameras: dict[str, list[_Note]] = defaultdict(list)
        for note in batch:
            _append(cameras[note.camera], note, self._catalog)
        await asyncio.gather(*(self._write_in_order(notes) for notes in cameras.values()))

    async def _write_in_order(self, notes: Sequence[_Note]) -> None:
        for note in notes:
            try:
                await retry_forever(partial(self._write_allowed, note), PASSING)
            except StoreError:
                log.exception("the catalog could not take a note of camera '%s'", note.camera)

    async def _write_allowed(self, note: _Note) -> None:
        if self._may_write(note.camera, note.time):
            await note.write()

    def close(self) -> None:
        """Have ``run`` return behind the notes that are queued now."""
        self._notes.put_nowait(None)

    def _note(self, camera: str, time: datetime, write: Callable[[], Awaitable[Any]]) -> None:
        self._put(_Note(camera, time, write))

    def _put(self, note: _Note) -> None:
        self._loop.call_soon_threadsafe(self._notes.put_nowait, note)

    def _may_write(self, camera: str, time: datetime) -> bool:
        return self._fence is None or self._fence.may_write(camera, time)


def _append(notes: list[_Note], note: _Note, catalog: Catalog) -> None:
    """Append a note to those of its camera, or join it with the last one, if it continues that one's coverage."""
    last = notes[-1].coverage if notes else None
    new = note.coverage
    if last and new and (last.state, last.cause, last.end) == (new.state, new.cause, new.start):
        joined = replace(last, end=new.end)
        notes[-1] = _Note(note.camera, note.time, partial(catalog.set_coverage, joined), joined)
    else:
        notes.append(note)
