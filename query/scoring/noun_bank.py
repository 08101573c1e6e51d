"""Embeds everyday nouns in the space of a model; every query is compared with them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Embedder, Vectors
from footage.query.scoring.prompts import TEMPLATES, embed_phrases
from footage.stream.atomic import atomic_write

Array = NDArray[np.float32]

NOUNS_FILE = Path(__file__).parent / "nouns.txt"
FALSE_MATCH_SHARE = 0.05
"""Share of the nouns whose best frame may score as high as a match, unless ``footage model check`` set another."""
NEAREST_NOUNS = 10
"""Number of a frame's nearest nouns whose mean cosine is subtracted."""
PART = 128
"""How many nouns are embedded at once: with their wordings, two full requests to a server."""
MIN_COSINE = 0.999
"""Smallest cosine between a noun embedded now and the cached one at which the cache belongs to the same model."""


def load_nouns() -> list[str]:
    """Read the everyday nouns, one a line in ``nouns.txt``."""
    return NOUNS_FILE.read_text("utf-8").split("\n")[:-1]


@dataclass(frozen=True)
class NounBank:
    """Vectors of everyday nouns in one space: (m, dim) float32, unit rows.

    Attributes:
        floor: the cosine from which on any text and image match, in a space that was trained for that
            (``Embedder.floor``). The nouns are not used then.
        false_match_share: share of the nouns whose best frame may score as high as a match, in any other space.
    """

    vectors: Vectors
    floor: float | None = None
    false_match_share: float = FALSE_MATCH_SHARE

    @classmethod
    async def build(
        cls, embedder: Embedder, folder: Path | None = None, progress: Callable[[int, int], None] | None = None
    ) -> NounBank:
        """Embed the nouns, or read them from the cache. Embedding takes seconds: build one bank and keep it.

        Args:
            folder: where the bank is cached between runs; a cached bank is checked against the model before use.
            progress: called with how many nouns of how many are embedded, when they are not cached.

        Raises:
            EmbedderError: the model cannot be run or reached.
        """
        phrases = [f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in load_nouns()]
        if folder is None:
            return cls(await _embed(embedder, phrases, progress), embedder.floor)
        digest = hashlib.blake2b(repr((embedder.space, phrases, TEMPLATES)).encode(), digest_size=8).hexdigest()
        path = folder / f"nouns-{digest}.npy"
        cached = await asyncio.to_thread(_read_cache, path)
        if cached is not None and cached.shape == (len(phrases), embedder.space.dim):
            probe = (await embed_phrases(embedder, phrases[:1]))[0]
            if float(probe @ cached[0]) > MIN_COSINE:
                return cls(cached, embedder.floor)
        bank = cls(await _embed(embedder, phrases, progress), embedder.floor)
        await asyncio.to_thread(_write_cache, path, bank.vectors)
        return bank

    def evidence(self, queries: Vectors, vectors: Vectors) -> Array:
        """Return how much better each query describes each row than the row's nearest nouns do, (n, q).

        Where the space has a floor, this is the cosine itself.
        """
        if self.floor is not None:
            return row_products(vectors, queries)
        cosines = np.asarray(vectors @ queries.T, np.float32)
        noun_cosines = cosines if queries is self.vectors else vectors @ self.vectors.T
        k = min(NEAREST_NOUNS, noun_cosines.shape[1])
        nearest_mean = np.partition(noun_cosines, -k, axis=1)[:, -k:].mean(axis=1, keepdims=True)
        return np.asarray(cosines - nearest_mean, np.float32)


def row_products(vectors: Vectors, queries: Vectors) -> Array:
    """Return the inner product of each row with each query, (n, q): the same for a row in whatever batch it comes.

    BLAS does not promise that, and pages of an answer, which read in other batches, are cut by exact scores.
    """
    return np.asarray(np.einsum("ij,kj->ik", vectors, queries), np.float32)


async def _embed(embedder: Embedder, phrases: Sequence[str], progress: Callable[[int, int], None] | None) -> Vectors:
    """Embed the phrases in parts, so that a slow server's progress can be told."""
    parts = []
    for first in range(0, len(phrases), PART):
        parts.append(await embed_phrases(embedder, phrases[first : first + PART]))
        if progress:
            progress(min(first + PART, len(phrases)), len(phrases))
    return np.concatenate(parts)


def _read_cache(path: Path) -> Vectors | None:
    try:
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    except (OSError, ValueError):
        return None


def _write_cache(path: Path, vectors: Vectors) -> None:
    """Write the cache file; a failure is ignored, since the bank can be embedded again."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as draft:
            np.save(draft, vectors)
