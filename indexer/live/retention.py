"""Deletes footage and its records when they are too old or the disk is too full, oldest first."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from footage.indexer.live.expiry_clock import ExpiryClock
from footage.indexer.store.base import NOT_WRITTEN, Catalog, Coverage, CoverageState, Store, Where
from footage.indexer.store.errors import StoreError, StoreFull, StoreUnreachable
from footage.indexer.store.integrity import recount
from footage.stream.frame import Media
from footage.stream.instants import EPOCH
from footage.stream.recording.archive import SegmentArchive
from footage.stream.spans import merge

log = logging.getLogger(__name__)

EXPIRED = "footage has expired"
TOLERANCE = timedelta(seconds=1)
"""Segments at most this far apart follow one another."""
CLOCK_MARGIN = timedelta(hours=1)
"""Time before a camera's first footage that is looked at too: a clock may just have been set back."""


class Retention:
    """Deletes what has expired: by age per camera, by the size of all recordings, and for free disk space.

    Records are forgotten before their footage is deleted, so that a kill in between leaves footage that is deleted
    the next time, never a record whose image is gone; only on a full disk footage goes first, to make room.

    Args:
        keep: how long each camera's footage and records are kept; None: as long as there is space.
        size: bytes that all recordings may take; None: any number.
        free: bytes to leave free on the disk.
        clock: UTC time by which footage expires, and what was dated by a wrong one; default: one that begins now.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        archive: SegmentArchive,
        keep: Mapping[str, timedelta | None],
        size: int | None = None,
        free: int = 0,
        clock: ExpiryClock | None = None,
    ) -> None:
        self._clock = clock or ExpiryClock()
        self._store, self._catalog, self._archive = store, catalog, archive
        self._keep, self._size, self._free = keep, size, free

    async def run(self, every: float = 3600.0, check: float = 10.0) -> None:
        """Delete every ``every`` seconds, and at once when a check, each ``check`` seconds, finds the disk too full."""
        waited = every
        while True:
            self._clock()  # what it believes is noted every few minutes
            if waited >= every or not await asyncio.to_thread(self._archive.has_room, self._free):
                waited = 0.0
                try:
                    await self.delete_expired()
                except StoreFull as error:
                    log.warning("%s; there is no footage left that may be deleted", error)
                except StoreUnreachable as error:
                    log.debug("retention waits: %s; it is tried again in %g s", error, every)
                except (StoreError, OSError):
                    log.exception("retention failed; it is tried again in %g s", every)
            await asyncio.sleep(check)
            waited += check

    async def delete_expired(self, now: datetime | None = None) -> int:
        """Delete what has expired; returns how many segments were deleted."""
        now, first = now or self._clock(), await self._first_times()
        expired = await asyncio.to_thread(
            self._archive.find_expired, self._keep, self._size, self._free, (), now, self._clock.wrong
        )
        try:
            await self._forget(expired, first)
            deleted = await asyncio.to_thread(self._archive.delete, expired)
        except StoreFull:  # no room even to note what is forgotten: only footage that is deleted first makes some
            deleted = await asyncio.to_thread(self._archive.delete, expired)
            await self._forget(expired, first)
        for camera, kept in self._keep.items():
            if kept is not None:
                await self._forget_before(camera, first.get(camera, EPOCH), now - kept)
        return len(deleted)

    async def _forget(self, expired: Sequence[Media], first: Mapping[str, datetime]) -> None:
        """Forget the records and entries of segments, and note that these spans have expired."""
        if not expired:
            return
        ids = [*(m.id for m in expired), *await self._bare_before(expired, first)]
        await self._store.forget(Where(media=tuple(ids)))
        await self._catalog.remove_media(ids)
        cameras: dict[str, list[Media]] = defaultdict(list)
        for media in expired:
            cameras[media.camera].append(media)
        for camera, segments in cameras.items():
            for start, end in _spans(segments):
                await self._catalog.set_coverage(Coverage(camera, start, end, CoverageState.GAP, EXPIRED))

    async def _bare_before(self, expired: Sequence[Media], first: Mapping[str, datetime]) -> list[str]:
        """Ids of segments that were never written and are older than expired ones: only their records are left.

        A file that is not here says nothing: another worker may have recorded it, or its disk is not mounted.
        """
        latest: dict[str, datetime] = {}
        for media in expired:
            latest[media.camera] = max(media.end, latest.get(media.camera, media.end))
        return [
            entry.media.id
            for camera, end in latest.items()
            for entry in await self._catalog.media_between([camera], first.get(camera, EPOCH), end)
            if entry.note == NOT_WRITTEN and self._ended(entry.media) <= end
        ]

    async def _first_times(self) -> dict[str, datetime]:
        """Where each camera's media begin: in a cluster, a read from before walks through all that was deleted."""
        cameras = await self._catalog.cameras()
        return {c.camera: max(EPOCH, c.start - CLOCK_MARGIN) for c in cameras if c.start is not None}

    async def _forget_before(self, camera: str, first: datetime, before: datetime) -> None:
        """Forget records without footage (an unrecorded camera, or a segment that was lost) by their own time.

        What was dated by a clock that was set afterwards is forgotten when its true time comes.
        """
        spans = self._clock.wrong.expired_before(before)
        if not spans:
            return
        old = Where((camera,), tuple(spans))
        if await self._store.count(old):
            await self._store.forget(old)
        entries = await self._catalog.media_between([camera], first, before)
        await self._catalog.remove_media([e.media.id for e in entries if self._ended(e.media) <= before])
        await recount([e.media.id for e in entries if e.done], self._store, self._catalog)
        for start, end in spans:
            known = await self._catalog.coverage([camera], start, end)
            if watched := [c for c in known if c.state is CoverageState.WATCHED]:
                await self._catalog.set_coverage(Coverage(camera, watched[0].start, end, CoverageState.GAP, EXPIRED))

    def _ended(self, media: Media) -> datetime:
        """When a media ended, by the clock of now."""
        return self._clock.wrong.latest(media.start, media.end)


def _spans(segments: Sequence[Media]) -> list[tuple[datetime, datetime]]:
    """Join segments that follow one another; what lies between others may be kept by another worker."""
    return [(start, end - TOLERANCE) for start, end in merge((m.start, m.end + TOLERANCE) for m in segments)]
