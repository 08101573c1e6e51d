"""Handles marks over HTTP: what people decided about moments, with a note, by whom and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from footage.indexer.store.base import Where
from footage.query.clips.service import NotFound
from footage.query.http.app_keys import REVIEWS, STORE
from footage.query.http.auth import identity, require_known, visible_cameras, visible_moment
from footage.query.http.page_schemas import MarkedOut, MarksOut, MomentMarkOut
from footage.query.http.routing import Params, Route, TimeParam, require_order
from footage.query.http.schemas import MarkOut
from footage.query.moments.reviews import Mark
from footage.query.values.ids import MOMENT_PATTERN, MomentId
from footage.stream.errors import InvalidInput
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, MICROSECOND

MAX_MARKS = 10_000
"""Most marks in an answer; the newest are left out, and it says so."""
MAX_MARKED = timedelta(days=1)
"""Longest moment that can be marked: a mark belongs to every moment inside it that holds its best frame."""


class MarksParams(Params):
    """Query parameters of the list of marks."""

    camera: tuple[str, ...] = Field((), description="only this camera; may be repeated")
    start: TimeParam | None = Field(None, alias="from", description="start of the time range; ISO 8601, or -7d")
    end: TimeParam | None = Field(None, alias="to", description="end of the time range (exclusive)")
    mark: Literal["", "keep", "dismiss"] = Field("", description="only this mark")


class MarkIn(BaseModel):
    """A mark to set; an empty one removes what is there."""

    model_config = ConfigDict(extra="forbid")

    mark: Literal["keep", "dismiss", ""]
    note: str = Field("", max_length=2000)
    query: str = Field("", max_length=1000, description="the question that found the moment")


async def marks(request: web.Request, params: MarksParams) -> MarksOut:
    """List marks of a time range, with the moments that were marked."""
    require_order(params.start, params.end)
    cameras = visible_cameras(request, params.camera)
    await require_known(request, "camera", params.camera)
    start, end = params.start or DISTANT_PAST, params.end or DISTANT_FUTURE
    found = [m for m in await request.app[REVIEWS].between(cameras, start, end) if params.mark in ("", m.mark)]
    return MarksOut(marks=[MarkedOut.of_mark(m) for m in found[:MAX_MARKS]], complete=len(found) <= MAX_MARKS)


async def put_mark(request: web.Request, given: MarkIn) -> MomentMarkOut:
    """Mark a moment: keep or dismiss it, with a note; the mark belongs to the event, whatever question finds it."""
    moment = visible_moment(request)
    if not given.mark:
        return await remove_mark(request, Params())
    if moment.end - moment.start > MAX_MARKED:
        raise InvalidInput("a moment that is marked is at most a day long")
    await require_record(request, moment)
    text = given.model_dump()
    mark = Mark(moment=str(moment), by=identity(request).name, at=datetime.now(UTC), **text)
    await request.app[REVIEWS].put(mark)
    return MomentMarkOut(moment=str(moment), mark=MarkOut.of(mark))


async def remove_mark(request: web.Request, _: Params) -> MomentMarkOut:
    """Remove the mark of a moment's event."""
    moment = visible_moment(request)
    await request.app[REVIEWS].remove(moment)
    return MomentMarkOut(moment=str(moment), mark=None)


async def require_record(request: web.Request, moment: MomentId) -> None:
    """Refuse a moment that no search can have found, so that marks of nothing do not fill the catalog.

    Raises:
        NotFound: its best frame is not in the index.
    """
    where = Where((moment.camera,), ((moment.best, moment.best + MICROSECOND),))
    if not await request.app[STORE].times(where, 1):
        raise NotFound(f"the best frame of {str(moment)!r} is not in the index, or no longer")


ROUTES = (
    Route("GET", "/api/marks", marks, MarksOut, MarksParams, errors=(503,), at_once=(2, 16)),
    Route(
        "PUT",
        "/api/marks/{id}",
        put_mark,
        MomentMarkOut,
        errors=(404, 503),
        body=MarkIn,
        path_pattern=MOMENT_PATTERN,
        role="review",
        count_results=lambda *_: 1,
        at_once=(4, 64),
    ),
    Route(
        "DELETE",
        "/api/marks/{id}",
        remove_mark,
        MomentMarkOut,
        errors=(404, 503),
        path_pattern=MOMENT_PATTERN,
        role="review",
        count_results=lambda *_: 1,
        at_once=(4, 64),
    ),
)
