"""Streams alerts to an HTTP client as server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from aiohttp import web

from footage.query.watches.alert_stream import AlertEvent, AlertStream, CameraFilter

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that a dead connection is noticed."""
SEND_TIMEOUT = 10.0
"""Seconds in which a client must accept a write."""
PRESENCE_CHECK = 1.0
"""Seconds after which it is noticed that a client has left, so that another can take its place."""
MAX_LISTENERS = 64
"""Most streams at a time."""
SEND_BUFFER = 1 << 16
"""Bytes that the system holds for a client that does not read; its own choice would grow to megabytes."""


async def stream(
    request: web.Request,
    alerts: AlertStream,
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
            _limit_buffer(request)
            await response.prepare(request)
            await _send(response, begin + b"".join(event.text for event in subscription.missed))
            while (text := await _next_text(request, subscription.queue)) is not None and await is_authorized():
                await _send(response, text)
        except (ConnectionError, TimeoutError):
            disconnect()
    return response


def _limit_buffer(request: web.Request) -> None:
    connection = request.transport.get_extra_info("socket") if request.transport else None
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)


async def _next_text(request: web.Request, queue: asyncio.Queue[AlertEvent | None]) -> bytes | None:
    """The next event, or a comment after ``HEARTBEAT`` seconds; None at the end, or once the client has left."""
    left = HEARTBEAT
    while left > 0 and request.transport is not None:
        try:
            async with asyncio.timeout(min(left, PRESENCE_CHECK)):
                event = await queue.get()
        except TimeoutError:
            left -= PRESENCE_CHECK
        else:
            return event.text if event else None
    return b": still here\n\n" if request.transport is not None else None


async def _send(response: web.StreamResponse, text: bytes) -> None:
    async with asyncio.timeout(SEND_TIMEOUT):
        await response.write(text)
