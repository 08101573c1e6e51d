"""Handles watches over HTTP, and the stream of their alerts."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from aiohttp import web
from pydantic import Field

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Vector
from footage.query.clips.service import NotFound
from footage.query.http import auth, sse
from footage.query.http.app_keys import AUTHENTICATOR, CATALOG, STORE
from footage.query.http.auth import identity, require_known, require_role, require_visible, visible_cameras
from footage.query.http.pictures import decode_picture
from footage.query.http.routing import Params, Route, TimeParam, require_order
from footage.query.http.watch_schemas import (
    BacktestOut,
    WatchChange,
    WatchesOut,
    WatchIn,
    WatchOut,
    build_watch,
    list_watches,
)
from footage.query.scoring.embedding import load_vector
from footage.query.scoring.noun_bank import NounBank
from footage.query.values.ids import FrameId
from footage.query.watches import watch as watch_store
from footage.query.watches.alert_stream import AlertStream
from footage.query.watches.backtest import run_backtest
from footage.query.watches.egress import PrivateAddressError, check_webhook
from footage.query.watches.outbox import delivery_counts, discard_deliveries
from footage.query.watches.scoring import WatchScorer
from footage.query.watches.watch import Watch
from footage.stream.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class WatchContext:
    """What the routes of watches need besides the index."""

    embedder: Embedder
    bank: NounBank
    alerts: AlertStream

    async def close_alerts(self, _: web.Application) -> None:
        """End every event stream when the service stops (a shutdown signal of aiohttp)."""
        self.alerts.close()


NAME = r"[\w.-]{1,64}"
"""Regular expression for the name of a watch."""
WATCH_CONTEXT: web.AppKey[WatchContext | None] = web.AppKey("watch_context", WatchContext)


class BacktestParams(Params):
    """Query parameters of a backtest."""

    start: TimeParam | None = Field(
        None, alias="from", description="start of the time range; ISO 8601, or -7d; default: one day ago"
    )
    end: TimeParam | None = Field(None, alias="to", description="end of the time range (exclusive)")
    threshold: float | None = Field(None, ge=0.01, le=0.999, description="used in place of the watch's threshold")


async def watches(request: web.Request, _: Params) -> WatchesOut:
    """List all watches with the state of their deliveries."""
    found = [w for w in await list_watches(request.app[CATALOG]) if _sees_any(request, w.cameras)]
    return WatchesOut(watches=[_without_hidden_cameras(request, w) for w in found])


async def one_watch(request: web.Request, _: Params) -> WatchOut:
    """Get a watch with the state of its deliveries."""
    watch = await _visible_watch(request)
    deliveries = await delivery_counts(request.app[CATALOG], [watch.id])
    return _without_hidden_cameras(request, WatchOut.of(watch, deliveries.get(watch.id, (0, 0, ""))))


async def add_watch(request: web.Request, given: WatchIn) -> WatchOut:
    """Add a watch."""
    if [bool(given.text.strip()), bool(given.frame), bool(given.picture)].count(True) != 1:
        raise InvalidInput("give exactly one of text, frame and picture")
    catalog, context = request.app[CATALOG], _context(request)
    given = given.model_copy(update={"cameras": visible_cameras(request, given.cameras)})
    await require_known(request, "cameras", given.cameras)
    fields = given.model_dump(exclude={"frame", "picture"})
    if given.frame:
        frame = FrameId.parse(given.frame)
        require_visible(request, frame.camera)
        vector = await load_vector(request.app[STORE], frame)
        fields |= {
            "text": str(frame),
            "vector": watch_store.encode_vector(vector),
            "space": context.embedder.space.name,
        }
    if given.picture:
        vector = await _embed_picture(context.embedder, given.picture)
        fields |= {
            "text": "a picture",
            "vector": watch_store.encode_vector(vector),
            "space": context.embedder.space.name,
        }
    watch = build_watch(fields)
    if watch.webhook:
        try:
            await check_webhook(watch.webhook)
        except PrivateAddressError:
            raise InvalidInput(
                "webhook: not a public address; such a webhook can be added on the command line only"
            ) from None
    await watch_store.save_watch(catalog, watch, new=True)
    return WatchOut.of(watch)


async def _embed_picture(embedder: Embedder, picture: str) -> Vector:
    """The vector of an image file in base64."""
    try:
        data = base64.b64decode(picture, validate=True)
    except ValueError as error:
        raise InvalidInput(f"picture: {error}") from None
    image = await decode_picture(data, "picture", embedder.side)
    vector: Vector = (await embedder.images([image]))[0]
    return vector


async def change_watch(request: web.Request, change: WatchChange) -> WatchOut:
    """Pause or resume a watch."""
    watch = await _editable_watch(request)
    return WatchOut.of(await watch_store.pause_watch(request.app[CATALOG], watch.name, change.paused))


async def remove_watch(request: web.Request, _: Params) -> WatchOut:
    """Remove a watch and its undelivered alerts."""
    watch = await _editable_watch(request)
    await watch_store.remove_watch(request.app[CATALOG], watch.name)
    await discard_deliveries(request.app[CATALOG], watch.id)
    return WatchOut.of(watch)


async def test_watch(request: web.Request, params: BacktestParams) -> BacktestOut:
    """Backtest a watch: the times at which it would have fired."""
    watch, context, store = await _visible_watch(request), _context(request), request.app[STORE]
    cameras = tuple(filter(identity(request).can_see, watch.cameras)) or identity(request).cameras
    watch = watch.model_copy(update={"cameras": cameras})
    end = params.end or datetime.now(UTC)
    start = params.start or end - timedelta(days=1)
    require_order(start, end)
    if params.threshold is not None:
        watch = watch.model_copy(update={"threshold": params.threshold})
    scorer = WatchScorer(context.embedder, store, context.bank)
    return BacktestOut.of(await run_backtest(scorer, store, request.app[CATALOG], watch, start, end))


async def events(request: web.Request, _: Params) -> web.StreamResponse:
    """Stream alerts as server-sent events; the header 'Last-Event-ID' resumes after an event."""
    last = request.headers.get("Last-Event-ID", "").strip()
    if last and not (last.isascii() and last.isdigit()):
        raise InvalidInput("Last-Event-ID: must be the id of an event")
    authorized = partial(auth.is_still_authorized, request, request.app[AUTHENTICATOR])
    alerts, can_see = _context(request).alerts, identity(request).can_see
    return await sse.stream(request, alerts, int(last) if last else None, can_see, authorized)


async def _visible_watch(request: web.Request) -> Watch:
    """The watch in the path, if the caller may see any of its cameras."""
    name = request.match_info["name"]
    watch = (await watch_store.load_watches(request.app[CATALOG])).get(name)
    if watch is None:
        raise NotFound(f"there is no watch {name!r}")
    if not _sees_any(request, watch.cameras):
        require_visible(request, *watch.cameras)
    return watch


async def _editable_watch(request: web.Request) -> Watch:
    """The watch in the path, if the caller may see all of its cameras and so may change it."""
    watch = await _visible_watch(request)
    require_role(request, "admin", all_cameras=not watch.cameras)
    require_visible(request, *watch.cameras)
    return watch


def _sees_any(request: web.Request, cameras: Iterable[str]) -> bool:
    """Whether the caller may see any of a watch's cameras; a watch without cameras covers all."""
    limited = tuple(cameras)
    return not limited or any(map(identity(request).can_see, limited))


