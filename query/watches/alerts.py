"""The queue of firings: a bounded history of events, and the listeners that each new one is handed to."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

HISTORY = 1000
"""So many events can be had again after a lost connection."""
BACKLOG = 64
"""So many events may wait for one listener; a slower one is cut off, and may resume."""

Sees = Callable[[str], bool]
"""Whether a listener may be told of a camera."""


class Event(NamedTuple):
    """One event in the format of server-sent events, and the camera that it is about."""

    number: int
    camera: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one listener gets.

    Attributes:
        begun: number of the event from which the listener may resume before it has received any.
        missed: earlier events that it asked for.
        queue: new events; None when the service ends.
    """

    begun: int
    missed: list[Event]
    queue: asyncio.Queue[Event | None]


class Alerts:
    """Hands events to listeners and keeps the newest. Numbers grow over restarts too (microseconds of the clock).

    Threads: none; all of it happens in the event loop.
    """

    def __init__(self, history: int = HISTORY, backlog: int = BACKLOG) -> None:
        self._history: deque[Event] = deque(maxlen=history)
        self._listeners: dict[asyncio.Queue[Event | None], tuple[Sees, Callable[[], None]]] = {}
        self._backlog, self._newest = backlog, 0

    def publish(self, kind: str, content: Mapping[str, Any]) -> None:
        """Hand an event to every listener that may see its camera; never waits."""
        self._newest = max(self._newest + 1, time.time_ns() // 1000)
        text = f"id: {self._newest}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
        event = Event(self._newest, str(content.get("camera", "")), text.encode())
        self._history.append(event)
        for queue, (sees, disconnect) in list(self._listeners.items()):
            if not sees(event.camera):
                continue
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                del self._listeners[queue]
                disconnect()

    def close(self) -> None:
        """End every listener's stream."""
        for queue, (_, disconnect) in list(self._listeners.items()):
            if queue.full():
                disconnect()
            else:
                queue.put_nowait(None)
        self._listeners.clear()

    @contextmanager
    def subscribe(self, last: int | None, sees: Sees, disconnect: Callable[[], None]) -> Iterator[Subscription]:
        """Listen for the length of a block.

        Args:
            last: number of the last event that the listener received; None: it wants new ones only.
            sees: whether it may be told of a camera.
            disconnect: called when it is too slow.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(self._backlog)
        self._listeners[queue] = (sees, disconnect)
        missed = [e for e in self._history if last is not None and e.number > last and sees(e.camera)]
        try:
            yield Subscription(self._newest if last is None else last, missed, queue)
        finally:
            self._listeners.pop(queue, None)
