"""CLIP by a Roboflow Inference server: its Docker image, or the hosted one."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import cv2
import stamina
from yarl import URL

from footage.indexer.embed.base import EmbedderAway, EmbedderError, Vectors
from footage.indexer.embed.preprocess import Fit
from footage.indexer.embed.roboflow import KEY_HINT, TooLong, recipe_of, shortened, space_of, unit, version_of
from footage.stream.frame import Image

log = logging.getLogger(__name__)

LIMIT = 8
"""Pictures a request at first: ``CLIP_MAX_BATCH_SIZE`` of Inference 1.8."""
AWAY = {429, 502, 503, 504}
"""Statuses that pass: too much at once, a proxy without its server, a server that is starting."""
REFUSED = {401: KEY_HINT, 402: "its Roboflow workspace has no credits left", 403: KEY_HINT}

Payload = dict[str, Any]


class _Passing(Exception):
    """Worth another try after a pause: the connection, the time, or a status of ``AWAY``."""


class _Overfull(Exception):
    """Status 413 or 500: perhaps the request held too much."""


class InferenceServer:
    """A client of one server (an ``Embedder``).

    Pictures are made square on two threads and sent as PNG, so the server sees what a model run directly would see;
    JPEG is for narrow links. Requests run side by side on the event loop. A server that answers 500 is sent less in
    one request, and what it accepts is remembered; one that answers a batch with a single vector (Inference
    1.8.3) is sent one at a time. While it cannot be reached calls wait, for ``patience`` seconds at most.
    """

    floor: float | None = None

    def __init__(
        self,
        url: str,
        *,
        model: str = "clip/ViT-B-16",
        key: str | None = None,
        fit: Fit | None = None,
        limit: int = LIMIT,
        flights: int = 4,
        quality: int | None = None,
        patience: float = 300,
        timeout: float = 60,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: of the server, for example ``http://localhost:9001``.
            model: one of OpenAI's, for example ``clip/ViT-B-16``.
            key: of the Roboflow workspace; the server needs it to fetch the weights the first time.
            fit: what happens to pictures that are not square; None is the model's own way, a crop.
            limit: pictures in one request.
            flights: requests at once.
            quality: of JPEG, 1 to 100; None sends PNG, which loses nothing.
            patience: seconds to wait for a server that is away.
            timeout: seconds for one request, the first one (which may fetch weights) included.

        Raises:
            EmbedderError: the address or the model is wrong.
        """
        address = URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise EmbedderError(f"inference_url: expected something like http://localhost:9001, not '{url}'")
        self._key = key or address.query.get("api_key")
        self._address = address.with_query(None).with_fragment(None)
        self._name = str(self._address.with_user(None).with_password(None)).rstrip("/")
        self._version = version_of(model)
        self.space = space_of(self._version)
        self._recipe = recipe_of(self._version, fit)
        self.side = self._recipe.short
        self.batch = limit * flights
        self.limits = {"image": limit, "text": limit}
        self._quality, self._patience, self._timeout = quality, patience, timeout
        self._flights = asyncio.Semaphore(flights)
        self._hands = ThreadPoolExecutor(2, "inference-prepare")
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``.

        Raises:
            EmbedderAway: the server could not be reached for ``patience`` seconds.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        values = await asyncio.gather(*(loop.run_in_executor(self._hands, self._encode, image) for image in batch))
        return await self._embed("image", [{"type": "base64", "value": value} for value in values])

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts`` and ``images``. What is longer than the model's context is cut, with a warning."""
        self._check_open()
        return await self._embed("text", list(texts))

    async def health(self, seconds: float = 3) -> str:
        """Name and version of the server.

        Raises:
            EmbedderAway: it does not answer in time.
        """
        self._check_open()
        try:
            async with asyncio.timeout(seconds), self._client().get(self._address / "info") as response:
                content = await response.json()
                return f"{content['name']} {content['version']} at {self._name}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise EmbedderAway(self._absent(type(error).__name__)) from None

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._hands.shutdown)
        if self._session:
            await self._session.close()

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderError("the client of the Inference server is closed")

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=5))
        return self._session

    def _encode(self, image: Image) -> str:
        square = cv2.cvtColor(self._recipe.square(image), cv2.COLOR_RGB2BGR)
        if self._quality is None:
            _, coded = cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        else:
            # Halved colours cost more likeness than the bytes they save: see docs/decisions/0005-clip-routes.md.
            colours = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
            _, coded = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, self._quality, *colours])
        return base64.b64encode(coded.tobytes()).decode()

    async def _embed(self, kind: str, items: Sequence[Any]) -> Vectors:
        size = self.limits[kind]
        parts = [items[first : first + size] for first in range(0, len(items), size)]
        tasks = [asyncio.ensure_future(self._part(kind, part)) for part in parts]
        try:
            rows = [row for task in tasks for row in await task]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return unit(rows, self.space.dim, self._name)

    async def _part(self, kind: str, items: Sequence[Any]) -> list[list[float]]:
        """One request; what proves too much for one is sent in smaller ones."""
        if len(items) > self.limits[kind]:  # it was learned meanwhile
            return await self._split(kind, items, self.limits[kind])
        try:
            return await self._once_more(lambda: self._post(kind, items))
        except TooLong:
            if len(items) > 1:
                return await self._split(kind, items, 1)
            answer = await shortened(items[0], lambda part: self._text(part))
            return [answer[0].tolist()]
        except _Overfull as error:
            if len(items) == 1:
                raise EmbedderError(f"the Inference server at {self._name} fails: {error}") from None
        rows = await self._split(kind, items, len(items) // 2)
        if self.limits[kind] >= len(items):  # nobody learned less meanwhile
            self._learn(kind, len(items) // 2)
        return rows

    async def _text(self, text: str) -> Vectors:
        rows = await self._once_more(lambda: self._post("text", [text]))
        return unit(rows, self.space.dim, self._name)

    async def _split(self, kind: str, items: Sequence[Any], size: int) -> list[list[float]]:
        parts = [await self._part(kind, items[first : first + size]) for first in range(0, len(items), size)]
        return [row for part in parts for row in part]

    def _learn(self, kind: str, limit: int) -> None:
        self.limits[kind] = limit
        log.warning("the Inference server at %s takes %d %ss at once, no more", self._name, limit, kind)

    async def _once_more(self, post: Callable[[], Awaitable[list[list[float]]]]) -> list[list[float]]:
        """A server that failed may have failed by chance: ask again before concluding anything."""
        try:
            return await post()
        except _Overfull:
            await asyncio.sleep(0.1)
            return await post()

    async def _post(self, kind: str, items: Sequence[Any]) -> list[list[float]]:
        body: Payload = {kind: list(items), "clip_version_id": self._version}
        wait = {"wait_initial": 0.1, "wait_max": 5.0, "wait_jitter": 0.2}
        try:
            async for attempt in stamina.retry_context(_Passing, attempts=None, timeout=self._patience, **wait):
                with attempt:
                    answer = await self._request(f"embed_{kind}", body)
        except _Passing as error:
            raise EmbedderAway(self._absent(str(error))) from None
        rows: list[list[float]] = answer.get("embeddings") or []
        if len(rows) == len(items):
            return rows
        if len(items) == 1:
            raise EmbedderError(f"the Inference server at {self._name} gave {len(rows)} vectors for one {kind}")
        if self.limits[kind] > 1:
            self._learn(kind, 1)
        return await self._split(kind, items, 1)

    async def _request(self, route: str, body: Payload) -> Payload:
        query = {"api_key": self._key} if self._key else {}
        try:
            async with self._flights, self._client().post(self._address / "clip" / route, params=query, json=body) as r:
                content = await _content(r)
                status = r.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if self._closed:
                raise EmbedderError("the client of the Inference server is closed") from None
            raise _Passing(_plain(error)) from None
        said = self._hidden(str(content.get("message", ""))) or f"status {status}"
        if status == 200:
            return content
        if status in AWAY:
            raise _Passing(said)
        if status in (413, 500):
            raise _Overfull(said)
        if "too long" in said.lower():
            raise TooLong(said)
        raise EmbedderError(
            f"the Inference server at {self._name} refused: {said}; {REFUSED.get(status, 'is it one?')}"
        )

    def _absent(self, why: str) -> str:
        return (
            f"the Inference server at {self._name} has not answered ({why}); start it "
            "(docker compose --profile inference up -d) or correct inference_url"
        )

    def _hidden(self, text: str) -> str:
        """Without the key, which servers repeat in their errors."""
        return text.replace(self._key, "***") if self._key else text


async def _content(response: aiohttp.ClientResponse) -> Payload:
    """The JSON object of an answer; whatever else it is becomes its message."""
    try:
        content = await response.json(content_type=None)
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"message": (await response.text())[:200].strip()}


def _plain(error: Exception) -> str:
    """What went wrong, without the URL, which holds the key."""
    system = getattr(error, "os_error", error)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror
    return "it took too long" if isinstance(error, TimeoutError) else type(error).__name__
