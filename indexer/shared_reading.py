"""Shares one reading among all who miss something in what was read before, and may have been put there since."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

MISS_SECONDS = 0.1
"""Seconds between two such readings: whoever asks for what does not exist again and again costs no more."""


class SharedReading:
    """Reads again for who missed something; used in one event loop.

    Args:
        read: reads everything, and notes when that began.
        read_at: when the last reading began, by ``time.monotonic``.
    """

    def __init__(self, read: Callable[[], Awaitable[object]], read_at: Callable[[], float]) -> None:
        self._read, self._read_at = read, read_at
        self._turn = asyncio.Lock()

    async def since(self, asked: float) -> None:
        """Wait for a reading that began at ``asked`` or later; all who wait share it."""
        async with self._turn:
            if self._read_at() < asked:
                await asyncio.sleep(self._read_at() + MISS_SECONDS - time.monotonic())
                await self._read()
