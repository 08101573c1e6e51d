"""Handles exports over HTTP: sends the zip while it is written."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import IO

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from footage.indexer.store.errors import StoreError
from footage.query.clips.service import NotFound
from footage.query.export.archive import CHUNK, ExportArchive, ExportRequest, sort_moments
from footage.query.export.manifest import Manifest, MomentIdText, Wanted
from footage.query.http.app_keys import EXPORT_CLIPS, REVIEWS
from footage.query.http.auth import identity, require_visible
from footage.query.http.routing import Route
from footage.query.values.ids import MomentId
from footage.stream.errors import InvalidInput

log = logging.getLogger(__name__)

MAX_MOMENTS = 200
"""Largest number of moments in one export."""
MAX_DURATION = timedelta(hours=2)
"""Longest total duration of the clips in one export."""

EXPORT_LOCK: web.AppKey[asyncio.Lock] = web.AppKey("export_lock", asyncio.Lock)
"""Concurrent exports take turns, one moment at a time, so that one clip is cut at a time."""


class ExportIn(BaseModel):
    """Moments to export: ids, or moments of a search's answer, whose scores are then in the manifest."""

    model_config = ConfigDict(extra="forbid")

    moments: list[MomentIdText | Wanted] = Field(min_length=1, max_length=MAX_MOMENTS)
    pad: float = Field(2.0, ge=0, le=600, description="seconds before and after")
    precise: bool = Field(False, description="re-encode, exact to the frame")
    query: str = Field("", max_length=1000, description="the query that found them, for the manifest")
    filters: dict[str, JsonValue] = Field(
        {}, max_length=50, description="the other parameters of the search, for the manifest"
    )

    def to_request(self) -> ExportRequest:
        """Validate the moments.

        Raises:
            ValueError: an id is invalid, or the clips are too long together.
        """
        moments = sort_moments(Wanted(id=m) if isinstance(m, str) else m for m in self.moments)
        total = sum((m.end - m.start + 2 * timedelta(seconds=self.pad) for m, _ in moments), timedelta())
        if total > MAX_DURATION:
            raise InvalidInput(
                f"moments: their clips are {total / timedelta(hours=1):.1f} hours long in total, "
                f"more than {MAX_DURATION / timedelta(hours=1):.0f}; export fewer at a time"
            )
        return ExportRequest(moments, self.query, self.filters, self.pad, self.precise)


async def export_zip(request: web.Request, given: ExportIn) -> web.StreamResponse:
    """Export moments as a zip: verified clips, pictures, an HTML page and a manifest."""
    export_request = given.to_request()
    require_visible(request, *(moment.camera for moment, _ in export_request.moments))
    reviews = await request.app[REVIEWS].of(moment for moment, _ in export_request.moments)
    export_request = replace(export_request, reviews=reviews)
    name = f"footage-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"
    headers = {"Content-Type": "application/zip", "Content-Disposition": f'attachment; filename="{name}"'}
    response = web.StreamResponse(headers=headers)
    with (
        request.app[EXPORT_CLIPS].open_scratch_file() as file,
        ExportArchive(request.app[EXPORT_CLIPS], file, export_request) as export,
    ):
        try:
            await _write_moments(request, response, file, export, export_request)
        except Exception as error:
            if not response.prepared:
                raise
            if not isinstance(error, ConnectionError):  # the client has left
                log.exception("an export failed while it was sent")
            if request.transport:
                request.transport.abort()  # the client must not take the part that was sent for a complete file
    return response


async def _write_moments(
    request: web.Request,
    response: web.StreamResponse,
    file: IO[bytes],
    export: ExportArchive,
    export_request: ExportRequest,
) -> None:
    """Write and send moment after moment; the response begins with the first moment that can be exported."""
    sent, reasons = 0, []
    for moment, score in export_request.moments:
        async with request.app[EXPORT_LOCK]:
            row = await export.add(moment, score)
        reasons.append(row.reason)
        if not export.is_empty and not response.prepared:
            await response.prepare(request)
        if response.prepared:
            sent = await _send(response, file, sent, export.size)
    if not response.prepared:
        if export.unreachable:
            raise export.unreachable
        raise NotFound(f"none of these moments can be exported: {reasons[0]}")
    manifest = await export.finish()
    await _send(response, file, sent, export.size)
    await response.write_eof()
    await _note_exported(request, manifest)


async def _note_exported(request: web.Request, manifest: Manifest) -> None:
    """Note which moments are in the export that was sent, so that answers tell it."""
    exported = [MomentId.parse(m.id) for m in manifest.moments if m.picture or m.clip]
    try:
        await request.app[REVIEWS].note_export(exported, identity(request).name)
    except StoreError:
        log.exception("that moments were exported could not be noted")


async def _send(response: web.StreamResponse, file: IO[bytes], start: int, end: int) -> int:
    """Send the bytes from ``start`` to ``end``, which are final; the zip writer seeks for itself. Returns ``end``."""

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
        count_results=lambda given, _: len(given.moments),
        at_once=(2, 4),
    ),
)
