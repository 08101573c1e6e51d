"""The leases that one process holds, and how surely."""

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

LEASE = 7.0
"""Seconds. A cluster, which counts whole ones, lets a lease end up to two seconds later: what a worker had that was
killed is with others within about ten."""


def clock() -> float:
    """Seconds that pass also while the machine is suspended, where the system can tell (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class _Held:
    number: int
    until: float


class Leases:
    """Takes, renews and gives up leases of the catalogue.

    All of it happens in the event loop; ``run`` is a task that renews every lease four times in its length. A lease
    is *sure* while its length has not passed since before it was last asked for, by a clock of this machine that
    nobody sets: so it ends here before it can end in the catalogue. After that it is *unsure* until the catalogue has
    answered again. If nobody else had it in between, which its fencing number tells, it was ours all the time; if
    somebody had, it is *lost*, and ``lost`` is called with its name.

    Args:
        holder: who holds them; no two processes have the same one.
        seconds: their length.
    """

    def __init__(
        self, catalog: Catalog, holder: str, seconds: float = LEASE, clock: Callable[[], float] = clock
    ) -> None:
        self.holder, self.seconds = holder, seconds
        self.lost: Callable[[str], None] = lambda _: None
        self._catalog, self._clock = catalog, clock
        self._held: dict[str, _Held] = {}
        self._silent = False  # the catalogue could not be asked when last tried
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def left(self, name: str) -> float | None:
        """For how many seconds a lease is sure; 0 or less while it is unsure, None when it is not held."""
        held = self._held.get(name)
        return held.until - self._clock() if held else None

    def sure(self, name: str) -> bool:
        """Whether a lease is held beyond doubt."""
        return (self.left(name) or 0.0) > 0.0

    async def take(self, name: str) -> bool:
        """Take a lease, unless somebody else has it; whether it is held now.

        Raises:
            StoreError: the catalogue could not be asked.
        """
        async with self._turns[name]:
            return name in self._held or await self._ask(name)

    async def release(self, name: str) -> None:
        """Give a lease up. One that the catalogue cannot be told of ends by itself."""
        async with self._turns[name]:
            if self._held.pop(name, None):
                with suppress(StoreError, TimeoutError):
                    async with asyncio.timeout(self.seconds / 2):
                        await self._catalog.release(name, self.holder)

    async def renew(self) -> None:
        """Renew every lease now; what cannot be asked for stays as it is."""
        await asyncio.gather(*(self._renew(name) for name in list(self._held)))

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(self.seconds / 4)
            await self.renew()

    async def close(self) -> None:
        """Give every lease up."""
        await asyncio.gather(*(self.release(name) for name in list(self._held)))

    async def _renew(self, name: str) -> None:
        async with self._turns[name]:
            if name not in self._held:
                return
            try:
                if await self._ask(name):
                    return
            except StoreError as error:
                if not self._silent:
                    log.warning("leases cannot be renewed: %s", error)
                self._silent = True
                return
            log.warning("the lease '%s' has passed to somebody else", name)
            self.lost(name)

    async def _ask(self, name: str) -> bool:
        before, asked = self._held.get(name), self._clock()
        try:
            async with asyncio.timeout(self.seconds / 2):
                number = await self._catalog.lease(name, self.holder, self.seconds)
        except TimeoutError:
            raise StoreUnreachable("the catalogue does not answer in time") from None
        self._silent = False
        if number is not None and (before is None or number <= before.number + 1):
            self._held[name] = _Held(number, asked + self.seconds)
            return True
        self._held.pop(name, None)
        if number is not None:  # somebody had it in between: begin anew rather than go on
            with suppress(StoreError):
                await self._catalog.release(name, self.holder)
        return False
