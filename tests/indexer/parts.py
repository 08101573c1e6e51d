"""Small parts for tests of the pipeline: a real store and catalogue, and an embedder of plain colours."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.stream.frame import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255)}


class ColourEmbedder:
    """A space of three dimensions: a picture is its mean colour, a text the colour that it names, or nearly grey."""

    space = Space("test/colour", 3)
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
        return _unit([_colour(text) for text in texts])

    async def close(self) -> None:
        pass


def _colour(text: str) -> NDArray[np.float64]:
    """The colour that a text names; other words are greys with a tint of their own."""
    named = next((rgb for name, rgb in COLOURS.items() if name in text), None)
    if named:
        return np.add(named, 1.0)
    tint = np.frombuffer(hashlib.blake2b(text.encode(), digest_size=3).digest(), np.uint8)
    return 200 + tint * 0.2


def _unit(rows: Sequence[object]) -> Vectors:
    matrix = np.array(rows, dtype=np.float32).reshape(-1, 3)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
