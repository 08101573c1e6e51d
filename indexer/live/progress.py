"""Extends coverage and open segments in the catalog as far as records have been written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime

from footage.indexer.cluster.fence import Fence
from footage.indexer.live.cameras import LiveCameras
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.store.base import Record

OnWritten = Callable[[Sequence[Record]], Awaitable[None]]


class WrittenProgress:
    """Notes how far cameras have come when records are durable, so that a new record's image can be cut at once.

    Used in the event loop, as the pipeline's ``on_written``.

    Args:
        fence: records that it has revoked were not written, and are left out.
        on_written: awaited afterwards with the records that were written.
    """

    def __init__(
        self, cameras: LiveCameras, notes: CatalogWriter, fence: Fence | None, on_written: OnWritten | None
    ) -> None:
        self._cameras, self._notes, self._fence, self._on_written = cameras, notes, fence, on_written

    async def __call__(self, records: Sequence[Record]) -> None:
        """Let coverage and open segments reach as far as the newest of the records."""
        if self._fence:
            records = [r for r in records if not self._fence.is_revoked(r.camera, r.time)]
        for camera in {r.camera for r in records}:
            if running := self._cameras.get(camera):
                running.capture.note_progress()
        newest: dict[str, datetime] = {}
        for record in records:
            newest[record.media] = max(newest.get(record.media, record.time), record.time)
        for id, time in newest.items():
            await self._extend(id, time)
        if self._on_written and records:
            await self._on_written(records)

    async def _extend(self, id: str, time: datetime) -> None:
        media = self._notes.open_media(id)
        running = self._cameras.get(media.camera) if media else None
        if media and running:
            duration = (time - media.start).total_seconds() + running.capture.camera.every
            await self._notes.extend_media(replace(media, duration=duration))
