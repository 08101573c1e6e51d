"""The service from a program: every route as a method that returns the very models with which the service answers.

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

from footage.query.client.link import FootageError, Link
from footage.query.http.schemas import AnswerOut, AuditOut, CamerasOut, MomentInfo
from footage.query.http.watch_schemas import BacktestOut, FiredOut, WatchChange, WatchesOut, WatchIn, WatchOut

Time = datetime | str | None
"""A time with its zone, or as people write it: ``2026-05-04T13:30Z``, ``-2h``."""
SILENCE = 60.0
"""Seconds without even a heartbeat after which a stream of events is dead."""
LONGEST = 30.0
"""Seconds between attempts to hear events again, at most."""


@dataclass(frozen=True, slots=True)
class Event:
    """A firing as it happened. ``id`` resumes after it."""

    id: str
    fired: FiredOut


class Client(Link):
    """One service. Every method raises FootageError, and nothing else, for what the service or the network did."""

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
        """Moments that match.

        Args:
            q: in words.
            plus, minus: also this, and without this: words, ids of frames or moments (``"0.5*a dog"`` has a weight),
                and pictures, as paths.
            filters: ``camera`` (a list), ``hours``, ``days``, ``sort``, ``limit``, ``after``, ``refine``, ``fold``,
                ``only``, ``then``, ``within``, ``then_camera`` (a list).
        """
        texts = {"plus": [t for t in plus if isinstance(t, str)], "minus": [t for t in minus if isinstance(t, str)]}
        asked = {"q": q or None, **texts, "from": start, "to": end, **filters}
        pictures = [(sign, p) for sign, many in (("plus", plus), ("minus", minus)) for p in many if isinstance(p, Path)]
        if not pictures:
            return await self.ask(AnswerOut, "GET", "/api/search", asked)
        form = aiohttp.FormData()
        for sign, path in pictures:
            form.add_field(sign, await asyncio.to_thread(path.read_bytes), filename=path.name)
        return await self.ask(AnswerOut, "POST", "/api/search", asked, form=form)

    async def moment(self, id: str) -> MomentInfo:
        """What a moment's id stands for."""
        return await self.ask(MomentInfo, "GET", f"/api/moments/{_safe(id)}")

    async def clip(self, id: str, path: str | Path, *, pad: float = 2.0, precise: bool = False) -> Path:
        """Write a moment's clip to ``path``, which appears when it is whole."""
        asked = {"pad": pad, "precise": precise}
        return await self.save("GET", f"/api/moments/{_safe(id)}/clip.mp4", Path(path), asked)

    async def frame(self, id: str, *, side: int | None = None) -> bytes:
        """A frame's picture as JPEG; ``side`` is the length of its shorter side in pixels."""
        async with self.open("GET", f"/api/frames/{_safe(id)}.jpg", {"side": side}) as response:
            return await response.read()

    async def export(self, moments: Sequence[str], path: str | Path, **options: Any) -> Path:
        """Write a zip of moments, by id, to ``path``; options are ``pad``, ``precise``, ``query`` and ``filters``."""
        return await self.save("POST", "/api/export", Path(path), body={"moments": list(moments), **options})

    async def cameras(self) -> CamerasOut:
        """Every camera, what is held of it, and what it does now."""
        return await self.ask(CamerasOut, "GET", "/api/cameras")

    async def watches(self) -> WatchesOut:
        """Every watch."""
        return await self.ask(WatchesOut, "GET", "/api/watches")

    async def watch(self, name: str) -> WatchOut:
        """One watch."""
        return await self.ask(WatchOut, "GET", f"/api/watches/{_safe(name)}")

    async def add_watch(self, name: str, text: str = "", **fields: Any) -> WatchOut:
        """Add a watch; the other fields are those of ``query.http.watch_schemas.WatchIn``; ``picture`` may be a path.

        Raises:
            ValueError: a field cannot be.
        """
        if isinstance(picture := fields.get("picture"), Path):
            fields["picture"] = base64.b64encode(await asyncio.to_thread(picture.read_bytes)).decode()
        body = WatchIn(name=name, text=text, **fields).model_dump(mode="json")
        return await self.ask(WatchOut, "POST", "/api/watches", body=body)

    async def pause_watch(self, name: str, paused: bool = True) -> WatchOut:
        """Pause a watch, or let it go on."""
        body = WatchChange(paused=paused).model_dump()
        return await self.ask(WatchOut, "PATCH", f"/api/watches/{_safe(name)}", body=body)

    async def remove_watch(self, name: str) -> WatchOut:
        """Remove a watch and what it has not delivered."""
        return await self.ask(WatchOut, "DELETE", f"/api/watches/{_safe(name)}")

    async def test_watch(
        self, name: str, *, start: Time = None, end: Time = None, threshold: float | None = None
    ) -> BacktestOut:
        """When a watch would have fired."""
        asked = {"from": start, "to": end, "threshold": threshold}
        return await self.ask(BacktestOut, "GET", f"/api/watches/{_safe(name)}/test", asked)

    async def audit(self, *, start: Time = None, end: Time = None, limit: int = 100) -> AuditOut:
        """Who asked what, newest first."""
        return await self.ask(AuditOut, "GET", "/api/audit", {"from": start, "to": end, "limit": limit})

    async def events(self, last: str | None = None) -> AsyncGenerator[Event, None]:
        """Firings as they happen, for ever: a lost connection is made anew, and goes on where it was.

        Args:
            last: id of the last event that is known already; none begins now.

        Raises:
            FootageError: the service refuses (4xx). While it is away it is tried again.
        """
        wait = 0.0
        while True:
            await asyncio.sleep(wait)
            wait = min(2 * wait + 1.0, LONGEST)
            try:
                async for id, data in self._stream(last):
                    last, wait = id, 0.0
                    if data:
                        yield Event(id, FiredOut.model_validate_json(data))
            except FootageError as error:
                if 400 <= error.status < 500:
                    raise

    async def _stream(self, last: str | None) -> AsyncIterator[tuple[str, str]]:
        """Ids and data of one connection's events; a block without data tells where a listener begins."""
        headers = {"Last-Event-ID": last} if last else {}
        id, data = last or "", ""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=SILENCE)
        async with self.open("GET", "/api/events", headers=headers, timeout=timeout) as response:
            async for raw in response.content:
                field, _, value = raw.decode().rstrip("\r\n").partition(": ")
                if field == "id":
                    id = value
                elif field == "data":
                    data = value
                elif not field and not value and id:
                    yield id, data
                    data = ""


def _safe(name: str) -> str:
    return quote(name, safe="~")
