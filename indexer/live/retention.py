"""Retention: footage and the records of it go together, oldest first."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from footage.indexer.store.base import Catalog, Coverage, State, Store, StoreError, Where
from footage.stream.frame import Media
from footage.stream.recording.archive import Shelf

log = logging.getLogger(__name__)

EXPIRED = "footage has expired"
PAST = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class Expiry:
    """Deletes what has to go: by age per camera, by the size of all recordings, and for free disk space.

    Records are forgotten before their footage is deleted, so that a kill in between leaves footage that is deleted
    the next time, never a record whose picture is gone.

    Args:
        keep: how long each camera's footage and records are kept; None: as long as there is room.
        size: bytes that all recordings may take; None: any number.
        free: bytes to leave free on the disk.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        shelf: Shelf,
        keep: Mapping[str, timedelta | None],
        size: int | None = None,
        free: int = 0,
    ) -> None:
        self._store, self._catalog, self._shelf = store, catalog, shelf
        self._keep, self._size, self._free = keep, size, free

    async def run(self, every: float = 3600.0, look: float = 10.0) -> None:
        """Expire every ``every`` seconds, and at once when ``look`` finds the disk short of room; until cancelled."""
        waited = every
        while True:
            if waited >= every or not await asyncio.to_thread(self._shelf.room, self._free):
                waited = 0.0
                try:
                    await self.once()
                except (StoreError, OSError):
                    log.exception("retention failed; it is tried again in %g s", every)
            await asyncio.sleep(look)
            waited += look

    async def once(self, now: datetime | None = None) -> int:
        """Expire what is due; returns how many segments went."""
        now = now or datetime.now(UTC)
        due = await asyncio.to_thread(self._shelf.expired, self._keep, self._size, self._free, (), now)
        await self._forget(due)
        gone = await asyncio.to_thread(self._shelf.delete, due)
        for camera, kept in self._keep.items():
            if kept is not None:
                await self._age(camera, now - kept)
        return len(gone)

    async def _forget(self, due: Sequence[Media]) -> None:
        if not due:
            return
        ids = [m.id for m in due]
        await self._store.forget(Where(media=tuple(ids)))
        await self._catalog.remove(ids)
        spans: dict[str, list[Media]] = defaultdict(list)
        for media in due:
            spans[media.camera].append(media)
        for camera, gone in spans.items():
            for start, end in _joined(gone):
                await self._catalog.cover(Coverage(camera, start, end, State.GAP, EXPIRED))

    async def _age(self, camera: str, before: datetime) -> None:
        """Records without footage (an unrecorded camera, or a segment that was lost) expire by their own time."""
        old = Where((camera,), ((PAST, before),))
        if await self._store.count(old):
            await self._store.forget(old)
        entries = await self._catalog.between([camera], PAST, before)
        await self._catalog.remove([e.media.id for e in entries if e.media.end <= before])
        known = await self._catalog.coverage([camera], PAST, before)
        if any(c.state is State.WATCHED for c in known):
            await self._catalog.cover(Coverage(camera, known[0].start, before, State.GAP, EXPIRED))


def _joined(segments: Sequence[Media]) -> list[tuple[datetime, datetime]]:
    """Spans of segments that follow one another; what lies between others may be kept by another worker."""
    spans: list[tuple[datetime, datetime]] = []
    for one in sorted(segments, key=lambda media: media.start):
        if spans and one.start <= spans[-1][1] + SECOND:
            spans[-1] = spans[-1][0], max(spans[-1][1], one.end)
        else:
            spans.append((one.start, one.end))
    return spans
