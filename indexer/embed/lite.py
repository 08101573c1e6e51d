"""The built-in space: no download, no PyTorch. See ``lite/MODEL_CARD.md`` for the method and its accuracy."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from tokenizers import Tokenizer

from footage.indexer.embed.base import EmbedderError, Space, Vectors
from footage.indexer.embed.runtime import compile_model
from footage.stream.frame import Image

HERE = Path(__file__).parent / "lite"
SIDE = 320
"""The detector was trained with pictures of this size; the classifier sees four fifths of it."""
STEP = 32
"""The networks halve their picture five times; whole multiples leave no place half covered."""
LONGEST = 2 * SIDE
"""Wider pictures are squeezed to this, so that a panorama costs no more than two squares."""
PRECISION = "f32"
"""bf16 would be twice as fast, but moves vectors to a cosine of 0.997 and costs 0.01 mAP: machines must agree."""

FLOOR = 0.174
"""Cosine of a picture and a text from which on they match: 5 % of absent things come as high (bench/accuracy.py)."""

T = TypeVar("T")


def fit(image: Image) -> tuple[int, int]:
    """Height and width that a picture is given to the network with: short side ``SIDE``, shape kept to ``STEP``."""
    height, width = image.shape[:2]
    scale = SIDE / min(height, width)
    return min(LONGEST, round(height * scale / STEP) * STEP), min(LONGEST, round(width * scale / STEP) * STEP)


class Lite:
    """Classifier, detector and sentence encoder as one joint space (an ``Embedder``).

    All work, loading included, happens on one worker thread that this object owns; ``images`` and ``texts`` may be
    called from any number of tasks and are served in order. ``close`` waits for what is under way.
    """

    space = Space("lite/2", 512)
    floor: float | None = FLOOR
    side = SIDE
    batch = 16

    def __init__(self, *, threads: int = 0) -> None:
        """Nothing is loaded yet; the first call does that (about half a second a network).

        Args:
            threads: how many processor threads the networks may use; 0 means all.
        """
        self._threads = threads
        self._worker = ThreadPoolExecutor(1, "lite")
        self._closed = False

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        return await self._run(self._images, list(batch))

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. At most 128 word pieces count."""
        return await self._run(self._texts, list(texts))

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown)

    async def _run(self, work: Callable[[T], Vectors], items: T) -> Vectors:
        if self._closed:
            raise EmbedderError("the lite embedder is closed")
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, items)

    @cached_property
    def _picture(self) -> Any:
        return compile_model(HERE / "picture.onnx.gz", threads=self._threads, precision=PRECISION)

    @cached_property
    def _text(self) -> tuple[Any, Tokenizer]:
        tokenizer = Tokenizer.from_buffer(gzip.decompress((HERE / "tokenizer.json.gz").read_bytes()))
        tokenizer.enable_padding()
        return compile_model(HERE / "text.onnx.gz", threads=self._threads, precision=PRECISION), tokenizer

    def _images(self, images: list[Image]) -> Vectors:
        vectors = np.empty((len(images), self.space.dim), np.float32)
        shapes = [fit(image) for image in images]
        for shape in dict.fromkeys(shapes):
            rows = [i for i, other in enumerate(shapes) if other == shape]
            pictures = np.empty((len(rows), *shape, 3), np.uint8)
            for picture, row in zip(pictures, rows, strict=True):
                shrinks = images[row].shape[0] > shape[0]
                cv2.resize(
                    images[row], shape[::-1], picture, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                )
            vectors[rows] = self._picture({"pictures": pictures})["vectors"]
        return vectors

    def _texts(self, texts: list[str]) -> Vectors:
        vectors = np.empty((len(texts), self.space.dim), np.float32)
        network, tokenizer = self._text
        for first in range(0, len(texts), 64):
            part = tokenizer.encode_batch(texts[first : first + 64])
            ids = np.array([encoding.ids for encoding in part], np.int64)
            mask = np.array([encoding.attention_mask for encoding in part], np.int64)
            vectors[first : first + 64] = network({"ids": ids, "mask": mask})["vectors"]
        return vectors
