"""Writes to the catalog what live cameras report: media that begin, grow and end, and coverage."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from functools import partial

from footage.indexer.cluster.fence import Fence
from footage.indexer.live.notes import MAX_NOTES, Note, NoteQueue
from footage.indexer.pipeline.retry import Reminder, retry_forever
from footage.indexer.store.base import Catalog, Coverage
from footage.indexer.store.errors import PASSING, StoreError
from footage.stream.frame import Media

log = logging.getLogger(__name__)

RECIPE = "live"
"""Recipe of the catalog entries of live media."""
MAX_DEATHS = 5
"""How often a note may end the writer, with the supervisor's pauses between, before it is left out."""


class CatalogWriter:
    """Queues notes for the catalog and writes them.

    A note is retried while the catalog is away or cannot be written to (locked, its disk full or read-only), and again
    when the writer died of it. Notes of one camera are written in their order, those of different cameras at the same
    time, so that one camera's notes, or a slow cluster, do not hold the others up. What waits is joined where it can
    be, and bounded: a reader that notes more than ``limit`` notes waits until some are written (``NoteQueue``).

    Threads: ``add_media``, ``close_media``, ``set_coverage`` and ``open_media`` may be called from any thread.
    Everything else is used in the event loop that made the writer, where ``run`` writes what is queued. ``close`` stops
    it: ``run`` returns when the notes that were queued before are written.

    Args:
        fence: keeps out notes of cameras that were lost to another worker, where cameras are shared.
        limit: notes that may wait in memory.
    """

    def __init__(self, catalog: Catalog, fence: Fence | None = None, limit: int = MAX_NOTES) -> None:
        self._catalog, self._fence = catalog, fence
        self._queue = NoteQueue(limit)
        self._open: dict[str, Media] = {}
        self._reminder, self._refusal = Reminder(), ""

    @property
    def backlog(self) -> int:
        """Number of notes that are not written yet."""
        return len(self._queue)

    def add_media(self, media: Media) -> None:
        """Note that a media has begun."""
        self._open[media.id] = media
        self._queue.put(Note(media.camera, media.start, media, partial(self._catalog.add_media, recipe=RECIPE)))

    def close_media(self, media: Media) -> None:
        """Note that a media has ended, with its last path and duration; one without duration is removed."""
        self._open.pop(media.id, None)
        if media.duration > 0:
            self._update(media)
        else:
            self._queue.put(Note(media.camera, media.end, media, self._remove))

    def set_coverage(self, coverage: Coverage) -> None:
        """Note that a span was watched, or was not and why."""
        self._queue.put(Note(coverage.camera, coverage.end, coverage, self._catalog.set_coverage))

    def open_media(self, id: str) -> Media | None:
        """Return the media with this id if it has begun and not ended."""
        return self._open.get(id)

    async def extend_media(self, media: Media) -> None:
        """Write now how far an open media reaches, or behind the queued notes when the catalog takes nothing."""
        if self._queue.waits(media.camera, media.id):
            self._update(media, lambda: media.id in self._open)
            return
        try:
            if self._may_write(media.camera, media.end):
                await self._catalog.update_media(media)
        except PASSING:
            self._update(media, lambda: media.id in self._open)  # it may have ended meanwhile, under another path

    def call_when_written(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when all notes that are queued now are written."""
        self._queue.add_barrier(callback)

    async def run(self) -> None:
        """Write notes until ``close``: a task for each camera that has some."""
        try:
            async with asyncio.TaskGroup() as group:
                writing: dict[str, asyncio.Task[None]] = {}
                while not self._queue.finished:
                    writing = {camera: task for camera, task in writing.items() if not task.done()}
                    for camera in self._queue.cameras():
                        if camera not in writing:
                            writing[camera] = group.create_task(self._write_camera(camera))
                    await self._queue.changed()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    def lift_limit(self) -> None:
        """Let no thread wait for space from now on, because all readers end."""
        self._queue.lift_limit()

    def close(self) -> None:
        """Have ``run`` return behind the notes that are queued now."""
        self._queue.close()

    async def _write_camera(self, camera: str) -> None:
        """Write what is queued of a camera, in order; a note leaves the queue when it is written."""
        while note := self._queue.begin(camera):
            try:
                await retry_forever(partial(self._write, note), PASSING, self._reminder)
            except StoreError as error:
                self._tell_refusal(camera, error)
            except Exception:
                note.deaths += 1
                if note.deaths < MAX_DEATHS:
                    raise
                log.exception(
                    "a note of camera '%s' is left out, of which the writer died %d times: %s",
                    camera,
                    note.deaths,
                    note.value,
                )
            self._queue.done(camera)

    def _tell_refusal(self, camera: str, error: StoreError) -> None:
        """Log that a note was refused for good, with its trace unless that was logged for the one before."""
        known, self._refusal = self._refusal, str(error)
        trace = error if known != self._refusal else None
        log.error("the catalog could not take a note of camera '%s': %s", camera, error, exc_info=trace)

    async def _write(self, note: Note) -> None:
        if self._may_write(note.camera, note.time):
            await note.write(note.value)

    async def _remove(self, media: Media) -> None:
        await self._catalog.remove_media([media.id])

    def _update(self, media: Media, still: Callable[[], bool] = lambda: True) -> None:
        self._queue.put(Note(media.camera, media.end, media, self._catalog.update_media, updates=True), still)

    def _may_write(self, camera: str, time: datetime) -> bool:
        return self._fence is None or self._fence.may_write(camera, time)
