"""Who may ask what: loopback needs no token while there is none; anything else does."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from footage.query.http.tokens import LOCAL, Keys, Role, Who

OPEN = frozenset({"/healthz", "/readyz"})
"""Paths that need no token: they tell nothing but whether the service lives."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
WHO: web.RequestKey[Who] = web.RequestKey("who", Who)
"""Under this key a request holds who asks."""


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


def check(host: str, token: str | bool | None) -> None:
    """Refuse to serve the network without a token.

    Args:
        token: that of the settings, or whether there are others.

    Raises:
        Unsafe: ``host`` is not a loopback address and there is no token.
    """
    if not token and not is_loopback(host):
        raise Unsafe(
            f"will not serve on {host} without a token: anyone on the network could watch the cameras; "
            "make one with: footage token add NAME (or set FOOTAGE_TOKEN to a long random text), or serve on 127.0.0.1"
        )


def guard(keys: Keys) -> Middleware:
    """Middleware: who asks, as ``who`` tells handlers. 401 where a token is needed and none that is known was sent.

    Where none is needed only requests addressed to this machine by name are answered. That keeps a web page from
    reading a local service by pointing its own host name at 127.0.0.1 (DNS rebinding).
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN:
            return await handler(request)
        request[WHO] = await _asks(request, keys)
        return await handler(request)

    return middleware


async def _asks(request: web.Request, keys: Keys) -> Who:
    if await keys.asked():
        found = await keys.who(_sent(request))
        if found is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="footage"'})
        return found
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    if name not in LOCAL_NAMES:
        raise web.HTTPForbidden(reason=f"without a token only localhost is served, not {name!r}")
    return Who(LOCAL)


def _sent(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def who(request: web.Request) -> Who:
    """Who asks."""
    return request[WHO]


async def still(request: web.Request, keys: Keys) -> bool:
    """Whether the token of a long request still stands for the same: it may have been removed since."""
    try:
        return await _asks(request, keys) == who(request)
    except web.HTTPException:
        return False


def allow(request: web.Request, role: Role, whole: bool = False) -> None:
    """Refuse who has a lesser role, or, for what tells of all cameras at once, is limited to some.

    Raises:
        HTTPForbidden: with what would be needed.
    """
    asks = who(request)
    if not asks.may(role):
        raise web.HTTPForbidden(reason=f"this needs a token of role {role}; '{asks.name}' has role {asks.role}")
    if whole and asks.cameras:
        raise web.HTTPForbidden(reason=f"this tells of all cameras, and '{asks.name}' is limited to some")


def seen(request: web.Request, *cameras: str) -> None:
    """Refuse a camera that who asks may not see, whether it is there or not.

    Raises:
        HTTPForbidden: names it.
    """
    asks = who(request)
    if hidden := [c for c in cameras if not asks.sees(c)]:
        raise web.HTTPForbidden(reason=f"'{asks.name}' may not see camera {hidden[0]!r}")


def narrowed(request: web.Request, cameras: Sequence[str]) -> tuple[str, ...]:
    """The cameras that were asked for; none asked for: those that who asks may see, where that is limited.

    Raises:
        HTTPForbidden: one that was asked for is not among these.
    """
    seen(request, *cameras)
    return tuple(cameras) or who(request).cameras
