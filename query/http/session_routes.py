"""Logs browsers in and out: a token becomes a cookie that scripts cannot read and other sites cannot use."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Literal

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, Field

from footage.query.http.app_keys import AUDIT_LOG, AUTHENTICATOR, SESSIONS
from footage.query.http.auth import SESSION, identify, identity
from footage.query.http.origin import cookie_name, is_tls, require_own_page
from footage.query.http.page_schemas import SessionOut
from footage.query.http.routing import Params, Route, json_response
from footage.query.http.sessions import LIFETIME
from footage.query.http.tokens import Identity

FAILURE_DELAY = 0.5
"""Seconds after which a wrong token is answered; with the few turns that there are, this bounds guessing."""
FAILURE_LOG_INTERVAL = 10.0
"""Seconds between two entries of failures in the audit log, so that guessing does not fill the disk."""


class LogIn(BaseModel):
    """The token with which to log in."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(max_length=1000, min_length=1, repr=False)


class LoggedOut(BaseModel):
    """The session has ended, or there was none."""

    ok: Literal[True] = True


async def session(request: web.Request, _: Params) -> SessionOut:
    """Get who asks, with which role and cameras, and until when the session lasts."""
    needed = await request.app[AUTHENTICATOR].token_required()
    found = request.get(SESSION)
    return _describe(identity(request), needed, found.expires if found else None)


async def log_in(request: web.Request, given: LogIn) -> web.StreamResponse:
    """Log in with a token: the answer sets a cookie that stands for it for 12 hours."""
    if not await request.app[AUTHENTICATOR].token_required():
        caller = await identify(request, request.app[AUTHENTICATOR])
        return json_response(_describe(caller, False, None))
    begun = await request.app[SESSIONS].begin(given.token)
    if begun is None:
        await _log_failure(request)
        await asyncio.sleep(FAILURE_DELAY)
        raise web.HTTPUnauthorized(reason="this token is not valid, or no longer")
    secret, found = begun
    response = json_response(_describe(found.identity, True, found.expires))
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    _set_cookie(request, response, secret, round(LIFETIME.total_seconds()))
    await _log(request, found.identity.name, "log_in", 200)
    return response


async def log_out(request: web.Request, _: Params) -> web.StreamResponse:
    """Log out: the session ends on the server, and the cookie is removed."""
    secret = request.cookies.get(cookie_name(request), "")
    if secret:
        require_own_page(request)
        if found := await request.app[SESSIONS].find(secret):
            await _log(request, found.identity.name, "log_out", 200)
        await request.app[SESSIONS].end(secret)
    response = json_response(LoggedOut())
    _set_cookie(request, response, "", 0)
    return response


def _describe(caller: Identity, token_needed: bool, expires: datetime | None) -> SessionOut:
    return SessionOut(
        name=caller.name, role=caller.role, cameras=list(caller.cameras), token_needed=token_needed, expires=expires
    )


def _set_cookie(request: web.Request, response: web.Response, value: str, max_age: int) -> None:
    response.set_cookie(
        cookie_name(request), value, max_age=max_age, path="/", httponly=True, samesite="Strict", secure=is_tls(request)
    )


_logged_failure: web.AppKey[list[float]] = web.AppKey("logged_failure", list)


async def _log_failure(request: web.Request) -> None:
    last = request.app[_logged_failure]
    if time.monotonic() - last[0] > FAILURE_LOG_INTERVAL:
        last[0] = time.monotonic()
        await _log(request, "", "log_in", 401)


async def _log(request: web.Request, who: str, what: str, status: int) -> None:
    if log := request.app[AUDIT_LOG]:
        await log.append(who, what, {}, None, status)


def prepare(app: web.Application) -> None:
    """Give an application what the routes keep between requests."""
    app[_logged_failure] = [float("-inf")]


ROUTES = (
    Route("GET", "/api/session", session, SessionOut),
    Route("POST", "/api/session", log_in, SessionOut, errors=(401,), body=LogIn, role=None, at_once=(4, 8)),
    Route("DELETE", "/api/session", log_out, LoggedOut, role=None, errors=(503,)),
)
