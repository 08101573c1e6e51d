"""Embeds with CLIP of a Roboflow Inference server: its Docker image, or the hosted service."""

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

from footage.indexer.embed.base import EmbedderError, EmbedderUnreachable, Vectors, model_faults
from footage.indexer.embed.preprocess import Fit
from footage.indexer.embed.roboflow import (
    KEY_HINT,
    TextTooLong,
    embed_shortened,
    inference_preprocessor,
    inference_space,
    inference_version,
    to_unit_rows,
)
from footage.stream.frame import Image

log = logging.getLogger(__name__)

DEFAULT_LIMIT = 8
"""Images per request at first: ``CLIP_MAX_BATCH_SIZE`` of Inference 1.8."""
TEXT_LIMIT = 256
"""Texts per request at first. Inference 1.8 takes any number and divides it into batches of its own
(``Clip.embed_text``, ``ClipOnnx.embed_text``); 256 keep a request far below the time limit on a slow machine."""
RETRY_STATUSES = {429, 502, 503, 504}
"""Transient statuses: too many requests, a proxy without its server, a server that is starting."""
LOG_HINT = "look into the server's own log (docker compose logs inference)"
FAILURE_HINT = (
    "if it has not downloaded the weights yet: it needs a valid key (ROBOFLOW_API_KEY) and must reach Roboflow over "
    f"the network; {LOG_HINT}"
)
REFUSAL_HINTS = {
    401: KEY_HINT,
    402: "its Roboflow workspace has no credits left",
    403: KEY_HINT,
    404: "is it an Inference server, and has it CLIP?",
    423: "the use of its Roboflow workspace is paused",
}

Payload = dict[str, Any]


class _TransientError(Exception):
    """Raised for what is retried after a pause: a connection error or a timeout."""


class _NotReady(_TransientError):
    """Raised for one of ``RETRY_STATUSES``: the server answers, but does not work (yet)."""


class _RequestTooLarge(Exception):
    """Raised for status 413 or 500: the request may have held too many items."""


