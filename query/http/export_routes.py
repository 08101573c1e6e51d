"""Exports over HTTP: the zip is sent while it is made."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import IO

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from footage.query.clips.service import Gone
from footage.query.export.archive import CHUNK, Asked, Export, in_order
from footage.query.export.manifest import Id, Wanted
from footage.query.http.auth import seen
from footage.query.http.keys import CUTTER
from footage.query.http.routing import Route

log = logging.getLogger(__name__)

MOST = 200
"""Moments of one export."""
LONGEST = timedelta(hours=2)
"""Of all clips of one export together."""

TURN: web.AppKey[asyncio.Lock] = web.AppKey("export_turn", asyncio.Lock)
"""Exports take turns, a moment each: however many are asked for, one clip is cut at a time."""


class ExportIn(BaseModel):
    """Moments to export: ids, or moments as a search answered them, whose scores are then told in the manifest."""

    model_config = ConfigDict(extra="forbid")

    moments: list[Id | Wanted] = Field(min_length=1, max_length=MOST)
    pad: float = Field(2.0, ge=0, le=600, description="seconds before and after")
    precise: bool = Field(False, description="re-encode, exact to the frame")
    query: str = Field("", max_length=1000, description="the question that found them, for the manifest")
    filters: dict[str, JsonValue] = Field({}, max_length=50, description="what else was asked, for the manifest")

    def asked(self) -> Asked:
        """The same, checked.

        Raises:
            ValueError: an id is none, or the clips are too long together.
        """
        moments = in_order(Wanted(id=m) if isinstance(m, str) else m for m in self.moments)
        total = sum((m.end - m.start + 2 * timedelta(seconds=self.pad) for m, _ in moments), timedelta())
        if total > LONGEST:
            raise ValueError(
                f"moments: their clips are {total / timedelta(hours=1):.1f} hours long together, "
                f"more than {LONGEST / timedelta(hours=1):.0f}; ask for fewer at a time"
            )
        return Asked(moments, self.query, self.filters, self.pad, self.precise)


async def export_zip(request: web.Request, given: ExportIn) -> web.StreamResponse:
    """Moments as a zip: clips, each proved, pictures, a page and a manifest."""
    asked = given.asked()
    seen(request, *(moment.camera for moment, _ in asked.moments))
    name = f"footage-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"
    told = {"Content-Type": "application/zip", "Content-Disposition": f'attachment; filename="{name}"'}
    response = web.StreamResponse(headers=told)
    with request.app[CUTTER].spare() as file, Export(request.app[CUTTER], file, asked) as export:
        try:
            await _all(request, response, file, export, asked)
        except Exception as error:
            if not response.prepared:
                raise
            if not isinstance(error, ConnectionError):  # the client has left
                log.exception("an export failed on its way")
            if request.transport:
                request.transport.abort()  # what was sent must not look whole
    return response


async def _all(
    request: web.Request, response: web.StreamResponse, file: IO[bytes], export: Export, asked: Asked
) -> None:
    """Make and send; the answer begins with the first moment that can be exported."""
    sent, reasons = 0, []
    for moment, score in asked.moments:
        async with request.app[TURN]:
            row = await export.add(moment, score)
        reasons.append(row.reason)
        if not export.empty and not response.prepared:
            await response.prepare(request)
        if response.prepared:
            sent = await _send(response, file, sent, export.size)
    if not response.prepared:
        raise Gone(f"none of these moments can be exported: {reasons[0]}")
    await export.finish()
    await _send(response, file, sent, export.size)
    await response.write_eof()


async def _send(response: web.StreamResponse, file: IO[bytes], start: int, end: int) -> int:
    """Send what is written for good; the zip finds its own place again."""

    def read(at: int) -> bytes:
        file.seek(at)
        return file.read(min(CHUNK, end - at))

    while start < end:
        chunk = await asyncio.to_thread(read, start)
        start += len(chunk)
        await response.write(chunk)
    return end


ROUTES = (
    Route(
        "POST",
        "/api/export",
        export_zip,
        "application/zip",
        errors=(404, 503),
        body=ExportIn,
        role="review",
        count=lambda given, _: len(given.moments),
    ),
)
