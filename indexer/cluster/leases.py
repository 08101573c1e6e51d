"""Holds leases of the catalog for one process: acquires, renews and releases them, and knows which are valid."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from footage.indexer.store.base import Catalog, StoreError, StoreUnreachable

log = logging.getLogger(__name__)

LEASE_SECONDS = 7.0
"""Length of a lease. A cluster, which counts whole seconds, lets a lease end up to two seconds later: the cameras of a
worker that was killed are with others within about ten."""


def boot_time() -> float:
    """Seconds since the start of the machine, counting suspension where the system can tell (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class _Lease:
    number: int
    until: float


class Leases:
    """Acquires, renews and releases leases of the catalog.

    All of it happens in the event loop; ``run`` is a task that renews every lease four times in its length. A lease
    is *valid* until its length has passed since before it was last requested, by a clock of this machine that nobody
    sets: so it ends here before it can end in the catalog. After that it is *uncertain* until the catalog has
    answered again. If nobody else held it in between, which its fencing number tells, it was ours all the time; if
    somebody did, it is *lost*, and ``on_lost`` is called with its name.

    Args:
        holder: who holds them; no two processes have the same one.
        seconds: their length.
        clock: monotonic seconds.
    """

    def __init__(
        self, catalog: Catalog, holder: str, seconds: float = LEASE_SECONDS, clock: Callable[[], float] = boot_time
    ) -> None:
        self.holder, self.seconds = holder, seconds
        self.on_lost: Callable[[str], None] = lambda _: None
        self._catalog, self._clock = catalog, clock
        self._held: dict[str, _Lease] = {}
        self._warned = False  # that the catalog could not be asked when last tried
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def seconds_left(self, name: str) -> float | None:
        """For how many seconds a lease is valid; 0 or less while it is uncertain, None when it is not held."""
        lease = self._held.get(name)
        return lease.until - self._clock() if lease else None

    def is_valid(self, name: str) -> bool:
        """Whether a lease is held beyond doubt."""
        return (self.seconds_left(name) or 0.0) > 0.0

    async def acquire(self, name: str) -> bool:
        """Take a lease, unless somebody else has it; returns whether it is held now.

        Raises:
            StoreError: the catalog could not be asked.
        """
        async with self._locks[name]:
            return name in self._held or await self._request(name)

    async def release(self, name: str) -> None:
        """Give a lease up. If the catalog cannot be reached, it runs out by itself."""
        async with self._locks[name]:
            if self._held.pop(name, None):
                with suppress(StoreError, TimeoutError):
                    async with asyncio.timeout(self.seconds / 2):
                        await self._catalog.release_lease(name, self.holder)

    async def renew(self) -> None:
        """Renew every lease now; a lease that cannot be requested stays as it is."""
        done = await asyncio.gather(*(self._renew(name) for name in list(self._held)), return_exceptions=True)
        for error in filter(None, done):  # one that fails must not keep the others from being renewed
            raise error

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(self.seconds / 4)
            await self.renew()

    async def close(self) -> None:
        """Release every lease."""
        await asyncio.gather(*(self.release(name) for name in list(self._held)))

    async def _renew(self, name: str) -> None:
        async with self._locks[name]:
            if name not in self._held:
                return
            try:
                if await self._request(name):
                    return
            except StoreError as error:
                if not self._warned:
                    log.warning("leases cannot be renewed: %s", error)
                self._warned = True
                return
            log.warning("the lease '%s' has passed to somebody else", name)
            self.on_lost(name)

    async def _request(self, name: str) -> bool:
        before, requested = self._held.get(name), self._clock()
        try:
            async with asyncio.timeout(self.seconds / 2):
                number = await self._catalog.acquire_lease(name, self.holder, self.seconds)
        except TimeoutError:
            raise StoreUnreachable("the catalog does not answer in time") from None
        self._warned = False
        if number is not None and (before is None or number <= before.number + 1):
            self._held[name] = _Lease(number, requested + self.seconds)
            return True
        self._held.pop(name, None)
        if number is not None:  # somebody else held it in between: start over, do not continue
            with suppress(StoreError):
                await self._catalog.release_lease(name, self.holder)
        return False
