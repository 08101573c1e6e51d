"""Handles searches over HTTP: GET for text queries, POST for queries with uploaded pictures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BeforeValidator, Field, WithJsonSchema

from footage.query.http.app_keys import METRICS, SEARCH_ENGINE
from footage.query.http.auth import require_known, require_visible, visible_cameras
from footage.query.http.disclosure import DAMAGED, details_for
from footage.query.http.pictures import FORM_SCHEMA, read_pictures
from footage.query.http.routing import Params, Route, TimeParam, require_order
from footage.query.http.schemas import AnswerOut
from footage.query.scoring.expression import MAX_TERMS, Term
from footage.query.search.options import SearchOptions, parse_sum
from footage.query.values.times import parse_duration

SEARCH_PATIENCE = 1.5
"""Seconds for which a search waits for its turn: who types does not wait longer, and asks again."""
SearchHandler = Callable[[web.Request, Any], Awaitable[AnswerOut]]


DurationParam = Annotated[
    timedelta,
    BeforeValidator(lambda text: timedelta(seconds=min(parse_duration(text), 86400.0))),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h|d)?$"}),
]
"""``10s``, ``5m`` or a bare number of seconds; at most one day."""


class SearchParams(Params):
    """Query parameters of ``/api/search``."""

    q: str = Field("", max_length=1000, description="the query in words, like 'a street without cars'")
    plus: tuple[str, ...] = Field(
        (), max_length=MAX_TERMS, description="a term to add: words, or the id of a frame or moment"
    )
    minus: tuple[str, ...] = Field(
        (), max_length=MAX_TERMS, description="a term that must be absent: words, or an id as in plus"
    )
    camera: tuple[str, ...] = Field((), description="search only this camera; may be repeated")
    start: TimeParam | None = Field(
        None, alias="from", description="start of the time range; ISO 8601, or -2h for two hours ago"
    )
    end: TimeParam | None = Field(None, alias="to", description="end of the time range (exclusive)")
    hours: str = Field("", max_length=10, description="only in these hours: 8-18, or 22-6; in the server's time zone")
    days: str = Field("", max_length=40, description="only on these days: mon-fri, or sat,sun")
    sort: Literal["score", "time", "oldest"] = Field(
        "score", description="best score first, newest first (time), or oldest first"
    )
    mark: Literal["", "keep", "dismiss", "none"] = Field(
        "", description="only moments that are kept, or dismissed, or not marked (none)"
    )
    limit: int = Field(10, ge=1, le=500, description="largest number of moments in the answer")
    after: str = Field("", max_length=1000, description="the value of 'next' in an answer, for the page after it")
    refine: bool = Field(False, description="find each moment's start and end in the footage, exact to 0.2 s")
    fold: bool = Field(False, description="merge moments of a camera that look alike into one result")
    only: Literal["", "first", "last", "count"] = Field(
        "", description="scan every record, and answer the first moment, the last one, or their number"
    )
    then: str = Field(
        "", max_length=1000, description="a second query, in words, for what must follow; the answer is pairs"
    )
    within: DurationParam = Field(
        timedelta(seconds=10), description="longest time from the end of the first to the start of the second: 10s, 5m"
    )
    then_camera: tuple[str, ...] = Field((), description="the camera on which the second must occur; may be repeated")


async def search(request: web.Request, params: SearchParams) -> AnswerOut:
    """Search moments by a text query; each term may have a weight: '0.5*a dog'."""
    return await _answer(request, params, ())


async def search_pictures(request: web.Request, params: SearchParams) -> AnswerOut:
    """Search moments by a query with pictures, which are uploaded as parts of a multipart form."""
    return await _answer(request, params, await read_pictures(request))


async def _answer(request: web.Request, params: SearchParams, pictures: tuple[Term, ...]) -> AnswerOut:
    require_order(params.start, params.end)
    terms = parse_sum(params.q, params.plus, params.minus, pictures)
    require_visible(request, *(one.frame.camera for one in terms if one.frame))
    cameras = visible_cameras(request, params.camera)
    then = parse_sum(params.then) if params.then.strip() else ()
    require_visible(request, *(one.frame.camera for one in then if one.frame))
    options = SearchOptions(
        cameras=cameras,
        start=params.start,
        end=params.end,
        hours=params.hours,
        days=params.days,
        sort=params.sort,
        limit=params.limit,
        after=params.after,
        refine=params.refine,
        fold=params.fold,
        only=params.only,
        within=params.within,
        mark=params.mark,
        then_cameras=visible_cameras(request, params.then_camera) if params.then_camera else (),
    )
    question = options.to_question(terms, then)
    await require_known(request, "camera", params.camera)
    await require_known(request, "then_camera", params.then_camera)
    answer = await request.app[SEARCH_ENGINE].search(question)
    found = answer.moments or answer.pairs or answer.count
    request.app[METRICS].searches.labels("found" if found else "nothing").inc()
    told = replace(answer, problem=details_for(request, answer.problem, DAMAGED))
    return AnswerOut.of(question, told)


def _route(method: str, handler: SearchHandler, at_once: tuple[int, int], form: dict[str, Any] | None = None) -> Route:
    return Route(
        method,
        "/api/search",
        handler,
        AnswerOut,
        SearchParams,
        errors=(404, 409, 503),
        count_results=lambda _, answer: len(answer.moments),
        form_schema=form,
        at_once=at_once,
        patience=SEARCH_PATIENCE,
    )


ROUTES = (_route("GET", search, (8, 32)), _route("POST", search_pictures, (4, 8), FORM_SCHEMA))