class InferenceServerEmbedder:
    """An ``Embedder`` that is a client of one server.

    Images are made square on two threads and sent as PNG, so the server gets what a model run directly would get; JPEG
    is for slow links. Requests run concurrently on the event loop. A server that answers 500 gets smaller requests, and
    the size that it accepts is remembered; one that answers a batch with a single vector (Inference 1.8.3) gets one
    item per request. While the server cannot be reached, calls wait for at most ``max_wait`` seconds.
    """

    floor: float | None = None

    def __init__(
        self,
        url: str,
        *,
        model: str = "clip/ViT-B-16",
        key: str | None = None,
        fit: Fit | None = None,
        limit: int = DEFAULT_LIMIT,
        concurrency: int = 4,
        quality: int | None = None,
        max_wait: float = 300,
        timeout: float = 60,
    ) -> None:
        """Send nothing yet.

        Args:
            url: address of the server, for example ``http://localhost:9001``.
            model: one of OpenAI's, for example ``clip/ViT-B-16``.
            key: API key of the Roboflow workspace; the server needs it to download the weights the first time.
            fit: how images that are not square are fitted; None is the model's default, a crop.
            limit: images in one request; texts take ``TEXT_LIMIT``.
            concurrency: requests at once.
            quality: JPEG quality, 1 to 100; None sends PNG, which is lossless.
            max_wait: seconds to wait for a server that cannot be reached.
            timeout: seconds for one request; the first one may include downloading the weights.

        Raises:
            EmbedderError: the address or the model is wrong.
        """
        address = URL(url)
        if address.scheme not in ("http", "https") or not address.host:
            raise EmbedderError(f"inference_url: expected something like http://localhost:9001, not '{url}'")
        self._key = key or address.query.get("api_key")
        self._address = address.with_query(None).with_fragment(None)
        self._name = str(self._address.with_user(None).with_password(None)).rstrip("/")
        self._version = inference_version(model)
        self.space = inference_space(self._version)
        self._preprocessor = inference_preprocessor(self._version, fit)
        self.side = self._preprocessor.short_side
        self.batch = limit * concurrency
        self.limits = {"image": limit, "text": TEXT_LIMIT}
        self._has_answered = False
        self._quality, self._max_wait, self._timeout = quality, max_wait, timeout
        self._slots = asyncio.Semaphore(concurrency)
        self._prepare_pool = ThreadPoolExecutor(2, "inference-prepare")
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``.

        Raises:
            EmbedderUnreachable: the server could not be reached for ``max_wait`` seconds.
        """
        self._check_open()
        loop = asyncio.get_running_loop()
        with model_faults(self.space.name):
            values = await asyncio.gather(
                *(loop.run_in_executor(self._prepare_pool, self._encode, image) for image in batch)
            )
        return await self._embed("image", [{"type": "base64", "value": value} for value in values])

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts`` and ``images``. Longer texts are cut to the context, with a warning."""
        self._check_open()
        return await self._embed("text", list(texts))

    async def health(self, seconds: float = 3) -> str:
        """Return name and version of the server.

        Raises:
            EmbedderUnreachable: it does not answer in time.
        """
        self._check_open()
        try:
            async with asyncio.timeout(seconds), self._client().get(self._address / "info") as response:
                content = await response.json()
                return f"{content['name']} {content['version']} at {self._name}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise EmbedderUnreachable(self._unreachable_message(type(error).__name__)) from None

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._prepare_pool.shutdown)
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
        square = cv2.cvtColor(self._preprocessor.to_square(image), cv2.COLOR_RGB2BGR)
        if self._quality is None:
            _, coded = cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        else:
            # Chroma subsampling costs more accuracy than its bytes are worth: see docs/decisions/0005-clip-routes.md.
            sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
            _, coded = cv2.imencode(".jpg", square, [cv2.IMWRITE_JPEG_QUALITY, self._quality, *sampling])
        return base64.b64encode(coded.tobytes()).decode()

    async def _embed(self, kind: str, items: Sequence[Any]) -> Vectors:
        size = self.limits[kind]
        parts = [items[first : first + size] for first in range(0, len(items), size)]
        tasks = [asyncio.ensure_future(self._embed_part(kind, part)) for part in parts]
        try:
            rows = [row for task in tasks for row in await task]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return to_unit_rows(rows, self.space.dim, self._name)

    async def _embed_part(self, kind: str, items: Sequence[Any]) -> list[list[float]]:
        """Embed items in one request; split it when it proves too large."""
        if len(items) > self.limits[kind]:  # lowered meanwhile
            return await self._split(kind, items, self.limits[kind])
        try:
            return await self._retry_once(lambda: self._post(kind, items))
        except TextTooLong:
            if len(items) > 1:
                return await self._split(kind, items, (len(items) + 1) // 2)
            answer = await embed_shortened(items[0], lambda part: self._embed_text(part))
            return [answer[0].tolist()]
        except _RequestTooLarge as error:
            if len(items) == 1:
                raise EmbedderError(f"the Inference server at {self._name} fails: {error}; {FAILURE_HINT}") from None
        if not self._has_answered:  # perhaps it cannot work at all: one item shows that with the fewest requests
            return [*await self._embed_part(kind, items[:1]), *await self._embed_part(kind, items[1:])]
        rows = await self._split(kind, items, len(items) // 2)
        if self.limits[kind] >= len(items):  # not lowered further meanwhile
            self._lower_limit(kind, len(items) // 2)
        return rows

    async def _embed_text(self, text: str) -> Vectors:
        rows = await self._retry_once(lambda: self._post("text", [text]))
        return to_unit_rows(rows, self.space.dim, self._name)

    async def _split(self, kind: str, items: Sequence[Any], size: int) -> list[list[float]]:
        parts = [await self._embed_part(kind, items[first : first + size]) for first in range(0, len(items), size)]
        return [row for part in parts for row in part]

    def _lower_limit(self, kind: str, limit: int) -> None:
        self.limits[kind] = limit
        log.warning("the Inference server at %s takes %d %ss at once, no more", self._name, limit, kind)

    async def _retry_once(self, post: Callable[[], Awaitable[list[list[float]]]]) -> list[list[float]]:
        """Retry once: a single failure may be chance and says nothing about the size of the request."""
        try:
            return await post()
        except _RequestTooLarge:
            await asyncio.sleep(0.1)
            return await post()

    async def _post(self, kind: str, items: Sequence[Any]) -> list[list[float]]:
        body: Payload = {kind: list(items), "clip_version_id": self._version}
        wait = {"wait_initial": 0.1, "wait_max": 5.0, "wait_jitter": 0.2}
        try:
            async for attempt in stamina.retry_context(_TransientError, attempts=None, timeout=self._max_wait, **wait):
                with attempt:
                    answer = await self._request(f"embed_{kind}", body)
        except _NotReady as error:
            raise EmbedderUnreachable(
                f"the Inference server at {self._name} answers, but does not work ({error}); {FAILURE_HINT}"
            ) from None
        except _TransientError as error:
            raise EmbedderUnreachable(self._unreachable_message(str(error))) from None
        rows: list[list[float]] = answer.get("embeddings") or []
        if len(rows) == len(items):
            return rows
        if len(items) == 1:
            raise EmbedderError(f"the Inference server at {self._name} gave {len(rows)} vectors for one {kind}")
        if self.limits[kind] > 1:
            self._lower_limit(kind, 1)
        return await self._split(kind, items, 1)

    async def _request(self, route: str, body: Payload) -> Payload:
        query = {"api_key": self._key} if self._key else {}
        try:
            async with self._slots, self._client().post(self._address / "clip" / route, params=query, json=body) as r:
                content = await _read_json(r)
                status = r.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if self._closed:
                raise EmbedderError("the client of the Inference server is closed") from None
            raise _TransientError(_describe_error(error)) from None
        message = self._redact_key(str(content.get("message", ""))) or f"status {status}"
        if status == 200:
            self._has_answered = True
            return content
        raise self._refusal(status, message)

    def _refusal(self, status: int, message: str) -> Exception:
        """Return the error of a response that is not 200."""
        if status in RETRY_STATUSES:
            return _NotReady(message)
        if status in (413, 500):
            return _RequestTooLarge(message)
        if "too long" in message.lower():
            return TextTooLong(message)
        hint = KEY_HINT if "api key" in message.lower() else REFUSAL_HINTS.get(status, LOG_HINT)
        return EmbedderError(f"the Inference server at {self._name} refused: {message}; {hint}")

    def _unreachable_message(self, why: str) -> str:
        return (
            f"the Inference server at {self._name} has not answered ({why}); start it "
            "(docker compose --profile inference up -d) or correct inference_url"
        )

    def _redact_key(self, text: str) -> str:
        """Remove the key, which servers repeat in their errors."""
        return text.replace(self._key, "***") if self._key else text


async def _read_json(response: aiohttp.ClientResponse) -> Payload:
    """Return the JSON object of a response; the text of any other response becomes its message."""
    try:
        content = await response.json(content_type=None)
    except ValueError:
        content = None
    return content if isinstance(content, dict) else {"message": (await response.text())[:200].strip()}


def _describe_error(error: Exception) -> str:
    """Describe the error without the URL, which holds the key."""
    system = getattr(error, "os_error", error)
    if isinstance(system, OSError) and system.strerror:
        return system.strerror
    return "it took too long" if isinstance(error, TimeoutError) else type(error).__name__
