"""Watches over HTTP, and what they tell while somebody listens."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from aiohttp import web
from pydantic import Field

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Vector
from footage.query.clips.service import Gone
from footage.query.http import auth, sse
from footage.query.http.auth import allow, narrowed, seen, who
from footage.query.http.keys import CATALOG, KEYS, STORE
from footage.query.http.routing import Params, Route, When
from footage.query.http.watch_schemas import BacktestOut, WatchChange, WatchesOut, WatchIn, WatchOut, listed, made
from footage.query.scoring.embedding import stored
from footage.query.scoring.noun_bank import Bank
from footage.query.values.ids import FrameId
from footage.query.watches import watch as kept
from footage.query.watches.alerts import Alerts
from footage.query.watches.backtest import backtest
from footage.query.watches.egress import Inside, check_now
from footage.query.watches.scoring import Scorer
from footage.query.watches.watch import Watch
from footage.query.watches.webhook import discard, waiting
from footage.stream.files import image_file
from footage.stream.files.video_file import MediaError


@dataclass(frozen=True, slots=True)
class Desk:
    """What the routes of the watches need besides the index."""

    embedder: Embedder
    bank: Bank
    alerts: Alerts

    async def end(self, _: web.Application) -> None:
        """The service stops: nobody listens any more."""
        self.alerts.close()


NAME = r"[\w.-]{1,64}"
"""What a watch may be called."""
DESK: web.AppKey[Desk | None] = web.AppKey("desk", Desk)


class BacktestParams(Params):
    """What a back-test takes."""

    start: When | None = Field(None, alias="from", description="not before; ISO 8601, or -7d; default a day ago")
    end: When | None = Field(None, alias="to", description="before")
    threshold: float | None = Field(None, ge=0.01, le=0.999, description="in place of the watch's own")


async def watches(request: web.Request, _: Params) -> WatchesOut:
    """Every watch, and how its deliveries go."""
    found = [w for w in await listed(request.app[CATALOG]) if _met(request, w.cameras)]
    return WatchesOut(watches=[_shown(request, w) for w in found])


async def one_watch(request: web.Request, _: Params) -> WatchOut:
    """One watch, and how its deliveries go."""
    watch = await _named(request)
    letters = await waiting(request.app[CATALOG])
    return _shown(request, WatchOut.of(watch, letters.get(watch.id, (0, 0, ""))))


async def add_watch(request: web.Request, given: WatchIn) -> WatchOut:
    """Add a watch."""
    if [bool(given.text.strip()), bool(given.frame), bool(given.picture)].count(True) != 1:
        raise ValueError("give either text, frame or picture")
    catalog, desk = request.app[CATALOG], _desk(request)
    given = given.model_copy(update={"cameras": narrowed(request, given.cameras)})
    known = {c.camera for c in await catalog.cameras()}
    if unknown := [c for c in given.cameras if c not in known]:
        raise ValueError(f"cameras: there is no camera {unknown[0]!r}")
    fields = given.model_dump(exclude={"frame", "picture"})
    if given.frame:
        frame = FrameId.parse(given.frame)
        seen(request, frame.camera)
        vector = await stored(request.app[STORE], frame)
        fields |= {"text": str(frame), "vector": kept.packed(vector), "space": desk.embedder.space.name}
    if given.picture:
        vector = await _embedded(desk.embedder, given.picture)
        fields |= {"text": "a picture", "vector": kept.packed(vector), "space": desk.embedder.space.name}
    watch = made(fields)
    if watch.webhook:
        try:
            await check_now(watch.webhook)
        except Inside:
            raise ValueError("webhook: not a public address; only the command line may allow one") from None
    await kept.keep(catalog, watch, new=True)
    return WatchOut.of(watch)


async def _embedded(embedder: Embedder, picture: str) -> Vector:
    """The vector of a photograph's file in base64."""
    try:
        image = await asyncio.to_thread(
            image_file.decode, base64.b64decode(picture, validate=True), "picture", embedder.side
        )
    except (binascii.Error, MediaError) as error:
        raise ValueError(f"picture: {error}") from None
    vector: Vector = (await embedder.images([image]))[0]
    return vector


