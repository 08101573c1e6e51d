"""Who may ask: loopback needs no token; anything else does."""

from __future__ import annotations

import hmac
import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no token: they tell nothing but whether the service lives."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


class Unsafe(Exception):
    """The service would be open to the network without a token; it does not start."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check(host: str, token: str | None) -> None:
    """Refuse to serve the network without a token.

    Raises:
        Unsafe: ``host`` is not a loopback address and there is no token.
    """
    if not token and not is_loopback(host):
        raise Unsafe(
            f"will not serve on {host} without a token: anyone on the network could watch the cameras; "
            "set FOOTAGE_TOKEN to a long random text, or serve on 127.0.0.1"
        )


def guard(token: str | None) -> Middleware:
    """Middleware. With a token: 401 without it. Without one: only requests addressed to this machine by name.

    The second keeps a web page from reading a local service by pointing its own host name at 127.0.0.1
    (DNS rebinding).
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        if token is None:
            name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
            if name not in LOCAL_NAMES:
                raise web.HTTPForbidden(reason=f"without a token only localhost is served, not {name!r}")
        elif not hmac.compare_digest(_sent(request).encode(), token.encode()):
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="footage"'})
        return await handler(request)

    return middleware


def _sent(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""
