"""Lists all routes of the HTTP service, and handles those of moments, frames, cameras, health, audit and metrics."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import cache
from typing import Literal
from urllib.parse import quote

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from footage.indexer.pipeline.refused import RefusedSummary
from footage.indexer.store.errors import StoreUnreachable
from footage.query.clips.boxes import draw_detections, draw_regions
from footage.query.clips.service import NotFound, NotHere
from footage.query.http.app_keys import (
    AUDIT_LOG,
    AUTHENTICATOR,
    CATALOG,
    CLIP_SERVICE,
    CLOCK_PROBLEM,
    DETECTOR,
    EXPORT_CLIPS,
    HEALTH,
    LIVE,
    METRICS,
    MISCONFIGURED,
    REFUSED,
    REVIEWS,
    STORE,
    SUPERVISOR,
    WORKER,
)
from footage.query.http.auth import identity, require_visible, try_identify, visible_moment
from footage.query.http.camera_routes import ROUTES as CAMERA_ROUTES
from footage.query.http.camera_status import failing_stages, list_cameras
from footage.query.http.disclosure import details_for, shown_problem
from footage.query.http.export_routes import ROUTES as EXPORT_ROUTES
from footage.query.http.forward import Forwarding
from footage.query.http.limits import FileResponse
from footage.query.http.mark_routes import ROUTES as MARK_ROUTES
from footage.query.http.page_routes import ROUTES as PAGE_ROUTES
from footage.query.http.routing import Params, Route, TimeParam, document
from footage.query.http.schemas import AuditOut, CamerasOut, MarkOut, MomentInfo
from footage.query.http.search_routes import ROUTES as SEARCH_ROUTES
from footage.query.http.service_auth import is_from_service
from footage.query.http.session_routes import ROUTES as SESSION_ROUTES
from footage.query.http.share_routes import ROUTES as SHARE_ROUTES
from footage.query.http.status_routes import ROUTES as STATUS_ROUTES
from footage.query.http.timeline_routes import ROUTES as TIMELINE_ROUTES
from footage.query.http.watch_routes import ROUTES as WATCH_ROUTES
from footage.query.peers.remote import (
    CLIP_HEADER,
    CLIP_PATIENCE,
    IMAGE_PATIENCE,
    LOSSLESS,
    PRECISE_PATIENCE,
    encode_clip_header,
    encode_png,
)
from footage.query.values.ids import FRAME_PATTERN, MOMENT_PATTERN, FrameId
from footage.query.values.times import format_time
from footage.stream.errors import InvalidInput
from footage.stream.files import frame_at
from footage.stream.frame import Image

DETECTOR_SIDE = 480
"""Length in pixels of the shorter side of what the detector sees, at least."""
READY_SECONDS = 0.6
"""Seconds within which the index must answer; whoever asks whether a service is ready waits a second or so."""


class FrameParams(Params):
    """Query parameters of a frame's picture."""

    side: int | None = Field(None, ge=16, le=4320, description="length of the shorter side in pixels")
    boxes: bool | None = Field(
        None,
        description="draw boxes: of what a detector finds, and of the region that moved; false: none; default: the "
        "region if the id has one",
    )


class ClipParams(Params):
    """Query parameters of a clip."""

    pad: float = Field(2.0, ge=0, le=600, description="seconds before and after")
    precise: bool = Field(False, description="re-encode, exact to the frame")
    play: bool = Field(False, description="re-encode what not every browser plays, like H.265")


class AuditParams(Params):
    """Query parameters of the audit log."""

    start: TimeParam | None = Field(None, alias="from", description="start of the time range; ISO 8601, or -7d")
    end: TimeParam | None = Field(None, alias="to", description="end of the time range (exclusive)")
    limit: int = Field(100, ge=1, le=10000, description="largest number of entries in the answer")


class Health(BaseModel):
    """The service is up, or ready."""

    ok: Literal[True] = True


class Ready(Health):
    """Searches are answered; ``degraded`` says in sentences what is not as it should be."""

    degraded: list[str] = Field(default_factory=list, description="what is wrong although searches are answered")


