"""What a worker may write: only what it captured while the camera was its own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from footage.indexer.pipeline.pipeline import Writer
from footage.indexer.store.base import Record, StoreUnreachable

log = logging.getLogger(__name__)

SLACK = timedelta(seconds=5)  # more than a camera's clock may be behind (``stream.live.clock.SANE``)
FAR = datetime.max.replace(tzinfo=UTC)


class Fence:
    """Between what was captured and what is written, by camera and time.

    While a camera's lease is sure, all passes. While it is unsure nothing does, and ``passes`` raises
    ``StoreUnreachable``: records wait in the spool, notes in their queue. When it is lost, what was captured since it
    was taken and is not written yet is void, for good. What an earlier process left in the spool passes: it was
    acknowledged when the camera was its own. It is used in the event loop alone.

    Args:
        left: for how many seconds a camera's lease is sure (``Leases.left``).
        now: UTC time.

    Attributes:
        dropped: records that did not pass.
    """

    def __init__(
        self, left: Callable[[str], float | None], now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.dropped = 0
        self._left, self._now = left, now
        self._since: dict[str, datetime] = {}
        self._void: dict[str, deque[tuple[datetime, datetime]]] = {}

    def hold(self, camera: str) -> None:
        """The camera is this worker's from now on."""
        self._since[camera] = self._now()
        if spans := self._void.get(camera):
            spans[-1] = spans[-1][0], min(spans[-1][1], self._now())

    def give(self, camera: str) -> None:
        """The camera was given up, and everything of it is written."""
        self._since.pop(camera, None)

    def lose(self, camera: str) -> None:
        """Somebody else has the camera."""
        if since := self._since.pop(camera, None):
            self._void.setdefault(camera, deque(maxlen=100)).append((since - SLACK, FAR))

    def void(self, camera: str, time: datetime) -> bool:
        """Whether what was captured then may never be written."""
        return any(start <= time < end for start, end in self._void.get(camera, ()))

    def passes(self, camera: str, time: datetime) -> bool:
        """Whether what was captured then may be written now.

        Raises:
            StoreUnreachable: it is not known yet.
        """
        if self.void(camera, time):
            return False
        if self.room(camera) == 0.0:
            raise StoreUnreachable(f"camera '{camera}': its lease has run out and could not be renewed yet")
        return True

    def room(self, camera: str) -> float | None:
        """Seconds in which something of the camera may be written; None: any number."""
        return max(0.0, self._left(camera) or 0.0) if camera in self._since else None


class Fenced:
    """Stands before a store and lets pass what the fence lets pass."""

    def __init__(self, store: Writer, fence: Fence) -> None:
        self._store, self._fence = store, fence

    async def write(self, records: Sequence[Record]) -> None:
        """Write what may be written, within the time of its leases.

        Raises:
            StoreUnreachable: a lease is unsure, or it ended before the store had answered; nothing was acknowledged.
        """
        mine = [r for r in records if self._fence.passes(r.camera, r.time)]
        if len(mine) < len(records):
            self._fence.dropped += len(records) - len(mine)
            log.warning("%d records of cameras that others watch now were dropped", len(records) - len(mine))
        if not mine:
            return
        rooms = [room for camera in {r.camera for r in mine} if (room := self._fence.room(camera)) is not None]
        try:
            async with asyncio.timeout(min(rooms, default=None)):
                await self._store.write(mine)
        except TimeoutError:
            raise StoreUnreachable("a lease ended before the store had answered") from None
