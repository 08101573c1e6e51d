"""Answers what a timeline shows: which time was watched, and which pictures there are of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from aiohttp import web
from pydantic import Field

from footage.indexer.store.base import Coverage, Where
from footage.indexer.store.lost_vectors import shown_coverage
from footage.query.http.app_keys import CATALOG, STORE
from footage.query.http.auth import require_known, visible_cameras
from footage.query.http.page_schemas import CoverageAnswerOut, FrameOut, FramesOut
from footage.query.http.routing import Params, Route, TimeParam, require_order
from footage.query.http.schemas import CoverageOut
from footage.query.search.coverage import known_span, scheduled_spans
from footage.query.values.coverage import coarsen
from footage.query.values.ids import FrameId
from footage.query.values.schedule import Schedule
from footage.stream.errors import InvalidInput
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, MICROSECOND

MAX_SPANS = 20_000
"""Most spans in an answer; a finer one is made coarser until it has no more."""
STANDS_FOR = timedelta(seconds=120)
"""Longest time for which a picture stands: longer than any usual interval between records."""


class SpanParams(Params):
    """Query parameters of a time range of some cameras."""

    camera: tuple[str, ...] = Field((), description="only this camera; may be repeated")
    start: TimeParam | None = Field(
        None, alias="from", description="start of the time range; ISO 8601, or -7d; default: of the footage"
    )
    end: TimeParam | None = Field(None, alias="to", description="end of the time range (exclusive)")


class CoverageParams(SpanParams):
    """Query parameters of the coverage."""

    resolution: float = Field(
        0, ge=0, le=86400, description="seconds; shorter spans are joined to what most of their surroundings is"
    )


class FramesParams(SpanParams):
    """Query parameters of a list of frames."""

    at: TimeParam | None = Field(None, description="instead of a range: of each camera what stands for this instant")
    hours: str = Field("", max_length=10, description="only in these hours: 8-18, or 22-6; in the server's time zone")
    days: str = Field("", max_length=40, description="only on these days: mon-fri, or sat,sun")
    limit: int = Field(100, ge=1, le=1000, description="most frames of all cameras together, evenly spread")


async def coverage(request: web.Request, params: CoverageParams) -> CoverageAnswerOut:
    """Get which time was watched, and which was not and why; coarser if ``resolution`` asks for it."""
    require_order(params.start, params.end)
    cameras = await _cameras(request, params)
    start, end = params.start or DISTANT_PAST, params.end or DISTANT_FUTURE  # of a camera without footage, too
    found = await shown_coverage(request.app[CATALOG], cameras, start, end) if cameras else []
    resolution = params.resolution
    spans = _coarsen(found, resolution)
    while len(spans) > MAX_SPANS:
        resolution = max(2 * resolution, 1.0)
        spans = _coarsen(found, resolution)
    rows = [CoverageOut(camera=c.camera, start=c.start, end=c.end, state=c.state.value, cause=c.cause) for c in spans]
    return CoverageAnswerOut(coverage=rows, resolution=resolution)


def _coarsen(found: Sequence[Coverage], seconds: float) -> list[Coverage]:
    return coarsen(found, timedelta(seconds=seconds)) if seconds else list(found)


async def frames(request: web.Request, params: FramesParams) -> FramesOut:
    """List indexed frames of a time range, evenly thinned; or of each camera the one that stands for an instant."""
    if params.at is not None:
        if params.start or params.end or params.hours or params.days:
            raise InvalidInput("at: give an instant or a range, not both")
        return await _frames_at(request, params, params.at)
    schedule = Schedule(params.hours, params.days)
    asked = await _span(request, params)
    if asked is None:
        return FramesOut(frames=[])
    cameras, start, end = asked
    spans: Sequence[tuple[datetime, datetime]] = ((start, end),)
    if schedule:
        spans = await scheduled_spans(request.app[CATALOG], cameras, schedule, start, end)
    share = max(1, params.limit // max(len(cameras), 1))
    found = await request.app[STORE].times(Where(cameras, tuple(spans)), share) if spans else []
    rows = [_frame(one.camera, one.time, one.has_region) for one in found]
    return FramesOut(frames=rows[: params.limit])


async def _frames_at(request: web.Request, params: FramesParams, at: datetime) -> FramesOut:
    """Of each camera that was watched at an instant, the record that stands for it: the last one before."""
    cameras = await _cameras(request, params)
    if not cameras:
        return FramesOut(frames=[])
    end = at + MICROSECOND
    watched = {c.camera: c for c in await request.app[CATALOG].coverage(cameras, at - STANDS_FOR, end) if c.end == end}
    among = tuple(camera for camera, c in watched.items() if c.state == "watched")
    found = await request.app[STORE].times(Where(among, ((at - STANDS_FOR, end),)), 10_000) if among else []
    last = {one.camera: one for one in found if one.time >= watched[one.camera].start}
    return FramesOut(frames=[_frame(one.camera, one.time, one.has_region) for _, one in sorted(last.items())])


def _frame(camera: str, time: datetime, region: bool) -> FrameOut:
    return FrameOut(id=str(FrameId(camera, time)), camera=camera, time=time, region=region)


async def _cameras(request: web.Request, params: SpanParams) -> tuple[str, ...]:
    """The cameras that are asked for by name, so that an empty tuple means none."""
    cameras = visible_cameras(request, params.camera)
    await require_known(request, "camera", params.camera)
    known = {c.camera for c in await request.app[CATALOG].cameras()}
    return tuple(c for c in dict.fromkeys(cameras) if c in known) if cameras else tuple(sorted(known))


async def _span(request: web.Request, params: SpanParams) -> tuple[tuple[str, ...], datetime, datetime] | None:
    """The cameras and the range that are asked for; None where there is nothing."""
    require_order(params.start, params.end)
    cameras = await _cameras(request, params)
    if not cameras:
        return None
    start, end = await known_span(request.app[CATALOG], cameras, params.start, params.end)
    return (cameras, start, end) if start and end and start < end else None


ROUTES = (
    Route("GET", "/api/coverage", coverage, CoverageAnswerOut, CoverageParams, errors=(503,), at_once=(4, 32)),
    Route("GET", "/api/frames", frames, FramesOut, FramesParams, errors=(503,), at_once=(4, 32)),
)
