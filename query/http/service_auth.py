"""Authenticates requests of other services of the cluster, which are signed; they may get one camera's footage."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from footage.query.http.app_keys import PEERS
from footage.query.http.tokens import Identity
from footage.query.peers.signature import SCHEME, BadSignature, SignedRequest
from footage.query.values.ids import FrameId, MomentId

FROM_SERVICE: web.RequestKey[bool] = web.RequestKey("from_service", bool)
"""Set on a request of another service: it is answered from this machine's files only, and never passed on."""
CAMERAS: dict[str, Callable[[str], str]] = {
    "/api/moments/{id}": lambda id: MomentId.parse(id).camera,
    "/api/moments/{id}/clip.mp4": lambda id: MomentId.parse(id).camera,
    "/api/frames/{id}.jpg": lambda id: FrameId.parse(id).camera,
}
"""The routes that services use, each with the camera of its path. No other route answers to a signature."""


async def authenticate_service(request: web.Request) -> Identity | None:
    """The service that signed a request, limited to the camera of the path; None for a request without a signature.

    Whether the caller of that service may see the camera was checked there: the signature vouches for it.

    Raises:
        HTTPUnauthorized: the signature is not valid.
        HTTPForbidden: it is, and the route is not one for services.
    """
    peers = request.app.get(PEERS)
    try:
        signed = SignedRequest.parse(request.headers.get("Authorization", ""))
        if signed is None or peers is None:
            return None
        if not peers.directory.address:
            raise BadSignature("this service is not announced in the cluster yet")
        await _verify(request, signed)
    except BadSignature as error:
        raise web.HTTPUnauthorized(reason=str(error), headers={"WWW-Authenticate": SCHEME}) from None
    resource = request.match_info.route.resource
    camera = CAMERAS.get(resource.canonical if resource else "")
    if camera is None:
        raise web.HTTPForbidden(reason="services ask each other for footage only")
    request[FROM_SERVICE] = True
    return Identity(f"service:{signed.name}", "review", (camera(request.match_info["id"]),))


async def _verify(request: web.Request, signed: SignedRequest) -> None:
    """Verify a signature by the announced key; where it fails by one that was just read: its service may be new."""
    peers = request.app[PEERS]
    assert peers
    asked = (peers.directory.address, request.method, request.rel_url.raw_path_qs)
    known = (await peers.directory.services()).get(signed.name)
    try:
        if known:
            signed.verify(known.key, *asked)
            return
    except BadSignature:
        pass
    fresh = (await peers.directory.services_now()).get(signed.name)
    if fresh is None:
        raise BadSignature("no service of this name is announced in the cluster")
    signed.verify(fresh.key, *asked)


def is_from_service(request: web.Request) -> bool:
    """Whether another service sent the request."""
    return FROM_SERVICE in request
