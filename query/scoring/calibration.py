"""Turns cosines into probabilities of a match.

A space that was trained so that a cosine means the same for every text and image has a floor: a cosine above it is a
match. In other spaces scores are compared with those of everyday nouns on the same footage.

There a raw cosine says little: some frames are near to every phrase, some phrases are near to every frame, and each
space has its own scale. Comparison with a bank of nouns, embedded by the same model, corrects that in two steps:

1. *Evidence.* A frame's mean cosine with its ten nearest nouns is subtracted from its cosine with the query: does the
   query describe the frame better than they do? (One side of CSLS: Conneau et al. 2018, arXiv 1710.04087.)
2. *Empirical null.* Each noun is scored on the same background. Most nouns are not there, so the scores of their best
   frames show what chance produces in this space, on these cameras, in this much footage. A query that beats all
   but ``NounBank.false_match_share`` of the nouns is a match (a null distribution estimated from many cases at once:
   Efron 2004, "Large-scale simultaneous hypothesis testing"). No threshold belongs to a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Record, Vector
from footage.indexer.store.row_arrays import RowArrays
from footage.query.scoring.noun_bank import NounBank

IMAGE_FACTOR = 1.7
"""The floor for an image as query is this many times the floor for words. An eighth of the images of absent things
still pass, nearly all of them because they show the same kinds of things (docs/accuracy.md)."""
SCORE_TOLERANCE = 1e-4
"""How much a cosine that a store computed may differ from that of the same vectors here."""
MAX_STEPS = 50.0
"""Distance from the cutoff, in widths of the slope, at which probabilities are clipped."""
STEEPNESS = 4
"""Distance from the cutoff to the median noun's score, or to 0, in widths of the probability's slope."""


class NullDistribution:
    """The distribution of scores that chance produces on one background: those of the nouns' best frames.

    Args:
        background: (n, dim) vectors of frames from the cameras of the question; a sample is enough, and it may contain
            matches. If it is empty and the space has no floor, all probabilities are below the cutoff.
    """

    def __init__(self, bank: NounBank, background: Vectors) -> None:
        self._cutoff, self._width, self._exclusion_shift, self._image_length = np.inf, 1.0, 0.0, 1.0
        self._image_shift = np.zeros(bank.vectors.shape[1], np.float32)
        if len(background):
            self._image_shift = bank.vectors.mean(axis=0) - background.mean(axis=0)
        if bank.floor is not None:
            self._cutoff, self._width, self._image_length = bank.floor, bank.floor / STEEPNESS, 1 / IMAGE_FACTOR
        elif len(background):
            tops = bank.evidence(bank.vectors, background).max(axis=0)
            self._cutoff, median = (float(q) for q in np.quantile(tops, (1 - bank.false_match_share, 0.5)))
            self._width = max(self._cutoff - median, 1e-6) / STEEPNESS
            self._exclusion_shift = 2 * self._width

    def probability(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability of a match: 0.5 at the cutoff, 0.02 at the median noun's score, or at 0."""
        steps = (self._cutoff - evidence.astype(np.float64)) / self._width
        return np.asarray(1 / (1 + np.exp(np.clip(steps, -MAX_STEPS, MAX_STEPS))))

    def exclusion_probability(self, evidence: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probability that something unwanted is there: 0.5 halfway from the median noun to the cutoff.

        The nouns' cutoff would exclude almost nothing; a floor works equally well for unwanted things
        (docs/accuracy.md).
        """
        return self.probability(evidence + self._exclusion_shift)

    def align_image(self, vector: Vector) -> Vector:
        """Move an image's vector among those of words: subtract the background's mean and add the nouns' mean.

        Images and words lie apart in a shared space (Liang et al. 2022, arXiv 2203.02053), and every image is nearer
        to any other image than a word is. After the move the two can be added and share one cutoff; where that is a
        floor for words, the vector is shortened by ``IMAGE_FACTOR``.
        """
        moved = vector + self._image_shift
        return np.asarray(moved * (self._image_length / max(float(np.linalg.norm(moved)), 1e-6)), np.float32)


@dataclass(frozen=True, slots=True)
class QueryEmbedding:
    """The vectors of one question.

    Attributes:
        wanted: (dim,) vector of length 1, or shorter where it is an image in a space with a floor.
        unwanted: weights above 0 and (dim,) vectors of what must not be there, likewise.
    """

    wanted: Vector
    unwanted: tuple[tuple[float, Vector], ...] = ()

    @property
    def direction(self) -> Vector:
        """The wanted vector at unit length, for a nearest-neighbor search."""
        return np.asarray(self.wanted / max(float(np.linalg.norm(self.wanted)), 1e-6), np.float32)


class MultiQueryScorer:
    """Scores vectors against several queries at once, with one matrix product; 0.5 is the default cutoff.

    Args:
        queries: each with the null distribution of its cameras.
        bank: nouns in the same space.
    """

    def __init__(self, queries: Sequence[tuple[QueryEmbedding, NullDistribution]], bank: NounBank) -> None:
        self._bank, self._count = bank, len(queries)
        rows = [(i, 0.0, query.wanted) for i, (query, _) in enumerate(queries)]
        rows += [(i, weight, vector) for i, (query, _) in enumerate(queries) for weight, vector in query.unwanted]
        self._rows = [(i, weight) for i, weight, _ in rows]
        self._vectors = np.array([vector for _, _, vector in rows], np.float32).reshape(-1, bank.vectors.shape[1])
        nulls = {id(null): null for _, null in queries}
        self._groups = [(n, [r for r, (i, *_) in enumerate(rows) if queries[i][1] is n]) for n in nulls.values()]

    def score_parts(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score separately that each row shows what is wanted, and that it shows nothing unwanted.

        Returns:
            Two arrays (n, queries) in 0..1; their product is the probability of a match.
        """
        evidence = self._bank.evidence(self._vectors, vectors)
        each = np.empty(evidence.shape, np.float64)
        for null, columns in self._groups:
            found = evidence[:, columns]
            is_wanted = np.array(columns) < self._count
            each[:, columns] = np.where(is_wanted, null.probability(found), null.exclusion_probability(found))
        clear = np.ones((len(vectors), self._count))
        for row, (i, weight) in enumerate(self._rows[self._count :], self._count):
            clear[:, i] *= (1 - each[:, row]) ** weight
        return each[:, : self._count], clear

    def probability(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability that each row matches each query, (n, queries): 0.5 at the cutoff."""
        wanted, clear = self.score_parts(vectors)
        return wanted * clear


class MatchScorer:
    """Scores vectors against one query: all results have shape (n,).

    Attributes:
        least_cosine: no vector matches whose cosine with the query's direction is below this; None where nothing
            follows from the cosine alone, in spaces without a floor.
    """

    def __init__(self, query: QueryEmbedding, null: NullDistribution, bank: NounBank) -> None:
        self._scorer = MultiQueryScorer([(query, null)], bank)
        length = max(float(np.linalg.norm(query.wanted)), 1e-6)
        self.least_cosine = None if bank.floor is None else bank.floor / length - SCORE_TOLERANCE

    def score_parts(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score as ``MultiQueryScorer.score_parts`` does, (n,) and (n,)."""
        wanted, clear = self._scorer.score_parts(vectors)
        return wanted[:, 0], clear[:, 0]

    def probability(self, vectors: Vectors) -> NDArray[np.float64]:
        """Return the probability of a match for each row, (n,): 0.5 at the cutoff, 0.02 at the median noun's score."""
        return self._scorer.probability(vectors)[:, 0]


class PartScorer(Protocol):
    """Scores separately what is wanted and that nothing unwanted is there, as ``MatchScorer`` does."""

    def score_parts(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score (n, dim) unit rows, (n,) and (n,)."""
        ...


def score_rows(rows: RowArrays, scorer: PartScorer) -> NDArray[np.float64]:
    """Return the probability that each row matches, as ``apply_exclusions`` has it; rows of one frame are neighbors."""
    return exclude_rows(rows, *scorer.score_parts(rows.vectors))


def exclude_rows(rows: RowArrays, wanted: NDArray[np.float64], clear: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that each row matches, from what was scored separately, (n,)."""
    if not len(rows) or clear.min() == 1:
        return wanted
    other_time = np.diff(rows.time, prepend=rows.time[0] - 1) != 0
    first = other_time | (np.diff(rows.camera.astype(np.int64), prepend=-1) != 0)
    starts = np.flatnonzero(first)
    return np.asarray(wanted * np.minimum.reduceat(clear, starts)[np.cumsum(first) - 1])


def apply_exclusions(
    records: Sequence[Record], wanted: NDArray[np.float64], clear: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probability that each record matches and no record of the same time shows anything unwanted.

    A region may show the man without the dog that the whole frame shows.

    Args:
        wanted, clear: as ``score_parts`` returns them, (n,) or (n, queries).
    """
    places: dict[tuple[str, datetime], int] = {}
    group = [places.setdefault((r.camera, r.time), len(places)) for r in records]
    least = np.ones((len(places), *clear.shape[1:]))
    np.minimum.at(least, group, clear)
    return wanted * least[group]
