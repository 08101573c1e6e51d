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

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from indexer.embed.base import Vectors
from indexer.store.base import Record, Vector
from query.bank import Array, Bank

FALSE_SHARE = 0.06
"""Share of the nouns that may come as high as a match: 5 % of absent classes do then (bench/accuracy.py)."""
SOFTNESS = 1.5
"""Temperature of the sum over kin, in standard deviations of claims. 0 would take the best one alone."""


class Null:
    """What chance comes to on one background: how high the nouns' best frames come there.

    Args:
        background: (n, dim) vectors of frames from the cameras that are asked; a sample will do, and it may hold
            matches. Without any, probabilities are below the cutoff.
    """

    def __init__(self, bank: Bank, background: Vectors) -> None:
        self._softness, self._cutoff, self._width = 1.0, np.inf, 1.0
        self._shift = np.zeros(bank.vectors.shape[1], np.float32)
        if len(background):
            self._shift = bank.vectors.mean(axis=0) - background.mean(axis=0)
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

    def suspicion(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Whether something unwanted may be there, of the same shape: 0.5 halfway from the middle noun to the cutoff.

        The cutoff of a match would let nearly all through (docs/accuracy.md).
        """
        return self.probability(evidence + 2 * self._width)

    def carried(self, picture: Vector) -> Vector:
        """A picture's vector among those of words: the background's mean taken out, the nouns' mean put in.

        Pictures and words lie apart in a space that holds both (Liang et al. 2022, arXiv 2203.02053), and every
        picture is nearer to any other than a word is. Carried over, the two can be added up and share one cutoff.
        """
        moved = picture + self._shift
        return np.asarray(moved / max(float(np.linalg.norm(moved)), 1e-6), np.float32)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is looked for.

    Attributes:
        query: (dim,) unit vector.
        against: what must not be there: weights above 0 and (dim,) unit vectors.
    """

    query: Vector
    against: tuple[tuple[float, Vector], ...] = ()


class Matcher:
    """Turns vectors into probabilities that they match; 0.5 is the default cutoff.

    Several aims are judged at once, at the price of one matrix product: what nouns claim is worked out once.

    Args:
        aims: each with what chance comes to on its cameras.
        bank: nouns in the same space.
    """

    def __init__(self, aims: Sequence[tuple[Aim, Null]], bank: Bank) -> None:
        self._bank, self._count = bank, len(aims)
        rows = [(i, 0.0, aim.query) for i, (aim, _) in enumerate(aims)]
        rows += [(i, weight, vector) for i, (aim, _) in enumerate(aims) for weight, vector in aim.against]
        self._rows = [(i, weight) for i, weight, _ in rows]
        self._queries = np.array([vector for _, _, vector in rows], np.float32).reshape(-1, bank.vectors.shape[1])
        self._kin = bank.kin(self._queries)
        nulls = {id(null): null for _, null in aims}
        self._groups = [(n, [r for r, (i, *_) in enumerate(rows) if aims[i][1] is n]) for n in nulls.values()]

    def judge(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probability that each row shows what is looked for, and that it shows nothing of what must not be there.

        Returns:
            Two arrays (n, aims) in 0..1; a match is both, so their product counts.
        """
        claims, crowd = self._bank.claims(vectors)
        own = vectors @ self._queries.T - crowd
        each = np.empty(own.shape, np.float64)
        for null, places in self._groups:
            found = null.evidence(own[:, places], claims, self._kin[places])
            wanted = np.array(places) < self._count
            each[:, places] = np.where(wanted, null.probability(found), null.suspicion(found))
        free = np.ones((len(vectors), self._count))
        for row, (i, weight) in enumerate(self._rows[self._count :], self._count):
            free[:, i] *= (1 - each[:, row]) ** weight
        return each[:, : self._count], free

    def probability(self, vectors: Vectors) -> NDArray[np.float64]:
        """Probability that each row matches each aim, (n, aims): 0.5 at the cutoff."""
        there, free = self.judge(vectors)
        return there * free


class Judge:
    """A matcher with one aim: everything is of shape (n,)."""

    def __init__(self, aim: Aim, null: Null, bank: Bank) -> None:
        self._matcher = Matcher([(aim, null)], bank)

    def judge(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """As ``Matcher.judge``, (n,) and (n,)."""
        there, free = self._matcher.judge(vectors)
        return there[:, 0], free[:, 0]

    def probability(self, vectors: Vectors) -> NDArray[np.float64]:
        """Probability of a match for each row, (n,): 0.5 at the cutoff, 0.02 where the middle noun comes."""
        return self._matcher.probability(vectors)[:, 0]


def together(records: Sequence[Record], there: NDArray[np.float64], free: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that each record matches, when what must not be there is not in any record of the same time.

    A region may show the man without the dog that the whole frame shows.

    Args:
        there, free: as ``judge`` returns them, (n,) or (n, aims).
    """
    places: dict[tuple[str, datetime], int] = {}
    group = [places.setdefault((r.camera, r.time), len(places)) for r in records]
    least = np.ones((len(places), *free.shape[1:]))
    np.minimum.at(least, group, free)
    return there * least[group]
