"""Decides what a worker may write: only what it captured while it held the camera's lease."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from footage.indexer.pipeline.pipeline import RecordWriter
from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreUnreachable
from footage.stream.instants import DISTANT_FUTURE

log = logging.getLogger(__name__)

CLOCK_SLACK = timedelta(seconds=5)  # more than a camera's clock may be behind (``stream.live.clock.MAX_SKEW``)


class Fence:
    """Decides by camera and time whether what was captured may be written.

    While a camera's lease is valid, everything passes. While it has run out and could not be renewed, nothing does,
    and ``may_write`` raises ``StoreUnreachable``: records wait in the spool, notes in their queue. When the lease is
    lost, what was captured since it was acquired and is not written yet is revoked, for good. What an earlier process
    left in the spool passes: it was acknowledged when the camera was this worker's. Used in the event loop only.

    Args:
        lease_left: for how many seconds a camera's lease is valid (``Leases.seconds_left``).
        now: UTC time.

    Attributes:
        dropped: records that did not pass.
    """

    def __init__(
        self, lease_left: Callable[[str], float | None], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.dropped = 0
        self._lease_left, self._now = lease_left, now
        self._held_since: dict[str, datetime] = {}
        self._revoked: dict[str, deque[tuple[datetime, datetime]]] = {}

    def hold(self, camera: str) -> None:
        """Let the camera's records pass: its lease was acquired."""
        self._held_since[camera] = self._now()
        if spans := self._revoked.get(camera):
            spans[-1] = spans[-1][0], min(spans[-1][1], self._now())

    def release(self, camera: str) -> None:
        """Forget the camera: it was given up, and everything of it is written."""
        self._held_since.pop(camera, None)

    def revoke(self, camera: str) -> None:
        """Keep out what was captured since ``hold``: the lease was lost to another worker."""
        if since := self._held_since.pop(camera, None):
            since = min(since, self._now())  # the clock may have been set back, and the camera's times with it
            self._revoked.setdefault(camera, deque(maxlen=100)).append((since - CLOCK_SLACK, DISTANT_FUTURE))

    def is_revoked(self, camera: str, time: datetime) -> bool:
        """Whether what was captured then may never be written."""
        return any(start <= time < end for start, end in self._revoked.get(camera, ()))

    def may_write(self, camera: str, time: datetime) -> bool:
        """Whether what was captured then may be written now.

        Raises:
            StoreUnreachable: it is not known yet.
        """
        if self.is_revoked(camera, time):
            return False
        if self.seconds_left(camera) == 0.0:
            raise StoreUnreachable(f"camera '{camera}': its lease has run out and could not be renewed yet")
        return True

    def seconds_left(self, camera: str) -> float | None:
        """Seconds within which a write of the camera must end; None when there is no limit."""
        return max(0.0, self._lease_left(camera) or 0.0) if camera in self._held_since else None


class FencedWriter:
    """Writes to a store what the fence lets pass."""

    def __init__(self, store: RecordWriter, fence: Fence) -> None:
        self._store, self._fence = store, fence

    async def write(self, records: Sequence[Record]) -> None:
        """Write the records that may be written, before their leases end; drop those that are revoked.

        Raises:
            StoreUnreachable: a lease is uncertain, or it ended before the store had answered; nothing was
                acknowledged.
        """
        passed = [r for r in records if self._fence.may_write(r.camera, r.time)]
        if len(passed) < len(records):
            self._fence.dropped += len(records) - len(passed)
            log.warning("%d records of cameras that others watch now were dropped", len(records) - len(passed))
        if not passed:
            return
        limits = [
            left for camera in {r.camera for r in passed} if (left := self._fence.seconds_left(camera)) is not None
        ]
        try:
            async with asyncio.timeout(min(limits, default=None)):
                await self._store.write(passed)
        except TimeoutError:
            raise StoreUnreachable("a lease ended before the store had answered") from None
