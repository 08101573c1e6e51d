"""Embeds with the built-in networks: no download, no PyTorch. ``lite/MODEL_CARD.md`` has method and accuracy."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from tokenizers import Tokenizer

from footage.indexer.embed.base import EmbedderError, Space, Vectors, model_faults
from footage.indexer.embed.runtime import compile_model
from footage.stream.frame import Image

LITE_FOLDER = Path(__file__).parent / "lite"
IMAGE_SIDE = 320
"""Pixels: the detector was trained with images of this size; the classifier gets four fifths of it."""
SIZE_STEP = 32
"""The networks halve their input five times; whole multiples leave no partly covered cell."""
MAX_NETWORK_SIDE = 2 * IMAGE_SIDE
"""Pixels: longer images are squeezed to this, so that a panorama costs no more than two squares."""
NETWORK_BATCH = 4
"""Images in the network at once: more are not faster (docs/live.md), and each takes 30 MB that OpenVINO keeps."""
LITE_PRECISION = "f32"
"""bf16 would be twice as fast, but moves vectors to a cosine of 0.997 and costs 0.01 mAP: machines must agree."""

MATCH_FLOOR = 0.174
"""Minimum cosine of a matching image and text; 5 % of absent things reach it (bench/accuracy.py)."""

T = TypeVar("T")


def network_size(image: Image) -> tuple[int, int]:
    """Return the height and width of the network's input: short side ``IMAGE_SIDE``, shape kept to ``SIZE_STEP``."""
    height, width = image.shape[:2]
    scale = IMAGE_SIDE / min(height, width)
    return min(MAX_NETWORK_SIDE, round(height * scale / SIZE_STEP) * SIZE_STEP), min(
        MAX_NETWORK_SIDE, round(width * scale / SIZE_STEP) * SIZE_STEP
    )


def _batches(shapes: Sequence[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield the numbers of images that go through the network together: of one shape, ``NETWORK_BATCH`` at most."""
    for shape in dict.fromkeys(shapes):
        rows = [i for i, other in enumerate(shapes) if other == shape]
        for first in range(0, len(rows), NETWORK_BATCH):
            yield shape, rows[first : first + NETWORK_BATCH]


class LiteEmbedder:
    """An ``Embedder`` that joins a classifier, a detector and a sentence encoder in one space.

    All work, loading included, happens on one worker thread that this object owns; ``images`` and ``texts`` may be
    called from any number of tasks and are served in order. ``close`` waits for running calls.
    """

    space = Space("lite/2", 512)
    floor: float | None = MATCH_FLOOR
    side = IMAGE_SIDE
    batch = 16

    def __init__(self, *, threads: int = 0) -> None:
        """Load nothing yet; the first call loads the networks (about half a second each).

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
        """See ``Embedder.texts``. At most 128 word pieces of a text are used."""
        return await self._run(self._texts, list(texts))

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        await asyncio.to_thread(self._worker.shutdown)

    async def _run(self, work: Callable[[T], Vectors], items: T) -> Vectors:
        if self._closed:
            raise EmbedderError("the lite embedder is closed")
        with model_faults(self.space.name):
            return await asyncio.get_running_loop().run_in_executor(self._worker, work, items)

    @cached_property
    def _image_network(self) -> Any:
        return compile_model(LITE_FOLDER / "picture.onnx.gz", threads=self._threads, precision=LITE_PRECISION)

    @cached_property
    def _text_network(self) -> tuple[Any, Tokenizer]:
        tokenizer = Tokenizer.from_buffer(gzip.decompress((LITE_FOLDER / "tokenizer.json.gz").read_bytes()))
        tokenizer.enable_padding()
        return compile_model(LITE_FOLDER / "text.onnx.gz", threads=self._threads, precision=LITE_PRECISION), tokenizer

    def _images(self, images: list[Image]) -> Vectors:
        vectors = np.empty((len(images), self.space.dim), np.float32)
        shapes = [network_size(image) for image in images]
        for shape, rows in _batches(shapes):
            batch = np.empty((len(rows), *shape, 3), np.uint8)
            for resized, row in zip(batch, rows, strict=True):
                shrinks = images[row].shape[0] > shape[0]
                cv2.resize(
                    images[row], shape[::-1], resized, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
                )
            vectors[rows] = self._image_network({"pictures": batch})["vectors"]
        return vectors

    def _texts(self, texts: list[str]) -> Vectors:
        vectors = np.empty((len(texts), self.space.dim), np.float32)
        network, tokenizer = self._text_network
        for first in range(0, len(texts), 64):
            part = tokenizer.encode_batch(texts[first : first + 64])
            ids = np.array([encoding.ids for encoding in part], np.int64)
            mask = np.array([encoding.attention_mask for encoding in part], np.int64)
            vectors[first : first + 64] = network({"ids": ids, "mask": mask})["vectors"]
        return vectors
