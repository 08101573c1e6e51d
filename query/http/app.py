"""The HTTP service: its parts, the one error shape, and what is counted."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from footage.indexer.embed.base import EmbedderError
from footage.indexer.live.service import Live
from footage.indexer.store.base import Catalog, Store, StoreError, StoreUnreachable
from footage.query.clips.clip import ClipError
from footage.query.clips.service import Cutter, Gone
from footage.query.http import routes
from footage.query.http.audit import Audit
from footage.query.http.auth import guard
from footage.query.http.export_routes import TURN
from footage.query.http.keys import AUDIT, CATALOG, CUTTER, FINISHER, KEYS, LIVE, METRICS, STORE, WORKER
from footage.query.http.metrics import Metrics
from footage.query.http.schemas import ErrorOut
from footage.query.http.tokens import Keys
from footage.query.http.watch_routes import DESK, Desk
from footage.query.search.engine import Searcher
from footage.query.search.postprocess import Finisher
from footage.query.values.ids import BadId
from footage.stream.files.video_file import MediaError

log = logging.getLogger(__name__)

BODY = 1 << 20
"""Largest request body in bytes."""
LINE = 1 << 16
"""Longest first line of a request in bytes: 1,000 characters of any script are 12 kB in an address."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the service answers from; whoever opened them closes them when the service has stopped."""

    store: Store
    catalog: Catalog
    searcher: Searcher
    cutter: Cutter
    metrics: Metrics
    live: Live | None = None
    desk: Desk | None = None
    audit: Audit | None = None
    worker: str = ""


def build(parts: Parts, token: str | None = None, local: bool = True) -> web.Application:
    """The application over opened parts.

    Args:
        token: an admin's; others are in the catalogue.
        local: it will be bound to loopback alone, where nobody needs a token while there is none.
    """
    metrics, keys = parts.metrics, Keys(parts.catalog, token, local)
    app = web.Application(middlewares=[_counted(metrics), _errors, guard(keys)], client_max_size=BODY)
    app[STORE], app[CATALOG], app[CUTTER] = parts.store, parts.catalog, parts.cutter
    app[FINISHER] = Finisher(parts.searcher)
    app[LIVE], app[METRICS], app[KEYS], app[AUDIT] = parts.live, metrics, keys, parts.audit
    app[WORKER] = parts.worker
    app[DESK], app[TURN] = parts.desk, asyncio.Lock()
    if parts.desk:
        app.on_shutdown.append(parts.desk.end)
    routes.setup(app)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves in one shape."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        reply = failure(error.status, error.reason, _HINTS.get(error.status, ""))
        for name in ("WWW-Authenticate", "Allow"):
            if name in error.headers:
                reply.headers[name] = error.headers[name]
        return reply
    except (BadId, ValueError) as error:
        return failure(400, str(error))
    except Gone as error:
        return failure(404, str(error))
    except (ClipError, MediaError) as error:
        return failure(409, str(error))
    except (StoreUnreachable, EmbedderError) as error:
        return failure(503, str(error), "try again when it is back; /readyz tells")
    except StoreError as error:
        return failure(500, str(error))
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("failed to answer %s %s", request.method, request.path)
        return failure(500, "the service failed on this request", "the log says how")


_HINTS = {
    401: "send 'Authorization: Bearer TOKEN'",
    404: "GET /openapi.json lists what there is",
    405: "GET /openapi.json lists what there is",
}


def failure(status: int, error: str, hint: str = "") -> web.Response:
    """The one error shape."""
    return web.json_response(ErrorOut(error=error, hint=hint, status=status).model_dump(), status=status)


def _counted(metrics: Metrics) -> Middleware:
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
