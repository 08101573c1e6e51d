"""A bounded way from capture threads into the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(Generic[T]):
    """Many threads put, one coroutine gets; never holds more than ``size`` items.

    Threads: ``put``, ``offer`` and ``close`` are called from capture threads (or the loop); ``get`` and ``drain``
    only from the loop that made the channel. One lock guards the deque; the loop is woken by
    ``call_soon_threadsafe``. It stops by ``close``: waiting threads are let go and ``get`` raises
    ``EOFError`` once what is left has been taken.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._items: deque[T] = deque()
        self._room = threading.Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()

    def put(self, item: T) -> bool:
        """Wait for room, then add. Returns False when the channel was closed meanwhile (files wait)."""
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._items) < self._size)
            return self._add(item)

    def offer(self, item: T, droppable: Callable[[T], bool]) -> list[T]:
        """Add without waiting, dropping the oldest droppable items for room (live feeds).

        Returns:
            What was dropped, oldest first; it may be ``item`` itself when nothing else may go.
        """
        with self._room:
            dropped: list[T] = []
            while len(self._items) >= self._size and (old := self._oldest(droppable)) is not None:
                dropped.append(self._items[old])
                del self._items[old]
            if len(self._items) >= self._size or not self._add(item):
                dropped.append(item)
            return dropped

    def _oldest(self, droppable: Callable[[T], bool]) -> int | None:
        return next((i for i, item in enumerate(self._items) if droppable(item)), None)

    def _add(self, item: T) -> bool:
        if self._closed:
            return False
        self._items.append(item)
        self._wake()
        return True

    def close(self) -> None:
        """Take nothing more; what is inside can still be got."""
        with self._room:
            self._closed = True
            self._room.notify_all()
            self._wake()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    def drain(self, most: int) -> list[T]:
        """Take up to ``most`` items that are there now."""
        with self._room:
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            if taken:
                self._room.notify_all()
            return taken

    async def get(self, most: int, wait: float) -> list[T]:
        """The next items: as soon as ``most`` are there, or ``wait`` seconds after the first.

        Raises:
            EOFError: closed and empty.
        """
        taken = await self._some(most, None)
        deadline = self._loop.time() + wait
        while len(taken) < most and (left := deadline - self._loop.time()) > 0:
            try:
                more = await self._some(most - len(taken), left)
            except EOFError:
                break
            if not more:
                break
            taken += more
        return taken

    async def _some(self, most: int, within: float | None) -> list[T]:
        while True:
            self._ready.clear()
            if taken := self.drain(most):
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
