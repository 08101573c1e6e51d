"""Streams alerts to an HTTP client as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from footage.query.watches.alerts import AlertEvent, Alerts, CameraFilter

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that a dead connection is noticed."""
SEND_TIMEOUT = 10.0
"""Seconds in which a client must accept a write."""


async def stream(
    request: web.Request,
    alerts: Alerts,
    last: int | None,
    can_see: CameraFilter,
    is_authorized: Callable[[], Awaitable[bool]],
) -> web.StreamResponse:
    """Stream events to one client until it disconnects, beginning with the events after ``last`` in the history.

    Args:
        can_see: whether the client may see a camera.
        is_authorized: whether the client's token is still valid; called before each event and heartbeat.
    """

    def disconnect() -> None:
        if request.transport:
            request.transport.abort()

    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    response.headers["X-Accel-Buffering"] = "no"  # nginx would hold events back
    with alerts.subscribe(last, can_see, disconnect) as subscription:
        begin = f"id: {subscription.resume_from}\n: listening\n\n".encode()
        try:
            await response.prepare(request)
            await _send(response, begin + b"".join(event.text for event in subscription.missed))
            while (text := await _next_text(subscription.queue)) is not None and await is_authorized():
                await _send(response, text)
        except (ConnectionError, TimeoutError):
            disconnect()
    return response


async def _next_text(queue: asyncio.Queue[AlertEvent | None]) -> bytes | None:
    """The next event's text, or a comment after ``HEARTBEAT`` seconds; None at the end."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            event = await queue.get()
    except TimeoutError:
        return b": still here\n\n"
    return event.text if event else None


async def _send(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(SEND_TIMEOUT):
        await response.write(text)
