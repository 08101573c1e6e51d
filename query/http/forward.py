"""Passes requests for footage of another machine on to the service there, and streams its answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

from aiohttp import ClientResponse, web

from footage.query.clips.service import FootageUnreachable, NotHere
from footage.query.http.app_keys import PEERS
from footage.query.http.service_auth import is_from_service
from footage.query.peers.connection import read_chunks
from footage.query.values.ids import FrameId

log = logging.getLogger(__name__)

REQUEST_HEADERS = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
"""Headers of a request that are passed on: none that holds a credential or says who asks."""
REPLY_HEADERS = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Last-Modified",
    "X-Footage-Codec",
    "X-Footage-End",
    "X-Footage-Precise",
    "X-Footage-Requested-Start",
    "X-Footage-Spans",
    "X-Footage-Start",
    "X-Footage-Transcoded",
)
"""Headers of an answer that are passed on."""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """What a handler returns for footage of another machine, in place of an answer.

    It is passed on when the request's turn has ended: a service that hangs holds up nobody's turn here.

    Attributes:
        frame: the one that is asked for, or the best frame of the moment.
        missing: why this service cannot answer by itself.
        patience: seconds in which the answer must begin.
    """

    frame: FrameId
    missing: NotHere
    patience: float


async def forward(request: web.Request, what: Forwarding) -> web.StreamResponse:
    """Answer as the service does that has the footage; the caller's right to see its camera is checked already.

    Raises:
        NotHere: there is no other service to ask, or this one was asked by another one.
        NotFound, ClipError, FootageUnreachable: as ``Peers.open``.
    """
    peers = request.app[PEERS]
    if peers is None or is_from_service(request):
        raise what.missing
    headers = {name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers}
    path = request.rel_url.raw_path_qs
    ask = partial(peers.open, what.frame, what.missing.media, path)
    async with ask(method=request.method, headers=headers, patience=what.patience) as reply:
        given = {name: reply.headers[name] for name in REPLY_HEADERS if name in reply.headers}
        response = web.StreamResponse(status=reply.status, headers=given)
        await response.prepare(request)
        try:
            await _pass_on(request, response, reply)
        except (FootageUnreachable, ConnectionError, TimeoutError) as error:  # the latter two: the caller has left
            log.log(logging.WARNING if isinstance(error, FootageUnreachable) else logging.DEBUG, "%s", error)
            if request.transport:
                request.transport.abort()  # he must not take the part that was sent for the whole
        return response


async def _pass_on(request: web.Request, response: web.StreamResponse, reply: ClientResponse) -> None:
    """Send the body part by part, no faster than the caller reads; one who leaves ends the other service's work too."""
    if request.method != "HEAD":
        async for chunk in read_chunks(reply):
            await response.write(chunk)
    await response.write_eof()
