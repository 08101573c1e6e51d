"""Embeds with CLIP of Roboflow Inference in this process (the extra ``inference``)."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np

from footage.indexer.embed.base import EmbedderError, Vectors, model_faults
from footage.indexer.embed.inference_package import load_error, log_to_stderr, prepare_import
from footage.indexer.embed.preprocess import Fit
from footage.indexer.embed.roboflow import (
    TextTooLong,
    embed_shortened,
    inference_preprocessor,
    inference_space,
    inference_version,
    to_unit_rows,
)
from footage.stream.frame import Image

MAX_BATCH = 8
"""``CLIP_MAX_BATCH_SIZE`` of Inference 1.8."""
T = TypeVar("T")


class InferenceLocalEmbedder:
    """An ``Embedder`` that runs the package ``inference``.

    All work, importing and loading included (which downloads the weights the first time), happens on one worker thread
    that this object owns. Images are passed as arrays.
    """

    floor: float | None = None

    def __init__(
        self,
        *,
        model: str = "clip/ViT-B-16",
        key: str | None = None,
        fit: Fit | None = None,
        report_usage: bool = False,
    ) -> None:
        """Load nothing yet; the first call does.

        Args:
            model: one of OpenAI's, for example ``clip/ViT-B-16``.
            key: API key of the Roboflow workspace; by default ``ROBOFLOW_API_KEY``.
            fit: how images that are not square are fitted; None is the model's default, a crop.
            report_usage: let Inference report its use to Roboflow.

        Raises:
            EmbedderError: Inference has no such model.
        """
        self._version = inference_version(model)
        self.space = inference_space(self._version)
        self._preprocessor = inference_preprocessor(self._version, fit)
        self.side = self._preprocessor.short_side
        self.batch = MAX_BATCH
        self._key, self._report_usage = key or os.environ.get("ROBOFLOW_API_KEY"), report_usage
        self._worker = ThreadPoolExecutor(1, "inference")
        self._closed = False

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        return await self._run(self._images, list(batch))

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. Longer texts are cut to the model's context, with a warning."""
        try:
            return await self._run(self._texts, list(texts))
        except TextTooLong:
            pass
        rows = [await self._embed_one(text) for text in texts]
        return np.concatenate(rows)

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown)

    async def _embed_one(self, text: str) -> Vectors:
        try:
            return await self._run(self._texts, [text])
        except TextTooLong:
            return await embed_shortened(text, lambda part: self._run(self._texts, [part]))

    async def _run(self, work: Callable[[T], Vectors], items: T) -> Vectors:
        if self._closed:
            raise EmbedderError("the Inference embedder is closed")
        with model_faults(self.space.name):
            return await asyncio.get_running_loop().run_in_executor(self._worker, work, items)

    @cached_property
    def _model(self) -> Any:
        prepare_import(report_usage=self._report_usage)
        name = f"clip/{self._version}"
        try:
            with redirect_stdout(sys.stderr):  # what it logs while it is imported
                get_model = importlib.import_module("inference").get_model
        except (ImportError, AttributeError) as error:
            missing = "Roboflow Inference with CLIP is not installed"
            raise EmbedderError(f"{missing} ({error}); install it: pip install 'footage[inference]'") from error
        try:
            log_to_stderr()
            with redirect_stdout(sys.stderr):  # the progress of downloads: rich asks for standard output at each print
                try:
                    return get_model(name, api_key=self._key)
                except TypeError:
                    # Inference's legacy backend (the default on Windows, or USE_INFERENCE_MODELS=False): get_model
                    # gives the model's id by position, and this class takes it by keyword only.
                    return importlib.import_module("inference.models").Clip(model_id=name, api_key=self._key)
        except Exception as error:  # Inference raises some thirty kinds
            raise EmbedderError(load_error(name, error, self._key)) from None

    def _images(self, images: list[Image]) -> Vectors:
        squares = [self._preprocessor.to_square(image) for image in images]
        rows = [self._embed_images(squares[first : first + MAX_BATCH]) for first in range(0, len(squares), MAX_BATCH)]
        return self._concatenate(rows)

    def _embed_images(self, squares: list[Image]) -> Any:
        # embed_image of the adapter in Inference 1.8.3 joins a list of images into one tall image; its native entry
        # point takes them one by one.
        native = getattr(self._model, "run_tensor_native_inference", None)
        if native:
            return self._call(native, "embed-image", images=squares, input_color_format="rgb")
        return self._call(self._model.embed_image, [cv2.cvtColor(square, cv2.COLOR_RGB2BGR) for square in squares])

    def _texts(self, texts: list[str]) -> Vectors:
        native = getattr(self._model, "run_tensor_native_inference", None)
        parts = [texts[first : first + MAX_BATCH] for first in range(0, len(texts), MAX_BATCH)]
        if native:
            return self._concatenate([self._call(native, "embed-text", texts=part) for part in parts])
        return self._concatenate([self._call(self._model.embed_text, part) for part in parts])

    def _call(self, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            answer = work(*args, **options)
        except Exception as error:  # Inference raises some thirty kinds
            if "too long" in str(error).lower():
                raise TextTooLong(str(error)) from None
            raise EmbedderError(f"Roboflow Inference failed ({type(error).__name__}: {error})") from error
        # A PyTorch tensor, perhaps on a GPU, or an array.
        return answer.detach().cpu().numpy() if hasattr(answer, "detach") else answer

    def _concatenate(self, rows: list[Any]) -> Vectors:
        vectors = [to_unit_rows(part, self.space.dim, "Roboflow Inference") for part in rows]
        return np.concatenate([np.empty((0, self.space.dim), np.float32), *vectors])
