"""Listens for HTTP: a bounded number of connections, none of which may stall for long."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Sequence
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from footage.query.http.limits import RETRY_AFTER, busy
from footage.query.http.schemas import ErrorOut

MAX_CONNECTIONS = 256
"""Most connections at a time; each takes a file handle, of which the rest of the service needs some, too."""
MAX_REFUSALS = 256
"""Most connections that are being refused with an answer; further ones are closed without."""
MAX_LINE = 1 << 16
"""Longest request line in bytes: 1,000 characters of any script take 12 kB in a URL."""
HEAD_TIMEOUT = 75.0
"""Seconds in which the head of a request must have arrived, and after which an idle connection is closed; longer than
reverse proxies keep theirs open."""
STALL_TIMEOUT = 60.0
"""Seconds without progress after which what is sent is given up: the client does not read, or is gone (RFC 5482)."""
LINGER = 5.0
"""Seconds for which the rest of a refused body is read, so that the client reads the refusal."""
KEEPALIVE_IDLE, KEEPALIVE_INTERVAL = 60, 15
"""Seconds after which an idle connection is probed, and between probes."""

_logger = logging.getLogger("footage.http")


async def start_server(
    application: web.Application, host: str, port: int, sockets: Sequence[socket.socket] = ()
) -> web.AppRunner:
    """Serve an application. The caller calls ``cleanup`` of the result.

    Args:
        sockets: ones that listen already, which are used in place of the address and closed with the result.

    Raises:
        OSError: the port is taken, or the address is not of this machine.
    """
    runner = web.AppRunner(
        application,
        access_log=None,
        logger=_logger,
        shutdown_timeout=2.0,
        max_line_size=MAX_LINE,
        keepalive_timeout=HEAD_TIMEOUT,
        lingering_time=LINGER,
        auto_decompress=False,  # no client compresses requests, and a small body could become a large one
    )
    await runner.setup()
    try:
        for listening in sockets or (None,):
            await _BoundedSite(runner, host, port, listening).start()
    except BaseException:
        await runner.cleanup()
        raise
    return runner


def keep_listening(runner: web.AppRunner) -> list[socket.socket]:
    """Return what a server listens with, to outlast its ``cleanup``: who connects then waits for the next server."""
    return [listener.dup() for site in runner.sites if isinstance(site, _BoundedSite) for listener in site.listeners()]


class _BoundedSite(web.TCPSite):
    """A TCP site that answers 503 when it has too many connections."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, listening: socket.socket | None) -> None:
        super().__init__(runner, host, port)
        self._address: dict[str, Any] = {"sock": listening} if listening else {"host": host, "port": port}

    def listeners(self) -> Sequence[socket.socket]:
        """Return the sockets that it listens with."""
        assert isinstance(self._server, asyncio.Server)  # it was started
        return self._server.sockets

    async def start(self) -> None:
        await web.BaseSite.start(self)
        handlers = self._runner.server
        assert handlers is not None  # the runner is set up
        limit = MAX_CONNECTIONS
        self._server = await asyncio.get_running_loop().create_server(
            lambda: handlers() if len(handlers.connections) < limit else _Refusal(),
            backlog=self._backlog,
            start_serving=False,
            **self._address,
        )
        for listener in self.listeners():
            _set_timeouts(listener)
        await self._server.start_serving()


class _Refusal(asyncio.Protocol):
    """Answers 503, whatever is asked, and closes the connection."""

    open = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        _Refusal.open += 1
        if _Refusal.open > MAX_REFUSALS:
            transport.abort()
            return
        body = ErrorOut(error=busy().reason, hint=f"try again in {RETRY_AFTER} s", status=503).model_dump_json()
        head = f"HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER}\r\nConnection: close\r\n"
        head += f"Content-Type: application/json; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
        transport.write((head + body).encode())
        transport.write_eof()
        asyncio.get_running_loop().call_later(1.0, transport.abort)  # what it sends until then is ignored

    def connection_lost(self, _: Exception | None) -> None:
        _Refusal.open -= 1


def _set_timeouts(listener: socket.socket) -> None:
    """Set what the connections inherit: the system gives up what is not acknowledged, and probes what is idle."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    values = {
        "TCP_KEEPIDLE": KEEPALIVE_IDLE,
        "TCP_KEEPINTVL": KEEPALIVE_INTERVAL,
        "TCP_USER_TIMEOUT": round(STALL_TIMEOUT * 1000),
    }
    for name, value in values.items():
        if hasattr(socket, name):  # not everywhere
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _is_fault_of_ours(record: logging.LogRecord) -> bool:
    """Whether a record is about more than a client that does not speak HTTP: anyone could fill the log with those."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_logger.addFilter(_is_fault_of_ours)
