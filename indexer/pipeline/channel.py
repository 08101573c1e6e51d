"""Passes items from capture threads into the event loop through a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """A queue that many threads put into and one coroutine gets from; it holds at most ``size`` items.

    Threads: ``put``, ``offer`` and ``close`` are called from capture threads (or the loop); ``get`` and ``drain``
    only from the loop that made the channel. One lock guards the deque; the loop is woken by
    ``call_soon_threadsafe``. ``close`` stops it: waiting threads are released, and ``get`` raises
    ``EOFError`` once what is left has been taken.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._space = threading.Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    def put(self, item: T) -> bool:
        """Wait for space, then add (files wait). Returns False when the channel was closed meanwhile."""
        with self._space:
            self._space.wait_for(lambda: self._closed or len(self._items) < self._size)
            return self._add(item)

    def offer(self, item: T, droppable: Callable[[T], bool]) -> list[T]:
        """Add without waiting; drop the oldest droppable items to make space (live feeds).

        Returns:
            What was dropped, oldest first; this is ``item`` itself when nothing else may be dropped.
        """
        with self._space:
            dropped: list[T] = []
            while len(self._items) >= self._size and (oldest := self._find_oldest(droppable)) is not None:
                dropped.append(self._items[oldest])
                del self._items[oldest]
            if len(self._items) >= self._size or not self._add(item):
                dropped.append(item)
            return dropped

    def _find_oldest(self, droppable: Callable[[T], bool]) -> int | None:
        return next((i for i, item in enumerate(self._items) if droppable(item)), None)

    def _add(self, item: T) -> bool:
        if self._closed:
            return False
        self._items.append(item)
        self._wake()
        return True

    def close(self) -> None:
        """Accept nothing more; what is in the queue can still be taken."""
        with self._space:
            self._closed = True
            self._space.notify_all()
            self._wake()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    def drain(self, limit: int) -> list[T]:
        """Take up to ``limit`` of the items that are in the queue now."""
        with self._space:
            taken = [self._items.popleft() for _ in range(min(limit, len(self._items)))]
            if taken:
                self._space.notify_all()
            return taken

    async def get(self, limit: int, wait: float) -> list[T]:
        """Return the next items: as soon as there are ``limit``, or ``wait`` seconds after the first.

        Raises:
            EOFError: the channel is closed and empty.
        """
        taken = await self._get_some(limit, None)
        deadline = self._loop.time() + wait
        while len(taken) < limit and (remaining := deadline - self._loop.time()) > 0:
            try:
                more = await self._get_some(limit - len(taken), remaining)
            except EOFError:
                break
            if not more:
                break
            taken += more
        return taken

    async def _get_some(self, limit: int, within: float | None) -> list[T]:
        while True:
            self._ready.clear()
            if taken := self.drain(limit):
                return taken
            if self._closed:
                raise EOFError
            try:
                async with asyncio.timeout(within):
                    await self._ready.wait()
            except TimeoutError:
                return []

    def __len__(self) -> int:
        return len(self._items)
