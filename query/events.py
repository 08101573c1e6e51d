"""Firings as server-sent events: who listens, what they missed, and who is too slow."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web

RING = 1000
"""So many events can be had again after a lost connection."""
ROOM = 64
"""So many events may wait for one listener; one who lets more gather is cut off, and may resume."""
HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that a dead connection is noticed."""
SEND = 10.0
"""Seconds in which a listener must take what is sent."""

Sees = Callable[[str], bool]
Still = Callable[[], Awaitable[bool]]
Listener = tuple[web.Request, Sees]


class Event(NamedTuple):
    """Something that was told, as it goes over the wire, and the camera that it is of."""

    number: int
    camera: str
    text: bytes


class Events:
    """A bounded ring of events, and those who listen. Numbers grow over restarts too (microseconds of the clock)."""

    def __init__(self, ring: int = RING, room: int = ROOM) -> None:
        self._ring: deque[Event] = deque(maxlen=ring)
        self._listeners: dict[asyncio.Queue[Event | None], Listener] = {}
        self._room, self._newest = room, 0

    def publish(self, kind: str, content: Mapping[str, Any]) -> None:
        """Tell everybody; never waits."""
        self._newest = max(self._newest + 1, time.time_ns() // 1000)
        text = f"id: {self._newest}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
        event = Event(self._newest, str(content.get("camera", "")), text.encode())
        self._ring.append(event)
        for queue, (request, sees) in list(self._listeners.items()):
            if not sees(event.camera):
                continue
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                del self._listeners[queue]
                if request.transport:
                    request.transport.abort()

    def close(self) -> None:
        """End every listener's stream."""
        for queue, (request, _) in list(self._listeners.items()):
            if queue.full() and request.transport:
                request.transport.abort()
            elif not queue.full():
                queue.put_nowait(None)
        self._listeners.clear()

    async def serve(self, request: web.Request, last: int | None, sees: Sees, still: Still) -> web.StreamResponse:
        """Stream events to one listener until it leaves: first those after ``last`` that the ring still holds.

        Args:
            sees: whether it may be told of a camera.
            still: whether it may be told anything still; asked before each event and heartbeat.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(self._room)
        self._listeners[queue] = (request, sees)
        begun = self._newest if last is None else last  # so that one who has heard nothing yet can resume too
        missed = [e.text for e in self._ring if last is not None and e.number > last and sees(e.camera)]
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
        try:
            await response.prepare(request)
            await _send(response, f"id: {begun}\n: listening\n\n".encode() + b"".join(missed))
            while (text := await _next(queue)) is not None and await still():
                await _send(response, text)
        except (ConnectionError, TimeoutError):
            if request.transport:
                request.transport.abort()
        finally:
            self._listeners.pop(queue, None)
        return response


async def _next(queue: asyncio.Queue[Event | None]) -> bytes | None:
    try:
        async with asyncio.timeout(HEARTBEAT):
            event = await queue.get()
    except TimeoutError:
        return b": still here\n\n"
    return event.text if event else None


async def _send(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(SEND):
        await response.write(text)
