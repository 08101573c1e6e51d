"""Streams alerts to an HTTP client as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from footage.query.watches.alerts import Alerts, Event, Sees

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that a dead connection is noticed."""
SEND = 10.0
"""Seconds in which a client must take what is sent."""


async def stream(
    request: web.Request, alerts: Alerts, last: int | None, sees: Sees, allowed: Callable[[], Awaitable[bool]]
) -> web.StreamResponse:
    """Stream events to one client until it leaves: first those after ``last`` that are still held.

    Args:
        sees: whether the client may be told of a camera.
        allowed: whether it may still be told anything; asked before each event and heartbeat.
    """

    def disconnect() -> None:
        if request.transport:
            request.transport.abort()

    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    with alerts.subscribe(last, sees, disconnect) as subscription:
        begin = f"id: {subscription.begun}\n: listening\n\n".encode()
        try:
            await response.prepare(request)
            await _send(response, begin + b"".join(event.text for event in subscription.missed))
            while (text := await _next(subscription.queue)) is not None and await allowed():
                await _send(response, text)
        except (ConnectionError, TimeoutError):
            disconnect()
    return response


async def _next(queue: asyncio.Queue[Event | None]) -> bytes | None:
    """The next event's text, or a comment after ``HEARTBEAT`` seconds; None at the end."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            event = await queue.get()
    except TimeoutError:
        return b": still here\n\n"
    return event.text if event else None


async def _send(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(SEND):
        await response.write(text)