async def one_moment(request: web.Request, _: Params) -> MomentInfo:
    """Decode a moment's id, and check whether its footage still exists."""
    found = visible_moment(request)
    clip_service = request.app[CLIP_SERVICE if is_from_service(request) else EXPORT_CLIPS]
    missing = await clip_service.explain_missing(found.frame)
    codec, playable, clock = "", True, ""
    if not missing:
        codec, playable, clock = await request.app[CLIP_SERVICE].describe_video(found.frame)
    review = (await request.app[REVIEWS].of([found])).get(found)
    return MomentInfo(
        id=str(found),
        camera=found.camera,
        start=format_time(found.start),
        end=format_time(found.end),
        best=format_time(found.best),
        frame=str(found.frame),
        footage=not missing,
        missing=missing,
        codec=codec,
        playable=playable,
        clock=clock,
        mark=MarkOut.of(review.mark) if review else None,
        exported=bool(review and review.exported),
    )


async def clip_file(request: web.Request, params: ClipParams) -> web.StreamResponse | Forwarding:
    """Get the clip of a moment as an MP4 file; byte ranges are supported."""
    found = visible_moment(request)
    if found.end - found.start > timedelta(hours=1):
        raise InvalidInput("clips are at most an hour long; choose a shorter moment")
    try:
        clip = await request.app[CLIP_SERVICE].get_clip(found, precise=params.precise, pad=params.pad, play=params.play)
    except NotHere as missing:
        patience = PRECISE_PATIENCE if params.precise or params.play else CLIP_PATIENCE
        return Forwarding(found.frame, missing, patience)
    name = f"{found.camera}-{found.start:%Y%m%dT%H%M%SZ}.mp4"
    headers = {
        "Content-Type": "video/mp4",
        "Content-Disposition": f"inline; filename*=UTF-8''{quote(name, safe='')}",
        "X-Footage-Requested-Start": format_time(clip.requested_start),
        "X-Footage-Start": format_time(clip.start),
        "X-Footage-End": format_time(clip.end),
        "X-Footage-Spans": ",".join(f"{format_time(start)}/{format_time(end)}" for start, end in clip.shown),
        "X-Footage-Precise": str(clip.precise).lower(),
        "X-Footage-Codec": clip.codec,
        "X-Footage-Transcoded": str(clip.precise).lower(),
    }
    if is_from_service(request):
        headers[CLIP_HEADER] = encode_clip_header(clip)
    return FileResponse(clip.path, headers=headers)


