"""Serves the page while the service starts, or cannot: it tells what is so and what to do, and lets people log in."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from importlib.metadata import version

from aiohttp import web

from footage.indexer.store.base import Catalog
from footage.query.http import session_routes
from footage.query.http.app import MAX_BODY, convert_errors
from footage.query.http.app_keys import AUDIT_LOG, AUTHENTICATOR, CATALOG, SESSIONS
from footage.query.http.audit import AuditLog
from footage.query.http.auth import authenticate_requests, try_identify
from footage.query.http.disclosure import details_for
from footage.query.http.origin import add_safe_headers
from footage.query.http.page_routes import ROUTES as PAGE_ROUTES
from footage.query.http.page_schemas import State, StatusOut
from footage.query.http.routes import Health, healthz
from footage.query.http.routing import Params, Route, add_routes, one_line, public_routes
from footage.query.http.schemas import CamerasOut
from footage.query.http.session_routes import ROUTES as SESSION_ROUTES
from footage.query.http.sessions import Sessions
from footage.query.http.tokens import Authenticator
from footage.query.values.zones import local_zone

WATCHED = 15.0
"""Seconds since the page last asked for which it counts as open; it asks every 5."""


@dataclass(slots=True)
class Startup:
    """How far the start is; whoever starts the service changes it.

    Attributes:
        public: what is told in place of ``problem`` to a caller that may not know machines and folders.
        shown: is set once a page has shown that the start failed.
    """

    state: State = "starting"
    problem: str = ""
    public: str = ""
    hint: str = "the model is being fetched or loaded, which may take minutes once; this page goes on by itself"
    shown: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: float = -WATCHED

    def is_watched(self) -> bool:
        """Whether somebody has the page open."""
        return time.monotonic() - self._asked < WATCHED

    def note_question(self) -> None:
        """A page asks how far the start is."""
        self._asked = time.monotonic()
        if self.state == "failed":
            self.shown.set()


STARTUP: web.AppKey[Startup] = web.AppKey("startup", Startup)


async def readyz(request: web.Request, _: Params) -> Health:
    """Say that the service is not ready, and why."""
    await try_identify(request)
    raise web.HTTPServiceUnavailable(reason=one_line(_problem(request) or request.app[STARTUP].state))


async def status(request: web.Request, _: Params) -> StatusOut:
    """Get how far the start is."""
    startup = request.app[STARTUP]
    startup.note_question()
    bound = await request.app[CATALOG].bound_space()
    return StatusOut(
        version=version("footage"),
        state=startup.state,
        model="",
        space=bound.name if bound else "",
        zone=local_zone(),
        records=0,
        cameras=0,
        problem=_problem(request),
        hint=startup.hint,
    )


async def cameras(request: web.Request, _: Params) -> CamerasOut:  # noqa: ARG001
    """List no cameras: none is read yet."""
    return CamerasOut(cameras=[])


async def _refuse(request: web.Request) -> web.StreamResponse:
    raise web.HTTPServiceUnavailable(reason=one_line(_problem(request) or "the service is starting"))


def _problem(request: web.Request) -> str:
    startup = request.app[STARTUP]
    return details_for(request, startup.problem, startup.public)


ROUTES = (
    *PAGE_ROUTES,
    *SESSION_ROUTES,
    Route("GET", "/healthz", healthz, Health, role=None),
    Route("GET", "/readyz", readyz, Health, role=None),
    Route("GET", "/api/status", status, StatusOut),
    Route("GET", "/api/cameras", cameras, CamerasOut),
)


def build_starting_app(
    catalog: Catalog, token: str | None, local: bool, startup: Startup, audit: AuditLog | None = None
) -> web.Application:
    """Build the application that answers until the real one does; the arguments are those of ``build_app``.

    Args:
        audit: is told who logs in.
    """
    authenticator = Authenticator(catalog, token, local)
    guard = authenticate_requests(authenticator, public_routes(ROUTES))
    app = web.Application(middlewares=[convert_errors, guard], client_max_size=MAX_BODY)
    app[CATALOG], app[AUTHENTICATOR], app[AUDIT_LOG], app[STARTUP] = catalog, authenticator, audit, startup
    app[SESSIONS] = Sessions(catalog, authenticator)
    session_routes.prepare(app)
    app.on_response_prepare.append(add_safe_headers)
    add_routes(app, ROUTES)
    app.router.add_route("*", "/{path:.*}", _refuse)
    return app