async def change_watch(request: web.Request, change: WatchChange) -> WatchOut:
    """Pause a watch, or let it go on."""
    watch = await _own(request)
    return WatchOut.of(await kept.pause(request.app[CATALOG], watch.name, change.paused))


async def remove_watch(request: web.Request, _: Params) -> WatchOut:
    """Remove a watch and what it has not delivered."""
    watch = await _own(request)
    await kept.remove(request.app[CATALOG], watch.name)
    await discard(request.app[CATALOG], watch.id)
    return WatchOut.of(watch)


async def test_watch(request: web.Request, params: BacktestParams) -> BacktestOut:
    """When a watch would have fired."""
    watch, desk, store = await _named(request), _desk(request), request.app[STORE]
    cameras = tuple(filter(who(request).sees, watch.cameras)) or who(request).cameras
    watch = watch.model_copy(update={"cameras": cameras})
    end = params.end or datetime.now(UTC)
    start = params.start or end - timedelta(days=1)
    if start >= end:
        raise ValueError("from: must be before to")
    if params.threshold is not None:
        watch = watch.model_copy(update={"threshold": params.threshold})
    scorer = Scorer(desk.embedder, store, desk.bank)
    return BacktestOut.of(await backtest(scorer, store, request.app[CATALOG], watch, start, end))


async def events(request: web.Request, _: Params) -> web.StreamResponse:
    """Firings as they happen, as server-sent events; 'Last-Event-ID' resumes."""
    last = request.headers.get("Last-Event-ID", "").strip()
    if last and not (last.isascii() and last.isdigit()):
        raise ValueError("Last-Event-ID: must be the id of an event")
    still = partial(auth.still, request, request.app[KEYS])
    return await sse.stream(request, _desk(request).alerts, int(last) if last else None, who(request).sees, still)


async def _named(request: web.Request) -> Watch:
    """The watch of the path, if it stands on any camera that who asks may see."""
    name = request.match_info["name"]
    watch = (await kept.watches(request.app[CATALOG])).get(name)
    if watch is None:
        raise Gone(f"there is no watch {name!r}")
    if not _met(request, watch.cameras):
        seen(request, *watch.cameras)
    return watch


async def _own(request: web.Request) -> Watch:
    """The watch of the path, to change it: all of its cameras must be seen."""
    watch = await _named(request)
    allow(request, "admin", whole=not watch.cameras)
    seen(request, *watch.cameras)
    return watch


def _met(request: web.Request, cameras: Iterable[str]) -> bool:
    """Whether who asks sees any of a watch's cameras; none named means all."""
    named = tuple(cameras)
    return not named or any(map(who(request).sees, named))


def _shown(request: web.Request, watch: WatchOut) -> WatchOut:
    """A watch without the cameras that who asks may not see."""
    return watch.model_copy(update={"cameras": list(filter(who(request).sees, watch.cameras))})


def _desk(request: web.Request) -> Desk:
    desk = request.app[DESK]
    if desk is None:
        raise web.HTTPServiceUnavailable(reason="this service has no watches")
    return desk


ROUTES = (
    Route("GET", "/api/watches", watches, WatchesOut, errors=(503,)),
    Route("POST", "/api/watches", add_watch, WatchOut, errors=(503,), body=WatchIn, role="admin"),
    Route("GET", "/api/watches/{name}", one_watch, WatchOut, errors=(404, 503), named=NAME),
    Route(
        "PATCH",
        "/api/watches/{name}",
        change_watch,
        WatchOut,
        errors=(404, 503),
        body=WatchChange,
        named=NAME,
        role="admin",
    ),
    Route("DELETE", "/api/watches/{name}", remove_watch, WatchOut, errors=(404, 503), named=NAME, role="admin"),
    Route(
        "GET",
        "/api/watches/{name}/test",
        test_watch,
        BacktestOut,
        BacktestParams,
        errors=(404, 503),
        named=NAME,
        count=lambda _, answer: len(answer.firings),
    ),
    Route("GET", "/api/events", events, "text/event-stream", errors=(503,)),
)
