"""Everyday nouns in the space of a model: what any query is compared with."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Embedder, Vectors
from footage.query.scoring.prompts import TEMPLATES, embedded

Array = NDArray[np.float32]

NOUNS = Path(__file__).parent / "nouns.txt"
NEAREST = 10
"""How many of a frame's nearest nouns speak for it."""
SURE = 0.999
"""Least cosine of a noun embedded now with the one that was kept, so that what was kept is of the same model."""


def nouns() -> list[str]:
    """Everyday nouns, one a line in ``nouns.txt``."""
    return NOUNS.read_text("utf-8").split("\n")[:-1]


@dataclass(frozen=True)
class Bank:
    """Vectors of everyday nouns in one space: (m, dim) float32, unit rows.

    Attributes:
        floor: the cosine from which on any text and picture match, in a space that was made so (``Embedder.floor``).
            The nouns need not be heard then.
    """

    vectors: Vectors
    floor: float | None = None

    @classmethod
    async def of(cls, embedder: Embedder, folder: Path | None = None) -> Bank:
        """The bank in the embedder's space. Seconds of work, so make it once, and keep it.

        Args:
            folder: where it is kept between runs; what is kept there is checked against the model before it is used.

        Raises:
            EmbedderError: when the model cannot be run or reached.
        """
        phrases = [f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in nouns()]
        if folder is None:
            return cls(await embedded(embedder, phrases), embedder.floor)
        digest = hashlib.blake2b(repr((embedder.space, phrases, TEMPLATES)).encode(), digest_size=8).hexdigest()
        path = folder / f"nouns-{digest}.npy"
        kept = await asyncio.to_thread(_read, path)
        if kept is not None and kept.shape == (len(phrases), embedder.space.dim):
            probe = (await embedded(embedder, phrases[:1]))[0]
            if float(probe @ kept[0]) > SURE:
                return cls(kept, embedder.floor)
        bank = cls(await embedded(embedder, phrases), embedder.floor)
        await asyncio.to_thread(_keep, path, bank.vectors)
        return bank

    def evidence(self, queries: Vectors, vectors: Vectors) -> Array:
        """How much better each query describes each row than the row's nearest nouns do, (n, q); higher is better.

        Where the space has a floor, the cosine tells by itself.
        """
        cosines = np.asarray(vectors @ queries.T, np.float32)
        if self.floor is not None:
            return cosines
        nouns = cosines if queries is self.vectors else vectors @ self.vectors.T
        k = min(NEAREST, nouns.shape[1])
        crowd = np.partition(nouns, -k, axis=1)[:, -k:].mean(axis=1, keepdims=True)
        return np.asarray(cosines - crowd, np.float32)


def _read(path: Path) -> Vectors | None:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, ValueError):
        return None


def _keep(path: Path, vectors: Vectors) -> None:
    """A cache: when it cannot be written, it is made anew the next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.npy")
        np.save(part, vectors)
        part.replace(path)
