"""A fake embedder for tests, whose vectors are the mean colors of images and the colors that texts name."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.stream.frame import Image

COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class ColorEmbedder:
    """An ``Embedder`` with three dimensions: an image's mean color; the color that a text names, or nearly gray."""

    space = Space("test/color", 3)
    floor: float | None = None
    side = 32
    batch = 8

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.batches: list[int] = []

    async def images(self, batch: Sequence[Image]) -> Vectors:
        self.batches.append(len(batch))
        await asyncio.sleep(self.delay)
        return _unit([np.asarray(image).reshape(-1, 3).mean(axis=0) + 1.0 for image in batch])

    async def texts(self, texts: Sequence[str]) -> Vectors:
        return _unit([_color(text) for text in texts])

    async def close(self) -> None:
        pass


@cache  # a bank has thousands of nouns, and hundreds of tests make one
def _color(text: str) -> NDArray[np.float64]:
    """Return the color that a text names; other texts get grays with different tints."""
    named = next((rgb for name, rgb in COLORS.items() if name in text), None)
    if named:
        return np.add(named, 1.0)
    tint = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=3).digest(), np.uint8)
    return 200 + tint * 0.2


def _unit(rows: Sequence[object]) -> Vectors:
    matrix = np.array(rows, dtype=np.float32).reshape(-1, 3)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
