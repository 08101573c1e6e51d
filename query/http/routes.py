"""What can be asked over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from urllib.parse import quote

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from footage.query.clips.service import Gone
from footage.query.http.auth import seen, who
from footage.query.http.camera_status import overview
from footage.query.http.export_routes import ROUTES as EXPORT_ROUTES
from footage.query.http.keys import AUDIT, CATALOG, CUTTER, KEYS, LIVE, METRICS, STORE, WORKER
from footage.query.http.routing import Params, Route, When, document, serve
from footage.query.http.schemas import AuditOut, CamerasOut, MomentInfo
from footage.query.http.search_routes import ROUTES as SEARCH_ROUTES
from footage.query.http.watch_routes import ROUTES as WATCH_ROUTES
from footage.query.values.ids import FRAME, MOMENT, FrameId, MomentId
from footage.query.values.times import iso
from footage.stream.files import frame_at


class FrameParams(Params):
    """What a frame's picture takes."""

    side: int | None = Field(None, ge=16, le=4320, description="length of the shorter side in pixels")


class ClipParams(Params):
    """What a clip takes."""

    pad: float = Field(2.0, ge=0, le=600, description="seconds before and after")
    precise: bool = Field(False, description="re-encode, exact to the frame")


class AuditParams(Params):
    """What the audit takes."""

    start: When | None = Field(None, alias="from", description="not before; ISO 8601, or -7d")
    end: When | None = Field(None, alias="to", description="before")
    limit: int = Field(100, ge=1, le=10000, description="most entries to answer")


class Health(BaseModel):
    """Whether the service lives, or is ready and why not."""

    ok: Literal[True] = True


def _moment(request: web.Request) -> MomentId:
    """The moment of the path, if it may be seen."""
    found = MomentId.parse(request.match_info["id"])
    seen(request, found.camera)
    return found


async def one_moment(request: web.Request, _: Params) -> MomentInfo:
    """What a moment's id stands for."""
    found = _moment(request)
    return MomentInfo(
        id=str(found),
        camera=found.camera,
        start=iso(found.start),
        end=iso(found.end),
        best=iso(found.best),
        frame=str(found.frame),
        footage=await request.app[CUTTER].holds(found.frame),
    )


async def clip_file(request: web.Request, params: ClipParams) -> web.StreamResponse:
    """A moment as an MP4 file; answers byte ranges."""
    found = _moment(request)
    if found.end - found.start > timedelta(hours=1):
        raise ValueError("clips are at most an hour long; ask for a shorter moment")
    made = await request.app[CUTTER].clip(found, precise=params.precise, pad=params.pad)
    name = f"{found.camera}-{found.start:%Y%m%dT%H%M%SZ}.mp4"
    told = {
        "Content-Type": "video/mp4",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        "X-Footage-Requested-Start": iso(made.requested_start),
        "X-Footage-Start": iso(made.start),
        "X-Footage-End": iso(made.end),
        "X-Footage-Precise": str(made.precise).lower(),
    }
    return web.FileResponse(made.path, headers=told)


async def frame_picture(request: web.Request, params: FrameParams) -> web.StreamResponse:
    """A frame's picture as JPEG."""
    frame = FrameId.parse(request.match_info["id"])
    seen(request, frame.camera)
    image = await request.app[CUTTER].frame(frame, params.side)
    body = frame_at.jpeg(image)
    return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


async def cameras(request: web.Request, _: Params) -> CamerasOut:
    """Every camera, what is held of it, and what it does now."""
    app = request.app
    return await overview(app[STORE], app[CATALOG], app[LIVE], who(request).sees, app[WORKER])


async def healthz(request: web.Request, _: Params) -> Health:  # noqa: ARG001
    """The process answers."""
    return Health()


async def readyz(request: web.Request, _: Params) -> Health:
    """The store and the catalogue answer."""
    await request.app[CATALOG].cameras()
    request.app[METRICS].records.set(await request.app[STORE].count())
    return Health()


async def audit(request: web.Request, params: AuditParams) -> AuditOut:
    """Who asked what, newest first."""
    kept = request.app[AUDIT]
    if kept is None:
        raise Gone("no audit is kept here: the setting audit is off")
    return await kept.entries(params.start, params.end, params.limit)


async def metrics(request: web.Request, _: Params) -> web.StreamResponse:
    """Counts, for Prometheus."""
    return web.Response(
        body=generate_latest(request.app[METRICS].registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


async def openapi(request: web.Request, _: Params) -> web.StreamResponse:
    """This document."""
    return web.json_response(document(ROUTES, await request.app[KEYS].asked()))


ROUTES = (
    *SEARCH_ROUTES,
    Route("GET", "/api/moments/{id}", one_moment, MomentInfo, errors=(503,), named=MOMENT),
    Route(
        "GET",
        "/api/moments/{id}/clip.mp4",
        clip_file,
        "video/mp4",
        ClipParams,
        errors=(404, 409, 416, 503),
        statuses=(200, 206),
        named=MOMENT,
        role="review",
        count=lambda *_: 1,
    ),
    Route("GET", "/api/frames/{id}.jpg", frame_picture, "image/jpeg", FrameParams, errors=(404, 409, 503), named=FRAME),
    Route("GET", "/api/cameras", cameras, CamerasOut, errors=(503,)),
    Route("GET", "/healthz", healthz, Health, role=None),
    Route("GET", "/readyz", readyz, Health, errors=(503,), role=None),
    Route("GET", "/api/audit", audit, AuditOut, AuditParams, errors=(404,), role="admin", whole=True),
    Route("GET", "/metrics", metrics, "text/plain", role="admin", whole=True),
    Route("GET", "/openapi.json", openapi, "application/json"),
    *EXPORT_ROUTES,
    *WATCH_ROUTES,
)


def setup(app: web.Application) -> None:
    """Add every route."""
    for route in ROUTES:
        app.router.add_route(route.method, route.path, serve(route))
