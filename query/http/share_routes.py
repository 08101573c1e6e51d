"""Handles shares over HTTP: who may review makes links to single moments, which are opened without a token."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from footage.query.clips.service import NotFound
from footage.query.export.manifest import MomentIdText
from footage.query.http.app_keys import AUDIT_LOG, EXPORT_CLIPS, SHARES
from footage.query.http.auth import identity, require_visible
from footage.query.http.limits import FileResponse
from footage.query.http.mark_routes import require_record
from footage.query.http.page_routes import send_page_file
from footage.query.http.page_schemas import SharedOut, ShareOut, SharesOut
from footage.query.http.routing import Params, Route
from footage.query.http.shares import Share
from footage.query.values.ids import MomentId
from footage.query.values.times import parse_duration
from footage.stream.errors import InvalidInput
from footage.stream.files import frame_at

MAX_SHARED = timedelta(hours=1)
"""Longest moment that can be shared: clips are no longer."""
SECRET = r"[\w-]{43}"  # a pattern  # nosec B105
NO_STORE = {"Cache-Control": "no-store"}
"""Of what a link shows, so that nothing of it stays when it is withdrawn."""


class ShareIn(BaseModel):
    """A moment to share."""

    model_config = ConfigDict(extra="forbid")

    moment: MomentIdText
    expires: str = Field("7d", max_length=20, description="how long the link is valid: 12h, 7d; at most 90d")
    note: str = Field("", max_length=500, description="for whom it is; the link does not show it")


async def add_share(request: web.Request, given: ShareIn) -> ShareOut:
    """Share a moment: make a link that shows its picture and clip without a token, until it expires."""
    moment = MomentId.parse(given.moment)
    require_visible(request, moment.camera)
    if moment.end - moment.start > MAX_SHARED:
        raise InvalidInput("moment: at most an hour can be shared; choose a shorter moment")
    lasts = timedelta(seconds=min(parse_duration(given.expires), 1e9))
    await require_record(request, moment)
    secret, share = await request.app[SHARES].add(moment, lasts, given.note, identity(request))
    return _describe(share, secret)


async def shares(request: web.Request, _: Params) -> SharesOut:
    """List the shares of the visible cameras that have not expired."""
    can_see = identity(request).can_see
    found = [s for s in await request.app[SHARES].all() if can_see(s.moment_id.camera)]
    return SharesOut(shares=[_describe(share) for share in found])


async def remove_share(request: web.Request, _: Params) -> ShareOut:
    """Withdraw a share: an own one, or as admin any."""
    id, caller = request.match_info["id"], identity(request)
    found = [s for s in await request.app[SHARES].all() if s.id == id and caller.can_see(s.moment_id.camera)]
    if not found:
        raise NotFound("there is no such share, or no longer")
    if found[0].by != caller.name and not caller.has_role("admin"):
        raise web.HTTPForbidden(reason=f"this share is of '{found[0].by}'; an admin may withdraw it")
    await request.app[SHARES].remove(id)
    return _describe(found[0])


async def share_page(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the page of a link; it asks for the moment itself, and says if the link is no longer valid."""
    return send_page_file(request, "share.html")


async def shared_moment(request: web.Request, _: Params) -> SharedOut:
    """Get camera and times of the moment of a link."""
    share = await _find(request, "open_share")
    m = share.moment_id
    return SharedOut(camera=m.camera, start=m.start, end=m.end, best=m.best, expires=share.expires)


async def shared_picture(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the picture of the moment of a link."""
    share = await _find(request, "shared_picture")
    image = await request.app[EXPORT_CLIPS].get_frame(share.moment_id.frame)
    body = await asyncio.to_thread(frame_at.encode_jpeg, image)
    return web.Response(body=body, content_type="image/jpeg", headers=NO_STORE)


async def shared_clip(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the clip of the moment of a link; byte ranges are supported."""
    share = await _find(request, "shared_clip")
    clip = await request.app[EXPORT_CLIPS].get_clip(share.moment_id, play=True)
    headers = {"Content-Type": "video/mp4", "Content-Disposition": 'inline; filename="footage.mp4"'}
    return FileResponse(clip.path, headers=headers | NO_STORE)


def _describe(share: Share, secret: str | None = None) -> ShareOut:
    m = share.moment_id
    more = {"camera": m.camera, "start": m.start, "end": m.end, "url": f"/s/{secret}" if secret else None}
    return ShareOut.model_validate(share.model_dump() | more)


async def _find(request: web.Request, what: str) -> Share:
    """The share of the link in the path; that it was opened is in the audit log, once a minute, without its secret.

    Raises:
        NotFound: there is none, or it has expired or was withdrawn: which, nobody is told.
    """
    share = await request.app[SHARES].find(request.match_info["secret"])
    if share is None:
        raise NotFound("this link is not valid, or no longer")
    if (log := request.app[AUDIT_LOG]) and request.app[SHARES].is_opened_anew(share, what):
        await log.append(f"share:{share.id}", what, {"moment": share.moment}, 1)
    return share


def _public(path: str, handler: object, answer: type[BaseModel] | str, **more: object) -> Route:
    return Route("GET", f"/s/{{secret}}{path}", handler, answer, role=None, path_pattern=SECRET, **more)  # type: ignore[arg-type]


ROUTES = (
    Route(
        "POST",
        "/api/shares",
        add_share,
        ShareOut,
        errors=(404, 503),
        body=ShareIn,
        role="review",
        count_results=lambda *_: 1,
        at_once=(2, 16),
    ),
    Route("GET", "/api/shares", shares, SharesOut, errors=(503,), role="review"),
    Route(
        "DELETE",
        "/api/shares/{id}",
        remove_share,
        ShareOut,
        errors=(404, 503),
        path_pattern="[0-9a-f]{16}",
        role="review",
        count_results=lambda *_: 1,
    ),
    _public("", share_page, "text/html", statuses=(200, 304), head=True),
    _public("/moment.json", shared_moment, SharedOut, errors=(404, 503)),
    _public("/picture.jpg", shared_picture, "image/jpeg", errors=(404, 409, 503), head=True, at_once=(2, 16)),
    _public(
        "/clip.mp4",
        shared_clip,
        "video/mp4",
        errors=(404, 409, 416, 503),
        statuses=(200, 206),
        head=True,
        at_once=(1, 8),
    ),
)
