"""Questions over HTTP: words by GET, pictures too by POST."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage
from pydantic import BeforeValidator, Field, WithJsonSchema

from footage.query.http.auth import narrowed, seen, who
from footage.query.http.keys import CATALOG, FINISHER, METRICS
from footage.query.http.routing import Params, Route, When
from footage.query.http.schemas import AnswerOut
from footage.query.scoring.expression import MOST, SIDE, BadTerms, Term, checked, pictured, said, term
from footage.query.search.question import Finish, Question
from footage.query.values.schedule import Schedule
from footage.query.values.times import seconds
from footage.stream.files import image_file
from footage.stream.files.video_file import MediaError

T = TypeVar("T")
Handler = Callable[[web.Request, Any], Awaitable[AnswerOut]]

LARGEST = 20 << 20
"""Bytes of one uploaded picture."""
_PART = re.compile(r"(plus|minus)(?:\*(.+))?")
FORM = {
    "type": "object",
    "properties": {
        "plus": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "minus": {"type": "array", "items": {"type": "string", "format": "binary"}},
    },
    "description": "pictures that are wanted, and pictures of what must not be there; 'plus*0.5' gives a weight",
}


Length = Annotated[
    timedelta,
    BeforeValidator(lambda text: timedelta(seconds=min(seconds(text), 86400.0))),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h|d)?$"}),
]
"""``10s``, ``5m`` or a bare number of seconds; a day at most."""


class SearchParams(Params):
    """What ``/api/search`` takes."""

    q: str = Field("", max_length=1000, description="what to look for, in words; 'a street without cars'")
    plus: tuple[str, ...] = Field((), max_length=MOST, description="also this: words, or the id of a frame or moment")
    minus: tuple[str, ...] = Field((), max_length=MOST, description="without this: words, or an id as in plus")
    camera: tuple[str, ...] = Field((), description="only these cameras; may be given several times")
    start: When | None = Field(None, alias="from", description="not before; ISO 8601, or -2h for two hours ago")
    end: When | None = Field(None, alias="to", description="before")
    hours: str = Field("", max_length=10, description="only in these hours: 8-18, or 22-6; in the server's zone")
    days: str = Field("", max_length=40, description="only on these days: mon-fri, or sat,sun")
    sort: Literal["score", "time"] = Field("score", description="the surest first, or the newest")
    limit: int = Field(10, ge=1, le=200, description="most moments to answer")
    after: str = Field("", max_length=1000, description="'next' of the answer before, for the page that follows")
    refine: bool = Field(False, description="find each moment's start and end in the footage, to 0.2 s")
    fold: bool = Field(False, description="let one moment stand for all of its camera that look like it")
    only: Literal["", "first", "last", "count"] = Field("", description="of every moment that there is")
    then: str = Field("", max_length=1000, description="what has to follow, in words; the answer is pairs")
    within: Length = Field(timedelta(seconds=10), description="at most so long after the first ended: 10s, 5m")
    then_camera: tuple[str, ...] = Field((), description="where it has to follow; may be given several times")


async def search(request: web.Request, params: SearchParams) -> AnswerOut:
    """Moments that match a question; each summand may have a weight: '0.5*a dog'."""
    return await _answer(request, params, ())


async def search_pictures(request: web.Request, params: SearchParams) -> AnswerOut:
    """Moments that match a question with pictures, which come as parts of a form."""
    return await _answer(request, params, await _pictures(request))


async def _answer(request: web.Request, params: SearchParams, pictures: tuple[Term, ...]) -> AnswerOut:
    if params.start and params.end and params.start >= params.end:
        raise ValueError("from: must be before to")
    words = said(params.q) if params.q.strip() else ()
    more = [*(term(text) for text in params.plus), *(term(text, -1) for text in params.minus)]
    terms = checked([*words, *more, *pictures])
    seen(request, *(one.frame.camera for one in terms if one.frame))
    question = Question(
        terms,
        narrowed(request, params.camera),
        params.start,
        params.end,
        params.limit,
        Schedule(params.hours, params.days),
        params.sort,
        params.after,
        _finish(request, params),
    )
    await _known(request, "camera", params.camera)
    await _known(request, "then_camera", params.then_camera)
    answer = await request.app[FINISHER].answer(question)
    found = answer.moments or answer.pairs or answer.count
    request.app[METRICS].searches.labels("found" if found else "nothing").inc()
    return AnswerOut.of(question, answer)


def _finish(request: web.Request, params: SearchParams) -> Finish:
    then = checked(said(params.then)) if params.then.strip() else ()
    seen(request, *(one.frame.camera for one in then if one.frame))
    there = narrowed(request, params.then_camera) if params.then_camera else ()
    return Finish(params.refine, params.fold, params.only, then, params.within, there)


async def _known(request: web.Request, name: str, cameras: tuple[str, ...]) -> None:
    held = {c.camera for c in await request.app[CATALOG].cameras() if who(request).sees(c.camera)} if cameras else set()
    if unknown := [c for c in cameras if c not in held]:
        raise ValueError(f"{name}: there is no camera {unknown[0]!r}; there are: {', '.join(sorted(held)) or 'none'}")


async def _pictures(request: web.Request) -> tuple[Term, ...]:
    """The form's pictures. They are sent, never fetched: the service asks no address for anything."""
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType(reason="send pictures as parts of a form (multipart/form-data)")
    found: list[Term] = []
    reader = await _read(request.multipart())
    while (part := await _read(reader.next())) is not None:
        if not isinstance(part, BodyPartReader) or not (name := _PART.fullmatch(part.name or "")):
            raise BadTerms(f"part {getattr(part, 'name', None)!r}: the form's parts are 'plus' and 'minus'")
        if len(found) == MOST:
            raise BadTerms(f"a question has at most {MOST} parts")
        called = (part.filename or "picture").replace("*", " ").strip() or "picture"
        one = term(f"{name[2]}*picture" if name[2] else "picture", 1 if name[1] == "plus" else -1)
        try:
            image = await asyncio.to_thread(image_file.decode, await _bytes(part), called, SIDE)
        except MediaError as error:
            raise BadTerms(str(error)) from None
        found.append(pictured(one, called, image))
    return tuple(found)


async def _bytes(part: BodyPartReader) -> bytes:
    data = bytearray()
    while chunk := await _read(part.read_chunk(1 << 16)):
        data += chunk
        if len(data) > LARGEST:
            raise web.HTTPRequestEntityTooLarge(max_size=LARGEST, actual_size=len(data))
    return bytes(data)


async def _read(work: Awaitable[T]) -> T:
    """The result of reading a form, which fails in many ways when it is not one."""
    try:
        return await work
    except (AssertionError, LookupError, ValueError, RuntimeError, BadHttpMessage) as error:
        raise BadTerms(f"the form cannot be read: {error!s:.200}") from None


def _route(method: str, handler: Handler, form: dict[str, Any] | None = None) -> Route:
    errors, count = (404, 409, 503), lambda _, answer: len(answer.moments)
    return Route(method, "/api/search", handler, AnswerOut, SearchParams, errors, count=count, form=form)


ROUTES = (_route("GET", search), _route("POST", search_pictures, FORM))
