"""Is this a match? Scores become probabilities.

A space that was made so that a cosine means the same for every text and picture has a floor, and what comes above it is
a match. Elsewhere scores are compared with those of everyday nouns, asked of the same footage.

There a raw cosine says little: some frames are near to every phrase, some phrases are near to every frame, and each
space has its own scale. Comparison with a bank of nouns, embedded by the same model, mends that in two steps:

1. *Evidence.* From a frame's cosine with the query its mean cosine with its ten nearest nouns is taken: does the
   query say better what is there than they do? (One side of CSLS: Conneau et al. 2018, arXiv 1710.04087.)
2. *Empirical null.* Each noun is asked of the same background. Most are not there, so how high their best
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

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Record, Vector
from footage.query.scoring.noun_bank import Bank

FALSE_SHARE = 0.05
"""Share of the nouns that may come as high as a match."""
PICTURES = 1.7
"""A picture must be this much nearer to another than the floor for words: an eighth of those that are not there come
as near, nearly all of them since they show the same kinds of things (docs/accuracy.md)."""
FAR = 50.0
"""Widths from the cutoff beyond which nothing changes."""
STEEP = 4
"""Distance of the cutoff to where the middle noun comes, or to 0, in widths of the probability's slope."""


class Null:
    """What chance comes to on one background: how high the nouns' best frames come there.

    Args:
        background: (n, dim) vectors of frames from the cameras that are asked; a sample will do, and it may hold
            matches. Without any, and where the space has no floor, probabilities are below the cutoff.
    """

    def __init__(self, bank: Bank, background: Vectors) -> None:
        self._cutoff, self._width, self._doubt, self._carried = np.inf, 1.0, 0.0, 1.0
        self._shift = np.zeros(bank.vectors.shape[1], np.float32)
        if len(background):
            self._shift = bank.vectors.mean(axis=0) - background.mean(axis=0)
        if bank.floor is not None:
            self._cutoff, self._width, self._carried = bank.floor, bank.floor / STEEP, 1 / PICTURES
        elif len(background):
            tops = bank.evidence(bank.vectors, background).max(axis=0)
            self._cutoff, middle = (float(q) for q in np.quantile(tops, (1 - FALSE_SHARE, 0.5)))
            self._width = max(self._cutoff - middle, 1e-6) / STEEP
            self._doubt = 2 * self._width

    def probability(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probability of a match, of the same shape: 0.5 at the cutoff, 0.02 where the middle noun comes, or at 0."""
        steps = (self._cutoff - evidence.astype(np.float64)) / self._width
        return np.asarray(1 / (1 + np.exp(np.clip(steps, -FAR, FAR))))

    def suspicion(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Whether something unwanted may be there, of the same shape: 0.5 halfway from the middle noun to the cutoff.

        The nouns' cutoff would let nearly all through; a floor is as good for what is not wanted (docs/accuracy.md).
        """
        return self.probability(evidence + self._doubt)

    def carried(self, picture: Vector) -> Vector:
        """A picture's vector among those of words: the background's mean taken out, the nouns' mean put in.

        Pictures and words lie apart in a space that holds both (Liang et al. 2022, arXiv 2203.02053), and every
        picture is nearer to any other than a word is. Carried over, the two can be added up and share one cutoff;
        where that is a floor for words, a picture is made as much shorter as more is asked of it.
        """
        moved = picture + self._shift
        return np.asarray(moved * (self._carried / max(float(np.linalg.norm(moved)), 1e-6)), np.float32)


@dataclass(frozen=True, slots=True)
class Aim:
    """What is looked for.

    Attributes:
        query: (dim,) vector of length 1, or shorter where it is a picture in a space with a floor.
        against: what must not be there: weights above 0 and (dim,) vectors, likewise.
    """

    query: Vector
    against: tuple[tuple[float, Vector], ...] = ()

    @property
    def direction(self) -> Vector:
        """The query as a unit vector."""
        return np.asarray(self.query / max(float(np.linalg.norm(self.query)), 1e-6), np.float32)


class Matcher:
    """Turns vectors into probabilities that they match; 0.5 is the default cutoff.

    Several aims are judged at once, at the price of one matrix product: what nouns say is worked out once.

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
        nulls = {id(null): null for _, null in aims}
        self._groups = [(n, [r for r, (i, *_) in enumerate(rows) if aims[i][1] is n]) for n in nulls.values()]

    def judge(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probability that each row shows what is looked for, and that it shows nothing of what must not be there.

        Returns:
            Two arrays (n, aims) in 0..1; a match is both, so their product counts.
        """
        evidence = self._bank.evidence(self._queries, vectors)
        each = np.empty(evidence.shape, np.float64)
        for null, places in self._groups:
            found = evidence[:, places]
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
