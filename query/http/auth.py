"""Authenticates requests, and checks their role and cameras. On loopback no token is needed while none exists."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from footage.indexer.store.errors import StoreError
from footage.query.http.app_keys import AUTHENTICATOR, CATALOG, LIVE, MISCONFIGURED, SESSIONS, WORKER
from footage.query.http.camera_status import published_cameras
from footage.query.http.origin import cookie_name, refuse_other_sites, requested_host, require_own_page
from footage.query.http.service_auth import authenticate_service
from footage.query.http.sessions import Session
from footage.query.http.tokens import LOCAL_NAME, Authenticator, Identity, Role
from footage.query.values.ids import MomentId
from footage.query.values.names import describe_unknown
from footage.stream.errors import USAGE, FootageError, InvalidInput

IDENTITY: web.RequestKey[Identity] = web.RequestKey("identity", Identity)
"""The key under which a request holds its caller."""
IDENTIFY_SECONDS = 0.3
"""Seconds in which the catalog must tell who the caller of a route without a token is."""
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
"""Set on a request that was authenticated by its cookie."""


class UnsafeBind(FootageError):
    """The service would be open to the network without a token; it does not start."""

    exit_code = USAGE


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_bind(host: str, token: str | bool | None) -> None:
    """Refuse to serve the network without a token.

    Args:
        token: the token of the settings, or whether the catalog has any.

    Raises:
        UnsafeBind: ``host`` is not a loopback address and there is no token.
    """
    if not token and not is_loopback(host):
        raise UnsafeBind(
            f"will not serve on {host} without a token: anyone on the network could watch the cameras; "
            "make one with: footage token add NAME (or set FOOTAGE_TOKEN to a long random text), or serve on 127.0.0.1"
        )


def authenticate_requests(authenticator: Authenticator, public: Collection[tuple[str, str]] = ()) -> Middleware:
    """Middleware that identifies the caller; it answers 401 when a token is needed and no valid one was sent.

    Args:
        public: methods and paths of routes that need no token, as the routes write them.

    What pages of other sites make a browser send is refused. When no token is needed, only requests addressed to this
    machine by name are answered: a page cannot read a local service by pointing its own host name at 127.0.0.1 (DNS
    rebinding).
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        refuse_other_sites(request)
        resource = request.match_info.route.resource
        method = "GET" if request.method == "HEAD" else request.method
        if resource and (method, resource.canonical) in public:
            return await handler(request)
        service = await authenticate_service(request)
        request[IDENTITY] = service or await identify(request, authenticator)
        return await handler(request)

    return middleware


async def identify(request: web.Request, authenticator: Authenticator) -> Identity:
    """The caller of a request, by the token in its header, else by the session in its cookie.

    Raises:
        HTTPUnauthorized: a token is needed, and neither is there.
        HTTPForbidden: a change with a cookie does not come from this service's page; or no token is needed, and the
            request is addressed to another name than this machine's.
    """
    host = requested_host(request)
    if await authenticator.token_required():
        found = await authenticator.authenticate(_bearer_token(request))
        if found is None and hdrs.AUTHORIZATION not in request.headers:
            found = await _identify_by_cookie(request)
        if found is None:
            raise web.HTTPUnauthorized(headers={"WWW-Authenticate": 'Bearer realm="footage"'})
        return found
    if not host.is_loopback:
        raise web.HTTPForbidden(reason=f"without a token only localhost is served, not {host.name!r}")
    return Identity(LOCAL_NAME)


async def try_identify(request: web.Request) -> None:
    """Note the caller of a route that needs no token, where it says who it is, for what it may be told."""
    with suppress(web.HTTPException, StoreError, TimeoutError):
        async with asyncio.timeout(IDENTIFY_SECONDS):
            request[IDENTITY] = await identify(request, request.app[AUTHENTICATOR])


async def _identify_by_cookie(request: web.Request) -> Identity | None:
    sessions, secret = request.app.get(SESSIONS), request.cookies.get(cookie_name(request), "")
    found = await sessions.find(secret) if sessions and secret else None
    if found is None:
        return None
    if request.method not in ("GET", "HEAD"):
        require_own_page(request)
    request[SESSION] = found
    return found.identity


def _bearer_token(request: web.Request) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def identity(request: web.Request) -> Identity:
    """The caller of a request."""
    return request[IDENTITY]


async def is_still_authorized(request: web.Request, authenticator: Authenticator) -> bool:
    """Whether the token of a long request still identifies the same caller: it may have been removed meanwhile."""
    try:
        return await identify(request, authenticator) == identity(request)
    except web.HTTPException:
        return False


def require_role(request: web.Request, role: Role, all_cameras: bool) -> None:
    """Refuse a caller with a lesser role.

    Args:
        all_cameras: also refuse a caller that is limited to some cameras.

    Raises:
        HTTPForbidden: says what is needed.
    """
    caller = identity(request)
    if not caller.has_role(role):
        raise web.HTTPForbidden(reason=f"this needs a token of role {role}; '{caller.name}' has role {caller.role}")
    if all_cameras and caller.cameras:
        raise web.HTTPForbidden(reason=f"this covers all cameras, and '{caller.name}' is limited to some")


def require_visible(request: web.Request, *cameras: str) -> None:
    """Refuse a camera that the caller may not see, whether it exists or not.

    Raises:
        HTTPForbidden: names the camera.
    """
    caller = identity(request)
    if hidden := [c for c in cameras if not caller.can_see(c)]:
        raise web.HTTPForbidden(reason=f"'{caller.name}' may not see camera {hidden[0]!r}")


def visible_moment(request: web.Request) -> MomentId:
    """The moment in the path.

    Raises:
        HTTPForbidden: the caller may not see its camera.
    """
    moment = MomentId.parse(request.match_info["id"])
    require_visible(request, moment.camera)
    return moment


def visible_cameras(request: web.Request, cameras: Sequence[str]) -> tuple[str, ...]:
    """The requested cameras; if none is requested, the cameras that the caller is limited to (none: all).

    Raises:
        HTTPForbidden: the caller may not see a requested camera.
    """
    require_visible(request, *cameras)
    return tuple(cameras) or identity(request).cameras


async def _live_cameras(app: web.Application) -> set[str]:
    """The live cameras, of which nothing may be indexed yet: one that was just added, or that cannot be reached."""
    live = app[LIVE]
    here = {camera.name for camera in live.cameras()} if live else set()
    elsewhere = set() if live and not app[WORKER] else await published_cameras(app[CATALOG])
    misconfigured: Mapping[str, str] = app[MISCONFIGURED]
    return here | elsewhere | set(misconfigured)


async def require_known(request: web.Request, parameter: str, cameras: Sequence[str]) -> None:
    """Refuse a camera that there is not; the message lists only cameras that the caller may see.

    Raises:
        ValueError: names ``parameter`` and the camera.
    """
    if not cameras:
        return
    known = sorted({c.camera for c in await request.app[CATALOG].cameras()} | await _live_cameras(request.app))
    if message := describe_unknown("camera", cameras, filter(identity(request).can_see, known)):
        raise InvalidInput(f"{parameter}: {message}")
