"""Is this a match? Scores become probabilities by comparison with everyday nouns, asked of the same footage.

A raw cosine says little: some frames are near to every phrase, some phrases are near to every frame, and each space
has its own scale. Comparison with a bank of nouns, embedded by the same model, mends that in three steps:

1. *Claim.* From a frame's cosine with the query its mean cosine with its ten nearest nouns is taken: does the
   query say better what is there than they do? (One side of CSLS: Conneau et al. 2018, arXiv 1710.04087.)
2. *Kin.* "A person" never says it better than "a cyclist" does. So the claims of nouns that mean nearly the same as the
   query or less count for it too, each by its likeness, summed as evidence (log-sum-exp). Likeness is the cosine
   after the bank's mean is taken out (Mu and Viswanath 2018, arXiv 1702.01417).
3. *Empirical null.* Each noun is asked of the same background. Most are not there, so how high their best
   frames come is what chance does in this space, on these cameras, in this much footage. A query that beats all
   but ``FALSE_SHARE`` of the nouns is a match (a null distribution estimated from many cases at once: Efron
   2004, "Large-scale simultaneous hypothesis testing"). No threshold belongs to a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from indexer.embed.base import Embedder, Vectors
from indexer.store.base import Vector

Array = NDArray[np.float32]

NOUNS = Path(__file__).parent / "nouns.txt"
NEAREST = 10
"""How many of a frame's nearest nouns speak for it."""
FALSE_SHARE = 0.06
"""Share of the nouns that may come as high as a match: 5 % of absent classes do then (bench/accuracy.py)."""
KINSHIP = 0.15
"""A noun whose likeness to the query is this much below 1 counts 1/e."""
SAME = 0.9
"""A noun as like as this is the query itself, and does not count twice."""
SOFTNESS = 1.5
"""Temperature of the sum over kin, in standard deviations of claims. 0 would take the best one alone."""


def nouns() -> list[str]:
    """Everyday nouns, one a line in ``nouns.txt``."""
    return NOUNS.read_text("utf-8").split("\n")[:-1]


@dataclass(frozen=True)
class Bank:
    """Vectors of everyday nouns in one space: (m, dim) float32, unit rows."""

    vectors: Vectors

    @classmethod
    async def of(cls, embedder: Embedder) -> Bank:
        """The bank in the embedder's space. A second of work for ``lite/1``: make it once.

        Raises:
            EmbedderError: when the model cannot be run or reached.
        """
        return cls(await embedder.texts([f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in nouns()]))

    def claims(self, vectors: Vectors) -> tuple[Array, Array]:
        """Every noun's claim to each row (n, m), and what was taken off for it (n, 1)."""
        cosines = vectors @ self.vectors.T
        k = min(NEAREST, cosines.shape[1])
        crowd = np.partition(cosines, -k, axis=1)[:, -k:].mean(axis=1, keepdims=True)
        return cosines - crowd, crowd

    def kin(self, queries: Vectors) -> Array:
        """How much each noun counts for each query, shape (n, m): 1 almost the same, 0 something else."""
        likeness = self._centred(queries) @ self._centred(self.vectors).T
        return np.where(likeness < SAME, np.exp((likeness - 1) / KINSHIP), 0).astype(np.float32)

    @cached_property
    def family(self) -> Array:
        """The kin of the nouns themselves, shape (m, m)."""
        return self.kin(self.vectors)

    def _centred(self, vectors: Vectors) -> Array:
        rows = vectors - self.vectors.mean(axis=0)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6), np.float32)


class Null:
    """What chance comes to on one background: how high the nouns' best frames come there.

    Args:
        background: (n, dim) vectors of frames from the cameras that are asked; a sample will do, and it may hold
            matches. Without any, probabilities are below the cutoff.
    """

    def __init__(self, bank: Bank, background: Vectors) -> None:
        self._softness, self._cutoff, self._width = 1.0, np.inf, 1.0
        if len(background):
            claims, _ = bank.claims(background)
            self._softness = SOFTNESS * max(float(claims.std()), 1e-6)
            tops = self.evidence(claims, claims, bank.family).max(axis=0)
            self._cutoff, middle = (float(q) for q in np.quantile(tops, (1 - FALSE_SHARE, 0.5)))
            self._width = max(self._cutoff - middle, 1e-6) / 4

    def evidence(self, own: Array, claims: Array, kin: Array) -> Array:
        """How much better queries, or their kin, describe each row than nouns do: (n, q); higher is better.

        Args:
            own: (n, q) each query's own claim.
            claims: (n, m) the nouns' claims.
            kin: (q, m) how much each noun counts for each query.
        """
        summed = np.exp(own / self._softness) + np.exp(claims / self._softness) @ kin.T
        return np.asarray(self._softness * np.log(summed), np.float32)

    def probability(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probability of a match, of the same shape: 0.5 at the cutoff, 0.02 where the middle noun comes."""
        return np.asarray(1 / (1 + np.exp((self._cutoff - evidence.astype(np.float64)) / self._width)))


class Matcher:
    """Turns vectors into probabilities that they match one query; 0.5 is the default cutoff.

    Args:
        query: (dim,) unit vector.
        bank: nouns in the query's space.
        background: as ``Null`` takes it.
    """

    def __init__(self, query: Vector, bank: Bank, background: Vectors) -> None:
        self._query, self._bank, self._null = query, bank, Null(bank, background)
        self._kin = bank.kin(query[None])

    def evidence(self, vectors: Vectors) -> NDArray[np.float64]:
        """How much better the query, or its kin, describes each row than nouns do, shape (n,); higher is better."""
        claims, crowd = self._bank.claims(vectors)
        own = (vectors @ self._query)[:, None] - crowd
        return np.asarray(self._null.evidence(own, claims, self._kin)[:, 0], np.float64)

    def probability(self, vectors: Vectors) -> NDArray[np.float64]:
        """Probability of a match for each row, shape (n,): 0.5 at the cutoff, 0.02 where the middle noun comes."""
        return self._null.probability(self.evidence(vectors))
