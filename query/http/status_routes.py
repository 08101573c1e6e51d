"""Answers what a page must know first: which index and model this is, whether it can be searched, and if not, why."""

from __future__ import annotations

from importlib.metadata import version

from aiohttp import web

from footage.query.http.app_keys import CATALOG, LIVE, MISCONFIGURED, MODEL, STORE
from footage.query.http.auth import identity
from footage.query.http.disclosure import shown_problem
from footage.query.http.page_schemas import StatusOut
from footage.query.http.routing import Params, Route
from footage.query.values.zones import local_zone


async def status(request: web.Request, _: Params) -> StatusOut:
    """Get the state of the service and its index, and what to do if it cannot be searched."""
    app, can_see = request.app, identity(request).can_see
    names = [c.camera for c in await app[CATALOG].cameras() if can_see(c.camera)]
    live = app[LIVE]
    watched = {c.name for c in live.cameras()} if live else set()
    counts = await app[STORE].counts(names) if names else {}
    records, cameras = sum(counts.get(name, 0) for name in names), {*names, *filter(can_see, watched)}
    bound = await app[CATALOG].bound_space()
    hint = ""
    if not records:
        wrong = [name for name in app[MISCONFIGURED] if can_see(name)]
        hint = "add a camera or a folder; or run: footage index FILE_OR_FOLDER" if not cameras else ""
        hint = "see the cameras: some of their settings are wrong" if wrong and not cameras else hint
    return StatusOut(
        version=version("footage"),
        state="ready",
        model=app[MODEL],
        space=bound.name if bound else "",
        zone=local_zone(),
        records=records,
        cameras=len(cameras),
        problem=await shown_problem(request),
        hint=hint,
    )


ROUTES = (Route("GET", "/api/status", status, StatusOut, errors=(503,)),)
