"""Publishes alerts to listeners of the event stream, with a bounded history to resume from."""

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
"""Number of past events that a listener can receive after a lost connection."""
BACKLOG = 64
"""Number of events that may wait for one listener; a slower one is disconnected, and may resume."""

CameraFilter = Callable[[str], bool]
"""Whether a listener may receive events of a camera."""


class AlertEvent(NamedTuple):
    """One event in the format of server-sent events, and the camera that it is about."""

    number: int
    camera: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Subscription:
    """The events of one listener.

    Attributes:
        resume_from: number of the event from which the listener may resume before it has received any.
        missed: earlier events that it requested.
        queue: new events; None when the service ends.
    """

    resume_from: int
    missed: list[AlertEvent]
    queue: asyncio.Queue[AlertEvent | None]


class AlertStream:
    """Publishes events to listeners and keeps the newest. Numbers grow over restarts too (microseconds of the clock).

    Threads: none; everything happens in the event loop.
    """

    def __init__(self, history: int = HISTORY, backlog: int = BACKLOG) -> None:
        self._history: deque[AlertEvent] = deque(maxlen=history)
        self._listeners: dict[asyncio.Queue[AlertEvent | None], tuple[CameraFilter, Callable[[], None]]] = {}
        self._backlog, self._newest = backlog, 0

    def publish(self, kind: str, content: Mapping[str, Any]) -> None:
        """Queues an event for every listener that may see its camera; never waits."""
        self._newest = max(self._newest + 1, time.time_ns() // 1000)
        text = f"id: {self._newest}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
        event = AlertEvent(self._newest, str(content.get("camera", "")), text.encode())
        self._history.append(event)
        for queue, (can_see, disconnect) in list(self._listeners.items()):
            if not can_see(event.camera):
                continue
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                del self._listeners[queue]
                disconnect()

    def close(self) -> None:
        """Ends every listener's stream."""
        for queue, (_, disconnect) in list(self._listeners.items()):
            if queue.full():
                disconnect()
            else:
                queue.put_nowait(None)
        self._listeners.clear()

    @contextmanager
    def subscribe(
        self, last: int | None, can_see: CameraFilter, disconnect: Callable[[], None]
    ) -> Iterator[Subscription]:
        """Listens while the context is open.

        Args:
            last: number of the last event that the listener received; None for new events only.
            can_see: whether the listener may receive events of a camera.
            disconnect: called when the listener is too slow.
        """
        queue: asyncio.Queue[AlertEvent | None] = asyncio.Queue(self._backlog)
        self._listeners[queue] = (can_see, disconnect)
        missed = [e for e in self._history if last is not None and e.number > last and can_see(e.camera)]
        try:
            yield Subscription(self._newest if last is None else last, missed, queue)
        finally:
            self._listeners.pop(queue, None)
