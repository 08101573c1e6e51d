"""Decides what a caller is told of errors and states: machines, folders, other cameras only to admins of all."""

from __future__ import annotations

from aiohttp import web

from footage.query.http.app_keys import DISK, HEALTH
from footage.query.http.auth import IDENTITY
from footage.query.http.service_auth import is_from_service
from footage.stream.errors import FootageError

DAMAGED = "the index is damaged, so answers are not complete; an administrator can see how to repair it"
DISK_FULL = "a disk is full or cannot be written to: nothing new is indexed or recorded; an administrator can see which"


def details_for(request: web.Request, text: str, public: str) -> str:
    """The text for a caller that may know all, else ``public`` in place of it; an empty text stays empty."""
    return text if not text or _may_know_all(request) else public


def shown_error(request: web.Request, error: FootageError) -> str:
    """The message of an error for the caller of a request, which may not be known."""
    return details_for(request, str(error), error.public or str(error))


async def shown_problem(request: web.Request) -> str:
    """What is wrong with the index or a disk, for the caller of a request; empty when nothing is."""
    damage = await request.app[HEALTH].damage()
    return details_for(request, damage, DAMAGED) or details_for(request, request.app[DISK].problem, DISK_FULL)


def _may_know_all(request: web.Request) -> bool:
    """Whether it is an admin of all cameras, or another service, which decides the same for whoever asked it."""
    caller = request.get(IDENTITY)
    return is_from_service(request) or (caller is not None and caller.sees_all)
