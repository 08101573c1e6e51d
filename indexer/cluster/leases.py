"""Holds leases of the catalog for one process: acquires, renews and releases them, and knows which are valid."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import StoreError, StoreUnreachable

log = logging.getLogger(__name__)

LEASE_SECONDS = 7.0
"""Length of a lease. A cluster, which counts whole seconds, lets a lease end up to two seconds later: the cameras of a
worker that was killed are with others within about ten."""
REMIND_SECONDS = 60.0
"""Seconds between two messages that leases cannot be renewed."""
CONFIRM_SHARE = 64
"""In this many renewals every lease is looked up once."""


def boot_time() -> float:
    """Seconds since the start of the machine, counting suspension where the system can tell (Linux)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


@dataclass(frozen=True, slots=True)
class _Lease:
    number: int
    session: str


class Leases:
    """Acquires, keeps and releases leases of the catalog.

    All of it happens in the event loop; ``run`` is a task that renews this process's *session* four times in its
    length, which keeps every lease, however many there are. A lease is *valid* until the session's length has passed
    since before it was last renewed, by a clock of this machine that nobody sets: so it ends here before it can end in
    the catalog. After that it is *uncertain*: the session is never renewed again, another one is begun, and each lease
    is taken for it. If nobody else held the lease in between, which its fencing number tells, it was ours all the time;
    if somebody did, it is *lost*, and ``on_lost`` is called with its name. Each renewal also looks a few leases up, so
    that one which another took against the rules is noticed.

    Args:
        holder: who holds them; no two processes have the same one.
        seconds: length of the session.
        clock: monotonic seconds.
    """

    def __init__(
        self, catalog: Catalog, holder: str, seconds: float = LEASE_SECONDS, clock: Callable[[], float] = boot_time
    ) -> None:
        self.holder, self.seconds = holder, seconds
        self.on_lost: Callable[[str], None] = lambda _: None
        self._catalog, self._clock = catalog, clock
        self._held: dict[str, _Lease] = {}
        self._session, self._session_until, self._sessions = "", float("-inf"), 0
        self._session_lock = asyncio.Lock()
        self._warned_at = float("-inf")  # since the catalog could not be asked; minus infinity while it can
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def seconds_left(self, name: str) -> float | None:
        """For how many seconds a lease is valid; 0 or less while it is uncertain, None when it is not held."""
        lease = self._held.get(name)
        if lease is None:
            return None
        return self._session_until - self._clock() if lease.session == self._session else 0.0

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
            if lease := self._held.pop(name, None):
                with suppress(StoreError, TimeoutError):
                    async with asyncio.timeout(self.seconds / 2):
                        await self._catalog.release_lease(name, lease.session)

    async def renew(self) -> None:
        """Renew the session now, and take every uncertain lease for it; what cannot be asked stays as it is."""
        if not self._held and not self._session:
            return
        try:
            await self._renew_session()
        except StoreError as error:
            self._warn(error)
            return
        uncertain = [name for name, lease in self._held.items() if lease.session != self._session]
        looked_up = (self._confirm(name) for name in uncertain or self._few())
        done = await asyncio.gather(*looked_up, return_exceptions=True)
        for failure in filter(None, done):  # one that fails must not keep the others from being renewed
            raise failure

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await asyncio.sleep(self.seconds / 4)
            await self.renew()

    async def close(self) -> None:
        """Release every lease, and end the session."""
        await asyncio.gather(*(self.release(name) for name in list(self._held)))
        if self._session:
            with suppress(StoreError, TimeoutError):
                async with asyncio.timeout(self.seconds / 2):
                    await self._catalog.end_session(self._session)

    def _few(self) -> list[str]:
        """Return the leases that are looked up in this renewal: each comes in turn, and is put last."""
        names = list(self._held)[: -(-len(self._held) // CONFIRM_SHARE)]
        for name in names:
            self._held[name] = self._held.pop(name)
        return names

    async def _renew_session(self) -> None:
        """Renew the session, or begin another one where it may have ended."""
        async with self._session_lock:
            requested = self._clock()
            if requested >= self._session_until:
                self._sessions += 1
                self._session = f"{self.holder}#{self._sessions}"
            try:
                async with asyncio.timeout(self.seconds / 2):
                    await self._catalog.announce_session(self._session, self.holder, self.seconds)
            except TimeoutError:
                raise StoreUnreachable("the catalog does not answer in time") from None
            if self._clock() < requested + self.seconds:
                self._session_until = max(self._session_until, requested + self.seconds)
            self._warned_at = float("-inf")

    async def _confirm(self, name: str) -> None:
        async with self._locks[name]:
            if name not in self._held:
                return
            try:
                if await self._request(name):
                    return
            except StoreError as error:
                self._warn(error)
                return
            log.warning("the lease '%s' has passed to somebody else", name)
            self.on_lost(name)

    async def _request(self, name: str) -> bool:
        if self._clock() >= self._session_until:
            await self._renew_session()
        before, session = self._held.get(name), self._session
        try:
            async with asyncio.timeout(self.seconds / 2):
                number = await self._catalog.acquire_lease(name, self.holder, session)
        except TimeoutError:
            raise StoreUnreachable("the catalog does not answer in time") from None
        if number is not None and (before is None or number == before.number):
            self._held[name] = _Lease(number, session)
            return True
        self._held.pop(name, None)
        if number is not None:  # somebody else held it in between: start over, do not continue
            with suppress(StoreError):
                await self._catalog.release_lease(name, session)
        return False

    def _warn(self, error: StoreError) -> None:
        if self._clock() - self._warned_at >= REMIND_SECONDS:
            self._warned_at = self._clock()
            log.warning("leases cannot be renewed: %s", error)
