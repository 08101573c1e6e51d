"""Sends the client's requests, parses answers into models or files, and raises FootageError."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from footage.query.http.schemas import ErrorOut
from footage.stream import errors
from footage.stream.atomic import atomic_write

M = TypeVar("M", bound=BaseModel)
CHUNK_SIZE = 1 << 20


class FootageError(errors.FootageError):
    """The service refused a request, failed, or could not be reached.

    Attributes:
        status: the HTTP status; 0 if there was no answer.
        error: what went wrong.
        hint: what to do about it; may be empty.
    """

    def __init__(self, status: int, error: str, hint: str = "") -> None:
        super().__init__(f"{error} ({hint})" if hint else error)
        self.status, self.error, self.hint = status, error, hint


class BaseClient:
    """A session with one service.

    Args:
        url: address of the service.
        token: a token as ``footage token add`` prints it; not needed for a service on this machine without tokens.
        timeout: seconds without data after which a request fails.
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

    async def _request_model(
        self,
        model: type[M],
        method: str,
        path: str,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: aiohttp.FormData | None = None,
    ) -> M:
        async with self._open_response(method, path, params, json=body, data=form) as response:
            text = await response.read()
            try:
                return model.model_validate_json(text)
            except ValidationError as error:
                what = f"the answer is not a valid {model.__name__}: {error.error_count()} errors"
                raise FootageError(response.status, what, "are client and service of the same version?") from None

    async def _download(
        self,
        method: str,
        path: str,
        out: Path,
        params: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Path:
        with atomic_write(out) as draft:
            async with self._open_response(method, path, params, json=body) as response:
                with await asyncio.to_thread(draft.open, "wb") as file:
                    async for chunk in response.content.iter_chunked(CHUNK_SIZE):
                        await asyncio.to_thread(file.write, chunk)
        return out

    @asynccontextmanager
    async def _open_response(
        self, method: str, path: str, params: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("open the client first: async with Client(...) as footage")
        url = URL(self._url + path, encoded=True).with_query(_query_pairs(params or {}))
        try:
            async with self._session.request(method, url, **options) as response:
                if response.status >= 400:
                    raise _to_error(response.status, await response.read())
                yield response
        except (aiohttp.ClientError, TimeoutError) as error:
            what = f"{self._url}: {str(error) or type(error).__name__}"
            raise FootageError(0, what, "is footage serve running?") from None


def _query_pairs(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    pairs = ((k, v) for k, given in params.items() for v in (given if isinstance(given, list) else [given]))
    return [(k, _format_value(v)) for k, v in pairs if v is not None]


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _to_error(status: int, body: bytes) -> FootageError:
    try:
        answer = ErrorOut.model_validate_json(body)
    except ValidationError:
        return FootageError(status, body[:200].decode(errors="replace") or f"status {status}")
    return FootageError(status, answer.error, answer.hint)
