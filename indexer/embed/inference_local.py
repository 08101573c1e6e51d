"""CLIP by Roboflow Inference inside this process: the extra ``inference``."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np

from footage.indexer.embed.base import EmbedderError, Vectors
from footage.indexer.embed.preprocess import Fit
from footage.indexer.embed.roboflow import KEY_HINT, TooLong, recipe_of, shortened, space_of, unit, version_of
from footage.stream.frame import Image

BATCH = 8
"""``CLIP_MAX_BATCH_SIZE`` of Inference 1.8."""
T = TypeVar("T")


class InferenceLocal:
    """The package ``inference`` as an ``Embedder``.

    Everything happens on one worker thread that this object owns, importing and loading (which fetches the weights
    the first time) included. Pictures go in as arrays.
    """

    floor: float | None = None

    def __init__(self, *, model: str = "clip/ViT-B-16", key: str | None = None, fit: Fit | None = None) -> None:
        """Nothing is loaded yet; the first call does that.

        Args:
            model: one of OpenAI's, for example ``clip/ViT-B-16``.
            key: of the Roboflow workspace; by default ``ROBOFLOW_API_KEY``.
            fit: what happens to pictures that are not square; None is the model's own way, a crop.

        Raises:
            EmbedderError: Inference has no such model.
        """
        self._version = version_of(model)
        self.space = space_of(self._version)
        self._recipe = recipe_of(self._version, fit)
        self.side = self._recipe.short
        self.batch = BATCH
        self._key = key or os.environ.get("ROBOFLOW_API_KEY")
        self._worker = ThreadPoolExecutor(1, "inference")
        self._closed = False

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        return await self._run(self._images, list(batch))

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. What is longer than the model's context is cut, with a warning."""
        try:
            return await self._run(self._texts, list(texts))
        except TooLong:
            pass
        rows = [await self._one(text) for text in texts]
        return np.concatenate(rows)

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown)

    async def _one(self, text: str) -> Vectors:
        try:
            return await self._run(self._texts, [text])
        except TooLong:
            return await shortened(text, lambda part: self._run(self._texts, [part]))

    async def _run(self, work: Callable[[T], Vectors], items: T) -> Vectors:
        if self._closed:
            raise EmbedderError("the Inference embedder is closed")
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, items)

    @cached_property
    def _model(self) -> Any:
        try:
            get_model = importlib.import_module("inference").get_model
        except (ImportError, AttributeError) as error:
            wanted = "Roboflow Inference with CLIP is not installed"
            raise EmbedderError(f"{wanted} ({error}); install it: pip install 'footage[inference]'") from error
        try:
            return get_model(f"clip/{self._version}", api_key=self._key)
        except Exception as error:  # Inference raises some thirty kinds
            raise EmbedderError(self._unloaded(error)) from None

    def _unloaded(self, error: Exception) -> str:
        said = str(error).replace(self._key, "***") if self._key else str(error)
        hint = "is the key right, and can Roboflow be reached?" if self._key else KEY_HINT
        return f"Roboflow Inference cannot load clip/{self._version} ({type(error).__name__}: {said[:200]}); {hint}"

    def _images(self, images: list[Image]) -> Vectors:
        squares = [self._recipe.square(image) for image in images]
        rows = [self._embed_images(squares[first : first + BATCH]) for first in range(0, len(squares), BATCH)]
        return self._joined(rows)

    def _embed_images(self, squares: list[Image]) -> Any:
        # embed_image of the adapter in Inference 1.8.3 joins a list of pictures into one tall picture; its native
        # entry takes them one by one, as they are.
        native = getattr(self._model, "run_tensor_native_inference", None)
        if native:
            return self._asked(native, "embed-image", images=squares, input_color_format="rgb")
        return self._asked(self._model.embed_image, [cv2.cvtColor(square, cv2.COLOR_RGB2BGR) for square in squares])

    def _texts(self, texts: list[str]) -> Vectors:
        native = getattr(self._model, "run_tensor_native_inference", None)
        parts = [texts[first : first + BATCH] for first in range(0, len(texts), BATCH)]
        if native:
            return self._joined([self._asked(native, "embed-text", texts=part) for part in parts])
        return self._joined([self._asked(self._model.embed_text, part) for part in parts])

    def _asked(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            answer = work(*args, **options)
        except Exception as error:  # Inference raises some thirty kinds
            if "too long" in str(error).lower():
                raise TooLong(str(error)) from None
            raise EmbedderError(f"Roboflow Inference failed ({type(error).__name__}: {error})") from error
        # A tensor of PyTorch, perhaps on a graphics card, or an array.
        return answer.detach().cpu().numpy() if hasattr(answer, "detach") else answer

    def _joined(self, rows: list[Any]) -> Vectors:
        vectors = [unit(part, self.space.dim, "Roboflow Inference") for part in rows]
        return np.concatenate([np.empty((0, self.space.dim), np.float32), *vectors])
