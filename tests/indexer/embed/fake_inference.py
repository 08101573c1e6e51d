"""A fake Roboflow Inference, in process and as a server, that runs a tiny model behind the real API.

From the source of inference 1.8.3: ``core/interfaces/http/http_api.py``, ``models/clip/clip_model.py`` and
``clip_inference_models.py``, ``core/interfaces/http/error_handlers.py``.
"""

from __future__ import annotations

import asyncio
import base64
import html
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import ftfy
import numpy as np
import onnxruntime
from aiohttp import web
from numpy.typing import NDArray

from footage.indexer.embed.tokenizer import openai_tokenizer
from footage.stream.frame import Image
from tests.indexer.embed import tiny

SHAPE = tiny.Shape(side=224, patch=32, dim=512)
"""The input and output sizes of ViT-B-16."""
KEY = "secret-key-1234"


class TooLongError(Exception):
    """What rf-clip's tokenizer says, by way of ``ModelInputError``."""


class Model:
    """The tiny model, with OpenAI's own preprocessing and tokenizer."""

    def __init__(self, folder: Path) -> None:
        self._visual = onnxruntime.InferenceSession(folder / "visual.onnx")
        self._textual = onnxruntime.InferenceSession(folder / "textual.onnx")
        self._tokenizer = openai_tokenizer(folder / "bpe_simple_vocab_16e6.txt.gz")

    def images(self, images: list[Image]) -> NDArray[np.float32]:
        """Embed RGB images, not normalized."""
        return self._visual.run(None, {"input": tiny.reference(images, SHAPE.side)})[0]

    def texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Embed texts; a text beyond the context is an error."""
        rows = np.zeros((len(texts), 77), np.int32)
        cleaned = [html.unescape(html.unescape(ftfy.fix_text(text))).strip() for text in texts]  # rf-clip's basic_clean
        for row, encoding in zip(rows, self._tokenizer.encode_batch(cleaned), strict=True):
            if len(encoding.ids) > 77:
                raise TooLongError("Text input is too long for the model context length. Shorten the text and retry.")
            row[: len(encoding.ids)] = encoding.ids
        return self._textual.run(None, {"input": rows})[0]


class Server:
    """The HTTP side of Inference.

    Attributes:
        limit: ``CLIP_MAX_BATCH_SIZE``.
        joins: answer a batch with one vector, as 1.8.3 does with its newer models.
        faults: statuses to answer with before working, first to last; 0 drops the connection.
        message: what it says with them.
        asked: the path and number of items of each request.
        busiest: the most requests that were inside at once.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.limit, self.joins, self.key = 8, False, KEY
        self.faults: list[int] = []
        self.message = "Internal error."
        self.asked: list[tuple[str, int]] = []
        self.busiest = self._inside = 0
        self.app = web.Application(client_max_size=1 << 26)
        self.app.add_routes(
            [
                web.post("/clip/embed_image", self._image),
                web.post("/clip/embed_text", self._text),
                web.get("/info", self._info),
            ]
        )

    async def _info(self, request: web.Request) -> web.Response:
        return web.json_response({"name": "Roboflow Inference Server", "version": "1.8.3", "uuid": "x"})

    async def _image(self, request: web.Request) -> web.Response:
        def work(items: list[Any]) -> NDArray[np.float32]:
            if len(items) > self.limit:
                raise ValueError(f"The maximum number of images that can be embedded at once is {self.limit}")
            pixels = [_decode(item) for item in items]
            return self.model.images([np.concatenate(pixels)] if self.joins else pixels)

        return await self._answer(request, "image", work)

    async def _text(self, request: web.Request) -> web.Response:
        return await self._answer(request, "text", self.model.texts)

    async def _answer(
        self, request: web.Request, field: str, work: Callable[[list[Any]], NDArray[np.float32]]
    ) -> web.Response:
        self._inside += 1
        self.busiest = max(self.busiest, self._inside)
        try:
            return await self._checked(request, field, work)
        finally:
            self._inside -= 1

    async def _checked(
        self, request: web.Request, field: str, work: Callable[[list[Any]], NDArray[np.float32]]
    ) -> web.Response:
        body = await request.json()
        items = body[field] if isinstance(body[field], list) else [body[field]]
        self.asked.append((request.path, len(items)))
        if self.faults:
            status = self.faults.pop(0)
            if not status:
                assert request.transport
                request.transport.close()
            return web.json_response({"message": self.message}, status=status or 500)
        if request.query.get("api_key") != self.key:
            said = f"Unauthorized access to roboflow API with {request.query.get('api_key')} - check API key."
            return web.json_response({"message": said}, status=401)
        if body["clip_version_id"] != "ViT-B-16":
            return web.json_response({"message": "Requested Roboflow resources not found"}, status=404)
        try:
            vectors = await asyncio.to_thread(work, items)
        except TooLongError as error:
            return web.json_response({"message": f"Error with model input. Cause: {error}"}, status=400)
        except Exception:
            return web.json_response({"message": "Internal error."}, status=500)
        return web.json_response({"inference_id": "x", "time": 0.1, "embeddings": vectors.tolist()})


def _decode(item: dict[str, str]) -> Image:
    assert item["type"] == "base64"
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(item["value"]), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.uint8)
