"""Client of the HTTP service: one method per route, returning the pydantic models of the answers.

::

    async with Client("http://localhost:8710", token=token) as footage:
        answer = await footage.search("a person with a dog", camera=["yard"], start="-2h")
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp

from footage.query.client.base_client import BaseClient, FootageError
from footage.query.http.page_schemas import (
    ChangedCameraOut,
    CoverageAnswerOut,
    FramesOut,
    MarksOut,
    MomentMarkOut,
    RemovedCameraOut,
    SessionOut,
    ShareOut,
    SharesOut,
    StatusOut,
)
from footage.query.http.schemas import AnswerOut, AuditOut, CamerasOut, MomentInfo
from footage.query.http.watch_schemas import BacktestOut, FiredOut, WatchChange, WatchesOut, WatchIn, WatchOut

Time = datetime | str | None
"""A datetime with a time zone, or text: ``2026-05-04T13:30Z``, ``-2h``."""
SILENCE_TIMEOUT = 60.0
"""Seconds without data, heartbeats included, after which an event stream is considered dead."""
MAX_RETRY_WAIT = 30.0
"""Longest wait between attempts to reconnect to the event stream, in seconds."""


@dataclass(frozen=True, slots=True)
class Event:
    """An alert of a watch. Pass ``id`` to ``Client.events`` to resume after it."""

    id: str
    fired: FiredOut


class Client(BaseClient):
    """Client of one service. Every method raises FootageError for errors of the service and of the network."""

    async def search(
        self,
        q: str = "",
        *,
        plus: Sequence[str | Path] = (),
        minus: Sequence[str | Path] = (),
        start: Time = None,
        end: Time = None,
        **filters: Any,
    ) -> AnswerOut:
        """Search for moments that match a query.

        Args:
            q: the query in words.
            plus, minus: terms to add, and terms that must be absent: words, ids of frames or moments (``"0.5*a dog"``
                has a weight), and pictures as paths.
            start, end: the time range; ``end`` is exclusive.
            filters: ``camera`` (a list), ``hours``, ``days``, ``sort``, ``mark``, ``limit``, ``after``, ``refine``,
                ``fold``, ``only``, ``then``, ``within``, ``then_camera`` (a list).
        """
        texts = {"plus": [t for t in plus if isinstance(t, str)], "minus": [t for t in minus if isinstance(t, str)]}
        params = {"q": q or None, **texts, "from": start, "to": end, **filters}
        pictures = [(sign, p) for sign, many in (("plus", plus), ("minus", minus)) for p in many if isinstance(p, Path)]
        if not pictures:
            return await self._request_model(AnswerOut, "GET", "/api/search", params)
        form = aiohttp.FormData()
        for sign, path in pictures:
            form.add_field(sign, await asyncio.to_thread(path.read_bytes), filename=path.name)
        return await self._request_model(AnswerOut, "POST", "/api/search", params, form=form)

    async def moment(self, id: str) -> MomentInfo:
        """Decode a moment's id, and check whether its footage still exists."""
        return await self._request_model(MomentInfo, "GET", f"/api/moments/{_quote(id)}")

    async def clip(
        self, id: str, path: str | Path, *, pad: float = 2.0, precise: bool = False, play: bool = False
    ) -> Path:
        """Download a moment's clip to ``path``, which appears when it is complete; ``play``: one that browsers play."""
        params = {"pad": pad, "precise": precise, "play": play}
        return await self._download("GET", f"/api/moments/{_quote(id)}/clip.mp4", Path(path), params)

    async def frame(self, id: str, *, side: int | None = None, boxes: bool | None = None) -> bytes:
        """Get a frame's picture as JPEG; ``side`` is the length of its shorter side, ``boxes`` draws what is there."""
        async with self._open_response(
            "GET", f"/api/frames/{_quote(id)}.jpg", {"side": side, "boxes": boxes}
        ) as response:
            return await response.read()

    async def export(self, moments: Sequence[str], path: str | Path, **options: Any) -> Path:
        """Export moments, by id, to a zip at ``path``; options are ``pad``, ``precise``, ``query`` and ``filters``."""
        return await self._download("POST", "/api/export", Path(path), body={"moments": list(moments), **options})

    async def session(self) -> SessionOut:
        """Get who this client is, with which role and cameras."""
        return await self._request_model(SessionOut, "GET", "/api/session")

    async def status(self) -> StatusOut:
        """Get the state of the service and its index."""
        return await self._request_model(StatusOut, "GET", "/api/status")

    async def coverage(
        self, *, camera: Sequence[str] = (), start: Time = None, end: Time = None, resolution: float = 0
    ) -> CoverageAnswerOut:
        """Get which time was watched; spans shorter than ``resolution`` seconds are joined to others."""
        params = {"camera": list(camera), "from": start, "to": end, "resolution": resolution}
        return await self._request_model(CoverageAnswerOut, "GET", "/api/coverage", params)

    async def frames(
        self,
        *,
        camera: Sequence[str] = (),
        start: Time = None,
        end: Time = None,
        hours: str = "",
        days: str = "",
        at: Time = None,
        limit: int = 100,
    ) -> FramesOut:
        """List indexed frames of a time range, evenly thinned; or of each camera the one that stands for ``at``."""
        params = {"camera": list(camera), "from": start, "to": end, "at": at, "limit": limit}
        params |= {"hours": hours, "days": days}
        return await self._request_model(FramesOut, "GET", "/api/frames", params)

    async def marks(
        self, *, camera: Sequence[str] = (), start: Time = None, end: Time = None, mark: str = ""
    ) -> MarksOut:
        """List marks of a time range; ``mark`` is ``keep`` or ``dismiss``, or empty for both."""
        params = {"camera": list(camera), "from": start, "to": end, "mark": mark}
        return await self._request_model(MarksOut, "GET", "/api/marks", params)

    async def set_mark(self, moment: str, mark: str, *, note: str = "", query: str = "") -> MomentMarkOut:
        """Mark a moment: ``keep`` or ``dismiss``; ``query`` is the question that found it."""
        body = {"mark": mark, "note": note, "query": query}
        return await self._request_model(MomentMarkOut, "PUT", f"/api/marks/{_quote(moment)}", body=body)

    async def remove_mark(self, moment: str) -> MomentMarkOut:
        """Remove the mark of a moment's event."""
        return await self._request_model(MomentMarkOut, "DELETE", f"/api/marks/{_quote(moment)}")

    async def share(self, moment: str, *, expires: str = "7d", note: str = "") -> ShareOut:
        """Make a link to a moment, at ``url``, that needs no token until it expires (``12h``, ``7d``)."""
        body = {"moment": moment, "expires": expires, "note": note}
        return await self._request_model(ShareOut, "POST", "/api/shares", body=body)

    async def shares(self) -> SharesOut:
        """List the shares that have not expired."""
        return await self._request_model(SharesOut, "GET", "/api/shares")

    async def remove_share(self, id: str) -> ShareOut:
        """Withdraw a share."""
        return await self._request_model(ShareOut, "DELETE", f"/api/shares/{_quote(id)}")

    async def cameras(self) -> CamerasOut:
        """List all cameras with what is indexed of them and their live status."""
        return await self._request_model(CamerasOut, "GET", "/api/cameras")

    async def add_camera(self, name: str, url: str, **options: Any) -> ChangedCameraOut:
        """Add a camera, or a folder of the service's machine; options are those of ``CameraIn``."""
        body = {"name": name, "url": url, **options}
        return await self._request_model(ChangedCameraOut, "POST", "/api/cameras", body=body)

    async def try_camera(self, url: str, transport: str = "tcp") -> bytes:
        """Get one picture of a camera that need not be added, as JPEG."""
        body = {"url": url, "transport": transport}
        async with self._open_response("POST", "/api/cameras/test", json=body) as response:
            return await response.read()

    async def remove_camera(self, name: str) -> RemovedCameraOut:
        """Have the service stop reading a camera or folder that was added."""
        return await self._request_model(RemovedCameraOut, "DELETE", f"/api/cameras/{_quote(name)}")

    async def watches(self) -> WatchesOut:
        """List all watches."""
        return await self._request_model(WatchesOut, "GET", "/api/watches")

    async def watch(self, name: str) -> WatchOut:
        """Get a watch."""
        return await self._request_model(WatchOut, "GET", f"/api/watches/{_quote(name)}")

    async def add_watch(self, name: str, text: str = "", **fields: Any) -> WatchOut:
        """Add a watch; other fields are those of ``query.http.watch_schemas.WatchIn``; ``picture`` may be a path.

        Raises:
            ValueError: a field is invalid.
        """
        if isinstance(picture := fields.get("picture"), Path):
            fields["picture"] = base64.b64encode(await asyncio.to_thread(picture.read_bytes)).decode()
        body = WatchIn(name=name, text=text, **fields).model_dump(mode="json")
        return await self._request_model(WatchOut, "POST", "/api/watches", body=body)

    async def pause_watch(self, name: str, paused: bool = True) -> WatchOut:
        """Pause or resume a watch."""
        body = WatchChange(paused=paused).model_dump()
        return await self._request_model(WatchOut, "PATCH", f"/api/watches/{_quote(name)}", body=body)

    async def remove_watch(self, name: str) -> WatchOut:
        """Remove a watch and its undelivered alerts."""
        return await self._request_model(WatchOut, "DELETE", f"/api/watches/{_quote(name)}")

    async def test_watch(
        self, name: str, *, start: Time = None, end: Time = None, threshold: float | None = None
    ) -> BacktestOut:
        """Backtest a watch: the times at which it would have fired."""
        params = {"from": start, "to": end, "threshold": threshold}
        return await self._request_model(BacktestOut, "GET", f"/api/watches/{_quote(name)}/test", params)

    async def audit(self, *, start: Time = None, end: Time = None, limit: int = 100) -> AuditOut:
        """List the entries of the audit log, newest first."""
        return await self._request_model(AuditOut, "GET", "/api/audit", {"from": start, "to": end, "limit": limit})

    async def events(self, last: str | None = None) -> AsyncGenerator[Event, None]:
        """Receive alerts as they happen, without end; a lost connection is reopened and resumes where it was.

        Args:
            last: id of the last known event; None begins with the next one.

        Raises:
            FootageError: the service refuses the request (4xx). Other errors are retried.
        """
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait + 1.0, MAX_RETRY_WAIT)
            try:
                async for id, data in self._read_events(last):
                    last, wait = id, 0.0
                    if data:
                        yield Event(id, FiredOut.model_validate_json(data))
            except FootageError as error:
                if 400 <= error.status < 500:
                    raise

    async def _read_events(self, last: str | None) -> AsyncIterator[tuple[str, str]]:
        """Ids and data of the events of one connection; an event without data gives the id to resume from."""
        headers = {"Last-Event-ID": last} if last else {}
        id, data = last or "", ""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=SILENCE_TIMEOUT)
        async with self._open_response("GET", "/api/events", headers=headers, timeout=timeout) as response:
            async for raw in response.content:
                field, _, value = raw.decode().rstrip("\r\n").partition(": ")
                if field == "id":
                    id = value
                elif field == "data":
                    data = value
                elif not field and not value and id:
                    yield id, data
                    data = ""


def _quote(name: str) -> str:
    return quote(name, safe="~")
