"""Refuses requests while a cluster does not answer, and notices when it goes away and comes back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from footage.indexer.store.errors import StoreError, StoreUnreachable

T = TypeVar("T")
log = logging.getLogger(__name__)

FAILING_SECONDS = 1.0  # for which every request must have failed before the cluster is taken to be away
SILENCE_SECONDS = 0.7  # without any response after which the cluster is pinged, while a request waits
PROBE_SECONDS = 0.5  # between pings while it is away
REMIND_SECONDS = 60.0  # between two messages that it is still away


class CircuitBreaker:
    """Knows whether a cluster answers: *closed* while it does, *open* while requests are refused at once.

    It opens when requests have failed for a second and none has succeeded, or when a request waits, nothing has been
    heard and a ping is not answered either: a slow request is waited for, one to a cluster that is gone is not. While
    it is open a task pings; the first response of any kind closes it. Each change is logged once, and each minute that
    it is still open. Everything happens in one event loop.

    Args:
        location: where the cluster is, for messages.
        ping: returns whether any node answers, within two seconds.
    """

    def __init__(self, location: str, ping: Callable[[], Awaitable[bool]]) -> None:
        self._location, self._ping = location, ping
        self._heard = self._failing_since = self._opened = float("-inf")  # monotonic times
        self._reason = ""
        self._pinging: asyncio.Task[bool] | None = None
        self._probing: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether requests are refused now."""
        return bool(self._reason)

    def check(self) -> None:
        """Raise StoreUnreachable while the breaker is open."""
        if self._reason:
            raise StoreUnreachable(self._reason)

    def note_response(self) -> None:
        """Note that a node has answered, with rows or with an error of its own."""
        self._heard, self._failing_since = time.monotonic(), float("-inf")
        if self._reason:
            log.warning("%s: it answers again, after %.0f s", self._location, self._heard - self._opened)
            self._reason = ""

    def note_failure(self, error: StoreError) -> None:
        """Note that no node could be asked; opens the breaker when that has gone on for a second."""
        now = time.monotonic()
        if self._failing_since == float("-inf"):
            self._failing_since = now
        if now - self._failing_since >= FAILING_SECONDS:
            self._open(str(error))

    async def watch(self, work: asyncio.Future[T]) -> T:
        """Return the result of a request; give it up when the cluster turns out to be away.

        Raises:
            StoreUnreachable: the breaker is open, or has opened meanwhile.
        """
        try:
            while not (await asyncio.wait([work], timeout=SILENCE_SECONDS))[0]:
                if not self.is_open and time.monotonic() - self._heard >= SILENCE_SECONDS:
                    await self._find_out()
                self.check()
            return work.result()
        finally:
            work.cancel()

    async def close(self) -> None:
        """End the tasks."""
        tasks = [task for task in (self._pinging, self._probing) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find_out(self) -> None:
        """Ping, unless somebody does already, and open the breaker if nothing answers."""
        if self._pinging is None:
            self._pinging = asyncio.create_task(self._ask())
        if not await asyncio.shield(self._pinging):
            self._open(f"{self._location}: no node answers; is it down, or cut off from the network?")

    async def _ask(self) -> bool:
        try:
            if answered := await self._ping():
                self.note_response()
            return answered
        finally:
            self._pinging = None

    def _open(self, reason: str) -> None:
        if self._reason:
            return
        self._reason, self._opened = reason, time.monotonic()
        log.warning("%s (requests are refused until it answers again)", reason)
        if self._probing is None:
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Ping until the breaker is closed."""
        told = self._opened
        try:
            while self._reason:
                await asyncio.sleep(PROBE_SECONDS)
                if time.monotonic() - told >= REMIND_SECONDS:
                    told = time.monotonic()
                    log.warning("%s (for %.0f s now; it is asked again)", self._reason, told - self._opened)
                try:
                    await self._ask()
                except Exception:  # a fault of ours: who gave up asking would never notice that it is back
                    log.exception("%s could not be pinged", self._location)
        finally:
            self._probing = None