def _without_hidden_cameras(request: web.Request, watch: WatchOut) -> WatchOut:
    """A watch without the cameras that the caller may not see."""
    return watch.model_copy(update={"cameras": list(filter(identity(request).can_see, watch.cameras))})


def _context(request: web.Request) -> WatchContext:
    context = request.app[WATCH_CONTEXT]
    if context is None:
        raise web.HTTPServiceUnavailable(reason="this service has no watches")
    return context


ROUTES = (
    Route("GET", "/api/watches", watches, WatchesOut, errors=(503,)),
    Route("POST", "/api/watches", add_watch, WatchOut, errors=(503,), body=WatchIn, role="admin", at_once=(2, 8)),
    Route("GET", "/api/watches/{name}", one_watch, WatchOut, errors=(404, 503), path_pattern=NAME),
    Route(
        "PATCH",
        "/api/watches/{name}",
        change_watch,
        WatchOut,
        errors=(404, 503),
        body=WatchChange,
        path_pattern=NAME,
        role="admin",
    ),
    Route("DELETE", "/api/watches/{name}", remove_watch, WatchOut, errors=(404, 503), path_pattern=NAME, role="admin"),
    Route(
        "GET",
        "/api/watches/{name}/test",
        test_watch,
        BacktestOut,
        BacktestParams,
        errors=(404, 503),
        path_pattern=NAME,
        count_results=lambda _, answer: len(answer.firings),
        at_once=(1, 4),
    ),
    Route("GET", "/api/events", events, "text/event-stream", errors=(503,), at_once=(sse.MAX_LISTENERS, 0)),
)