async def frame_picture(request: web.Request, params: FrameParams) -> web.StreamResponse | Forwarding:
    """Get the picture of a frame as JPEG, with boxes if they are asked for."""
    frame = FrameId.parse(request.match_info["id"])
    require_visible(request, frame.camera)
    lossless = is_from_service(request) and request.headers.get("Accept") == LOSSLESS
    try:
        if params.boxes and not lossless:
            image = await _draw_boxes(request, frame, params.side)
        else:
            drawn = not lossless and params.boxes is None
            image = await request.app[CLIP_SERVICE].get_frame(frame, params.side, boxes=drawn)
    except NotHere as missing:
        return Forwarding(frame, missing, IMAGE_PATIENCE)
    if lossless:
        return web.Response(body=await asyncio.to_thread(encode_png, image), content_type=LOSSLESS)
    body = await asyncio.to_thread(frame_at.encode_jpeg, image)
    return web.Response(body=body, content_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


async def _draw_boxes(request: web.Request, frame: FrameId, side: int | None) -> Image:
    """The image of a frame with boxes around what the detector finds; it sees more than a small picture shows."""
    whole = await request.app[CLIP_SERVICE].get_frame(frame, max(side, DETECTOR_SIDE) if side else None, boxes=False)

    def draw() -> Image:
        found = request.app[DETECTOR].detect(whole)
        image = frame_at.shrink(whole, side) if side else whole
        found.xyxy *= image.shape[1] / whole.shape[1]
        image = draw_detections(image, found)
        return draw_regions(image, [frame.region]) if frame.region else image

    return await asyncio.to_thread(draw)


async def cameras(request: web.Request, _: Params) -> CamerasOut:
    """List all cameras with what is indexed of them and their live status."""
    app = request.app
    refused = await _refused(request)
    parts = (app[STORE], app[CATALOG], app[LIVE], identity(request).can_see, app[WORKER], app[MISCONFIGURED])
    listed = await list_cameras(*parts, app[SUPERVISOR], refused.cameras)
    if not identity(request).cameras:  # the count is of all
        app[METRICS].records.set(sum(camera.records for camera in listed.cameras))
    return listed.model_copy(
        update={"problem": await shown_problem(request) or refused.describe() or app[CLOCK_PROBLEM]()}
    )


async def _refused(request: web.Request) -> RefusedSummary:
    """What is set aside because the store refused it."""
    records = request.app[REFUSED]
    return await records.summary() if records else RefusedSummary()


async def healthz(request: web.Request, _: Params) -> Health:  # noqa: ARG001
    """Check that the process answers."""
    return Health()


async def readyz(request: web.Request, _: Params) -> Ready:
    """Check that the background stages run, the store and the catalog answer, the index is whole, the disk has room."""
    await try_identify(request)
    if failing := failing_stages(request.app[SUPERVISOR], request.app[LIVE]):
        raise web.HTTPServiceUnavailable(reason="; ".join(f"{s.stage}: {s.state}: {s.error}" for s in failing))
    try:
        async with asyncio.timeout(READY_SECONDS):
            await request.app[CATALOG].bound_space()
            damage = await request.app[HEALTH].damage()
    except TimeoutError:
        raise StoreUnreachable(f"the index did not answer within {READY_SECONDS:g} s") from None
    request.app[METRICS].damaged.set(bool(damage))
    if problem := await shown_problem(request):
        raise web.HTTPServiceUnavailable(reason=problem)
    live, refused = request.app[LIVE], await _refused(request)
    why = details_for(request, live.problem, StoreUnreachable.public) if live else ""
    waiting = f"new records wait: {why}" if why else ""
    clock = request.app[CLOCK_PROBLEM]()
    return Ready(degraded=[text for text in (waiting, refused.describe(), clock) if text])


async def audit(request: web.Request, params: AuditParams) -> AuditOut:
    """List the entries of the audit log, newest first."""
    log = request.app[AUDIT_LOG]
    if log is None:
        raise NotFound("this service keeps no audit log: the setting audit is off")
    return await log.entries(params.start, params.end, params.limit)


async def metrics(request: web.Request, _: Params) -> web.StreamResponse:
    """Get the metrics in the text format of Prometheus."""
    request.app[METRICS].set_refused(await _refused(request))
    return web.Response(
        body=generate_latest(request.app[METRICS].registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
    )


async def openapi(request: web.Request, _: Params) -> web.StreamResponse:
    """Get this OpenAPI document."""
    return web.json_response(text=_openapi(await request.app[AUTHENTICATOR].token_required()))


@cache
def _openapi(token_required: bool) -> str:
    return json.dumps(document(ROUTES, token_required))


ROUTES = (
    *PAGE_ROUTES,
    *SESSION_ROUTES,
    *STATUS_ROUTES,
    *TIMELINE_ROUTES,
    *SEARCH_ROUTES,
    Route("GET", "/api/moments/{id}", one_moment, MomentInfo, errors=(503,), path_pattern=MOMENT_PATTERN),
    Route(
        "GET",
        "/api/moments/{id}/clip.mp4",
        clip_file,
        "video/mp4",
        ClipParams,
        errors=(404, 409, 416, 503),
        statuses=(200, 206),
        path_pattern=MOMENT_PATTERN,
        role="review",
        count_results=lambda *_: 1,
        at_once=(2, 16),
        head=True,
    ),
    Route(
        "GET",
        "/api/frames/{id}.jpg",
        frame_picture,
        "image/jpeg",
        FrameParams,
        errors=(404, 409, 503),
        path_pattern=FRAME_PATTERN,
        at_once=(4, 64),
        head=True,
    ),
    Route("GET", "/api/cameras", cameras, CamerasOut, errors=(503,)),
    Route("GET", "/healthz", healthz, Health, role=None),
    Route("GET", "/readyz", readyz, Ready, errors=(503,), role=None),
    Route("GET", "/api/audit", audit, AuditOut, AuditParams, errors=(404,), role="admin", all_cameras=True),
    Route("GET", "/metrics", metrics, "text/plain", role="admin", all_cameras=True),
    Route("GET", "/openapi.json", openapi, "application/json"),
    *EXPORT_ROUTES,
    *MARK_ROUTES,
    *SHARE_ROUTES,
    *CAMERA_ROUTES,
    *WATCH_ROUTES,
)
