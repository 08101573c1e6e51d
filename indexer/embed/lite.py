"""Embeds with the built-in networks: no download, no PyTorch. ``lite/MODEL_CARD.md`` has method and accuracy."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from footage.indexer.embed.base import EmbedderError, Space, Vectors, model_faults
from footage.indexer.embed.fingerprint_cache import identify_model
from footage.indexer.embed.runtime import compile_model
from footage.stream.frame import Image

LITE_FOLDER = Path(__file__).parent / "lite"
IMAGE_SIDE = 320
"""Pixels: the detector was trained with images of this size; the classifier gets four fifths of it."""
SIZE_STEP = 32
"""The networks halve their input five times; whole multiples leave no partly covered cell."""
MAX_NETWORK_SIDE = 2 * IMAGE_SIDE
"""Pixels: longer images are squeezed to this, so that a panorama costs no more than two squares."""
LITE_PRECISION = "f32"
"""bf16 would be twice as fast, but moves vectors to a cosine of 0.997 and costs 0.01 mAP: machines must agree."""
TEXT_THREADS = 1
"""A question in words is so small that sharing it out costs as much as computing it: two threads take 4.0 ms of
processor time where one takes 1.8, and are no sooner done."""

MATCH_FLOOR = 0.174
"""Minimum cosine of a matching image and text; 5 % of absent things reach it (bench/accuracy.py)."""

T = TypeVar("T")
R = TypeVar("R")
Pixels: TypeAlias = NDArray[np.uint8]
"""What the network takes of one image: (1, height, width, 3). OpenVINO keeps what its largest batch took, 30 MB an
image, and a service would take that in every moment in which it is behind; more at once are not faster (docs/live.md).
"""


def network_size(image: Image) -> tuple[int, int]:
    """Return the height and width of the network's input: short side ``IMAGE_SIDE``, shape kept to ``SIZE_STEP``."""
    height, width = image.shape[:2]
    scale = IMAGE_SIDE / min(height, width)
    return min(MAX_NETWORK_SIDE, round(height * scale / SIZE_STEP) * SIZE_STEP), min(
        MAX_NETWORK_SIDE, round(width * scale / SIZE_STEP) * SIZE_STEP
    )


class LiteEmbedder:
    """An ``Embedder`` that joins a classifier, a detector and a sentence encoder in one space.

    Each network is loaded and run on a thread that this object owns, and images are resized on another one, so that one
    batch is resized while the batch before it is in the network, and words wait for no images. ``images`` and ``texts``
    may be called from any number of tasks and are served in order. ``close`` waits for running calls.
    """

    space = Space("lite/2", 512)
    floor: float | None = MATCH_FLOOR
    side = IMAGE_SIDE
    batch = 16

    def __init__(self, *, threads: int = 0, cache: Path | None = None) -> None:
        """Load nothing yet; the first call loads the network that it needs (half a second, less where it is cached).

        Args:
            threads: how many processor threads the networks may use; 0 means all.
            cache: folder where the compiled networks are kept; None compiles them every time.
        """
        self._threads, self._cache = threads, cache
        self._network_pool = ThreadPoolExecutor(1, "lite")
        self._prepare_pool = ThreadPoolExecutor(1, "lite-prepare")
        self._text_pool = ThreadPoolExecutor(1, "lite-text")
        self._closed = False

    @property
    def identity(self) -> str:
        """While it is the same, so are the vectors (``fingerprint_cache.identify_model``)."""
        return identify_model([LITE_FOLDER / "picture.onnx.gz"], self.space, self._threads)

    async def images(self, batch: Sequence[Image]) -> Vectors:
        """See ``Embedder.images``."""
        self._check_open()
        resized = await self._run(self._prepare_pool, _prepare, list(batch))
        return await self._run(self._network_pool, self._images, resized)

    async def texts(self, texts: Sequence[str]) -> Vectors:
        """See ``Embedder.texts``. At most 128 word pieces of a text are used."""
        self._check_open()
        return await self._run(self._text_pool, self._texts, list(texts))

    async def close(self) -> None:
        """See ``Embedder.close``."""
        self._closed = True
        for pool in (self._prepare_pool, self._network_pool, self._text_pool):
            await asyncio.to_thread(pool.shutdown)

    def _check_open(self) -> None:
        if self._closed:
            raise EmbedderError("the lite embedder is closed")

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[[T], R], items: T) -> R:
        with model_faults(self.space.name):
            return await asyncio.get_running_loop().run_in_executor(pool, work, items)

    @cached_property
    def _image_network(self) -> Any:
        return self._compile("picture.onnx.gz", self._threads)

    @cached_property
    def _text_network(self) -> tuple[Any, Tokenizer]:
        tokenizer = Tokenizer.from_buffer(gzip.decompress((LITE_FOLDER / "tokenizer.json.gz").read_bytes()))
        tokenizer.enable_padding()
        return self._compile("text.onnx.gz", TEXT_THREADS), tokenizer

    def _compile(self, name: str, threads: int) -> Any:
        return compile_model(LITE_FOLDER / name, threads=threads, precision=LITE_PRECISION, cache=self._cache)

    def _images(self, images: list[Pixels]) -> Vectors:
        vectors = np.empty((len(images), self.space.dim), np.float32)
        for row, pixels in enumerate(images):
            vectors[row] = self._image_network({"pictures": pixels})["vectors"][0]
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


def _prepare(images: list[Image]) -> list[Pixels]:
    """Resize images to what the network takes."""
    import cv2  # only pictures need it, and questions are words mostly

    resized = []
    for image in images:
        height, width = network_size(image)
        interpolation = cv2.INTER_AREA if image.shape[0] > height else cv2.INTER_LINEAR
        resized.append(np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)[None])
    return resized
