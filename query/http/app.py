"""Builds the aiohttp application: its services, its middlewares, and the one JSON shape of errors."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from footage.indexer.disk import DiskMonitor
from footage.indexer.embed.lite_detector import LiteDetector
from footage.indexer.live.service import LiveService
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.integrity import IndexHealth
from footage.indexer.supervisor import Supervisor
from footage.query.clips.service import ClipService
from footage.query.http import routes, session_routes
from footage.query.http.app_keys import (
    AUDIT_LOG,
    AUTHENTICATOR,
    CAMERA_ADMIN,
    CATALOG,
    CLIP_SERVICE,
    CLOCK_PROBLEM,
    DETECTOR,
    DISK,
    EXPORT_CLIPS,
    HEALTH,
    LIVE,
    METRICS,
    MISCONFIGURED,
    MODEL,
    PEERS,
    REFUSED,
    REVIEWS,
    SEARCH_ENGINE,
    SESSIONS,
    SHARES,
    STORE,
    SUPERVISOR,
    WORKER,
)
from footage.query.http.audit import AuditLog
from footage.query.http.auth import authenticate_requests
from footage.query.http.camera_contract import CameraAdmin
from footage.query.http.disclosure import shown_error
from footage.query.http.export_routes import EXPORT_LOCK
from footage.query.http.lifetimes import utc_now
from footage.query.http.limits import RETRY_AFTER
from footage.query.http.metrics import Metrics
from footage.query.http.origin import add_safe_headers
from footage.query.http.routing import add_routes, public_routes
from footage.query.http.schemas import ErrorOut
from footage.query.http.sessions import Sessions
from footage.query.http.shares import Shares
from footage.query.http.tokens import Authenticator
from footage.query.http.watch_routes import WATCH_CONTEXT, WatchContext
from footage.query.peers.peers import Peers
from footage.query.search.engine import SearchEngine
from footage.stream.errors import FootageError

log = logging.getLogger(__name__)

MAX_BODY = 1 << 20
"""Largest request body in bytes."""


async def _find_nothing() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class AppServices:
    """The services that the routes use. The caller opens them, and closes them after the application has stopped.

    Attributes:
        clip_service: of this machine's footage.
        export_clips: of the footage of every machine; default: of this one's.
        expiry_clock: UTC time by which what has expired is deleted.
        clock_problem: what is wrong with the clock of this machine; empty when nothing is known.
    """

    store: Store
    catalog: Catalog
    search_engine: SearchEngine
    clip_service: ClipService
    metrics: Metrics
    live: LiveService | None = None
    watches: WatchContext | None = None
    audit: AuditLog | None = None
    worker: str = ""
    misconfigured: Mapping[str, str] = field(default_factory=dict)
    health: IndexHealth = field(default_factory=lambda: IndexHealth(_find_nothing))
    disk: DiskMonitor = field(default_factory=lambda: DiskMonitor(()))
    peers: Peers | None = None
    export_clips: ClipService | None = None
    supervisor: Supervisor | None = None
    refused: RefusedRecords | None = None
    model: str = ""
    camera_admin: CameraAdmin | None = None
    expiry_clock: Callable[[], datetime] = utc_now
    clock_problem: Callable[[], str] = str


def build_app(services: AppServices, token: str | None = None, local: bool = True) -> web.Application:
    """Build the application.

    Args:
        token: the token of the settings, with the role admin; other tokens are in the catalog.
        local: the application is bound to loopback only, where no token is needed while none exists.
    """
    metrics, authenticator = services.metrics, Authenticator(services.catalog, token, local)
    guard = authenticate_requests(authenticator, public_routes(routes.ROUTES))
    middlewares = [_count_requests(metrics), convert_errors, guard]
    app = web.Application(middlewares=middlewares, client_max_size=MAX_BODY)
    app[STORE], app[CATALOG], app[CLIP_SERVICE] = services.store, services.catalog, services.clip_service
    app[SEARCH_ENGINE], app[REVIEWS] = services.search_engine, services.search_engine.reviews
    app[LIVE], app[METRICS], app[AUTHENTICATOR], app[AUDIT_LOG] = services.live, metrics, authenticator, services.audit
    app[HEALTH], app[DISK], app[SUPERVISOR] = services.health, services.disk, services.supervisor
    app[REFUSED], app[SESSIONS] = services.refused, Sessions(services.catalog, authenticator, services.expiry_clock)
    app[DETECTOR] = LiteDetector(threads=2)
    app[CAMERA_ADMIN], app[CLOCK_PROBLEM] = services.camera_admin, services.clock_problem
    app[SHARES] = Shares(services.catalog, authenticator, services.expiry_clock)
    session_routes.prepare(app)
    app[WORKER], app[MISCONFIGURED], app[MODEL] = services.worker, services.misconfigured, services.model
    app[PEERS], app[EXPORT_CLIPS] = services.peers, services.export_clips or services.clip_service
    app[WATCH_CONTEXT], app[EXPORT_LOCK] = services.watches, asyncio.Lock()
    if services.watches:
        app.on_shutdown.append(services.watches.close_alerts)
    app.on_response_prepare.append(add_safe_headers)
    add_routes(app, routes.ROUTES)
    return app


@web.middleware
async def convert_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Middleware that answers every exception with the one error shape."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        reply = error_response(error.status, error.reason, _HINTS.get(error.status, ""))
        for name in ("WWW-Authenticate", "Allow", "Retry-After"):
            if name in error.headers:
                reply.headers[name] = error.headers[name]
        return reply
    except FootageError as error:
        if error.http_status == 500:
            log.error("failed to answer %s %s", request.method, _safe_path(request), exc_info=error)
        return error_response(error.http_status, shown_error(request, error), error.hint)
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("failed to answer %s %s", request.method, _safe_path(request))
        return error_response(500, "the service failed on this request", "see the service's log")


def _safe_path(request: web.Request) -> str:
    """The path for the log: what opens a share is not written there."""
    return "/s/..." if request.path.startswith("/s/") else request.path


_HINTS = {
    401: "send 'Authorization: Bearer TOKEN', or log in on the page at /",
    404: "GET /openapi.json lists the routes",
    405: "GET /openapi.json lists the routes",
}


def error_response(status: int, error: str, hint: str = "") -> web.Response:
    """A response in the one error shape; 503 says after how many seconds to try again."""
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else None
    return web.json_response(
        ErrorOut(error=error, hint=hint, status=status).model_dump(), status=status, headers=headers
    )


def _count_requests(metrics: Metrics) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "none"
        metrics.requests.labels(route, response.status).inc()
        metrics.latency.labels(route).observe(time.perf_counter() - started)
        return response

    return middleware
