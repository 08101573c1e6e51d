"""A connection to the service: requests, answers as models or files, and the one kind of error."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from footage.query.http.schemas import ErrorOut

M = TypeVar("M", bound=BaseModel)
CHUNK = 1 << 20


class FootageError(Exception):
    """The service refused, failed, or was not reached.

    Attributes:
        status: of HTTP; 0: no answer came.
        error: what went wrong.
        hint: what to do; may be empty.
    """

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(f"{error} ({hint})" if hint else error)
        self.status, self.error, self.hint = status, error, hint


class Link:
    """Asks one service.

    Args:
        url: of the service.
        token: as ``footage token add`` prints it; none for a service on this machine that asks for none.
        timeout: seconds without a byte after which an answer is given up.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 120.0) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0, sock_read=timeout)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=self._timeout)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def ask(
        self,
        model: type[M],
        method: str,
        path: str,
        asked: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> M:
        async with self.open(method, path, asked, json=body, data=form) as response:
            text = await response.read()
            try:
                return model.model_validate_json(text)
            except ValidationError as error:
                what = f"an answer that is no {model.__name__}: {error.error_count()} faults"
                raise FootageError(response.status, what, "is the client of the service's version?") from None

    async def save(
        self,
        method: str,
        path: str,
        out: Path,
        asked: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Path:
        draft = out.with_name(out.name + ".part")
        try:
            async with self.open(method, path, asked, json=body) as response:
                with await asyncio.to_thread(draft.open, "wb") as file:
                    async for chunk in response.content.iter_chunked(CHUNK):
                        await asyncio.to_thread(file.write, chunk)
            await asyncio.to_thread(os.replace, draft, out)
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)
        return out

    @asynccontextmanager
    async def open(
        self, method: str, path: str, asked: Mapping[str, Any] | None = None, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("open the client first: async with Client(...) as footage")
        url = URL(self._url + path, encoded=True).with_query(_query(asked or {}))
        try:
            async with self._session.request(method, url, **more) as response:
                if response.status >= 400:
                    raise _refusal(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            told = f"{self._url}: {str(error) or type(error).__name__}"
            raise FootageError(0, told, "is footage serve running?") from None


def _query(asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = ((k, v) for k, given in asked.items() for v in (given if isinstance(given, list) else [given]))
    return [(k, _text(v)) for k, v in pairs if v is not None]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _refusal(status: int, body: bytes) -> FootageError:
    try:
        told = ErrorOut.model_validate_json(body)
    except ValidationError:
        return FootageError(status, body[:200].decode(errors="replace") or f"status {status}")
    return FootageError(status, told.error, told.hint)
