"""Bounds what requests may take: how many run and wait at a time, and how long a body may take to arrive."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

BODY_TIMEOUT = 60.0
"""Seconds in which a JSON body, or one picture of a form, must have arrived."""
PATIENCE = 20.0
"""Seconds for which a request waits for its turn."""
LATEST_SHARE = 0.2
"""Share of the latest request in how long one usually takes."""
RETRY_AFTER = 5
"""Seconds after which a refused client should come again."""


class FileResponse(web.FileResponse):
    """A file whose sending ends, as when the client leaves, when the client has not read for too long."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file; aiohttp logs a client that has left quietly, and other errors with their traces."""
        try:
            return await super().prepare(request)
        except TimeoutError:
            raise ConnectionResetError("the client has not read for too long") from None


class Slots:
    """Lets some requests run at a time and some more wait; further ones are told to come again later.

    So is, at once, one that would wait longer than ``patience`` if requests go on taking as long as lately.

    Args:
        running, waiting: at most so many.
        patience: seconds for which a request waits at most.
    """

    def __init__(self, running: int, waiting: int, patience: float = PATIENCE) -> None:
        self._free, self._running, self._places = asyncio.Semaphore(running), running, running + waiting
        self._patience = patience
        self._inside, self._usual = 0, 0.0

    @asynccontextmanager
    async def take(self, request: web.Request) -> AsyncIterator[None]:
        """Wait for a request's turn, which lasts until the block ends.

        Raises:
            HTTPServiceUnavailable: too many run and wait, none of them ended in time, or the client has left.
        """
        if self._inside >= self._places or self._expected_wait() > self._patience:
            raise busy()
        self._inside += 1
        try:
            await self._wait()
            try:
                if request.transport is None:  # nobody waits for the answer any more
                    raise busy()
                began = time.monotonic()
                yield
                self._usual += LATEST_SHARE * (time.monotonic() - began - self._usual)
            finally:
                self._free.release()
        finally:
            self._inside -= 1

    def _expected_wait(self) -> float:
        return max(0, self._inside - self._running + 1) * self._usual / self._running

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise busy() from None


def busy() -> web.HTTPServiceUnavailable:
    """The refusal of a request because others keep the service busy."""
    return web.HTTPServiceUnavailable(
        reason="the service is busy with other requests of this kind", headers={"Retry-After": str(RETRY_AFTER)}
    )


@asynccontextmanager
async def body_timeout() -> AsyncIterator[None]:
    """Let the block read a part of a request's body, but not forever.

    Raises:
        HTTPRequestTimeout: it has not arrived in time.
    """
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            yield
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason="the request did not arrive in time; send it again") from None
