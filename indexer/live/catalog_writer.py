"""Writes to the catalog what live cameras report: media that begin, grow and end, and coverage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from footage.indexer.cluster.fence import Fence
from footage.indexer.pipeline.retry import retry_forever
from footage.indexer.store.base import Catalog, Coverage, StoreError, StoreFull, StoreUnreachable
from footage.stream.frame import Media

log = logging.getLogger(__name__)

RECIPE = "live"
"""Recipe of the catalog entries of live media."""


class CatalogWriter:
    """Queues notes for the catalog and writes them in order.

    A note is retried while the catalog is unreachable or its disk is full.

    Threads: ``add_media``, ``close_media``, ``set_coverage`` and ``open_media`` may be called from any thread; they
    hand the note to the event loop that made the writer. Everything else is used in that loop, where ``run`` writes
    one note after the other. ``close`` stops it: ``run`` returns when the notes that were queued before are written.

    Args:
        fence: keeps out notes of cameras that were lost to another worker, where cameras are shared.
    """

    def __init__(self, catalog: Catalog, fence: Fence | None = None) -> None:
        self._catalog, self._fence = catalog, fence
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[Callable[[], Awaitable[Any]] | None] = asyncio.Queue()
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
        self._note(coverage.camera, coverage.end, lambda: self._catalog.set_coverage(coverage))

    def open_media(self, id: str) -> Media | None:
        """Return the media with this id if it has begun and not ended."""
        return self._open.get(id)

    async def extend_media(self, media: Media) -> None:
        """Write now how far an open media reaches, or behind the queued notes when the catalog takes nothing."""
        try:
            if self._may_write(media.camera, media.end):
                await self._catalog.update_media(media)
        except (StoreUnreachable, StoreFull):
            self._note(media.camera, media.end, lambda: self._catalog.update_media(media))

    def call_when_written(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when all notes that are queued now are written."""

        async def note() -> None:
            callback()

        self._notes.put_nowait(note)

    async def run(self) -> None:
        """Write notes until ``close``."""
        while (work := await self._notes.get()) is not None:
            try:
                await retry_forever(work, (StoreUnreachable, StoreFull))
            except StoreError:
                log.exception("the catalog could not take a note")

    def close(self) -> None:
        """Have ``run`` return behind the notes that are queued now."""
        self._notes.put_nowait(None)

    def _note(self, camera: str, time: datetime, work: Callable[[], Awaitable[Any]]) -> None:
        """Queue ``work``, which is done if what happened at this time may be written then."""

        async def note() -> None:
            if self._may_write(camera, time):
                await work()

        self._loop.call_soon_threadsafe(self._notes.put_nowait, note)

    def _may_write(self, camera: str, time: datetime) -> bool:
        return self._fence is None or self._fence.may_write(camera, time)
