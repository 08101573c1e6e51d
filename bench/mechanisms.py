"""What each part of the judgement is worth: films of photographs, as vectors, asked with one part switched off in turn.

Every way of judging gets the cutoff at which 5 % of the absent classes are answered, so that they can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexer.embed.base import Vectors
from query.bank import Array, Bank
from query.match import Null
from query.moments import CUTOFF, segments

FALSE = 0.05
STEEP = 4.0
"""A cutoff's distance to the middle of all scores in widths of the sigmoid, as ``query.match`` has it."""

Scores = Callable[[Vectors, Vectors], NDArray[np.float64]]
"""Queries (q, dim) and a film's frames (n, dim) to scores (n, q): higher is more of a match."""


@dataclass(frozen=True, slots=True)
class Film:
    """A film as vectors: frames (n, dim), and which of the classes each shows (n, classes)."""

    frames: Vectors
    shown: NDArray[np.bool_]


class Plain(Bank):
    """Nouns without what the query's own nearest nouns say: a claim is a cosine."""

    def claims(self, vectors: Vectors) -> tuple[Array, Array]:
        cosines = np.asarray(vectors @ self.vectors.T, np.float32)
        return cosines, np.zeros((len(vectors), 1), np.float32)


class Lonely(Bank):
    """Nouns of which none is kin to another."""

    def kin(self, queries: Vectors) -> Array:
        return np.zeros((len(queries), len(self.vectors)), np.float32)


def judged(bank: Bank) -> Scores:
    """How ``query.match`` judges: evidence above the cutoff that the nouns set on this film, in its widths."""

    def scores(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
        null = Null(bank, frames)
        claims, crowd = bank.claims(frames)
        p = null.probability(null.evidence(frames @ queries.T - crowd, claims, bank.kin(queries)))
        return np.asarray(np.log(np.clip(p, 1e-12, 1 - 1e-12) / (1 - np.clip(p, 1e-12, 1 - 1e-12))))

    return scores


def evidence(bank: Bank) -> Scores:
    """The same without the nouns' say on where the cutoff is."""

    def scores(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
        null = Null(bank, frames)
        claims, crowd = bank.claims(frames)
        return null.evidence(frames @ queries.T - crowd, claims, bank.kin(queries)).astype(np.float64)

    return scores


def cosines(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
    """Raw cosines."""
    return np.asarray(frames @ queries.T, np.float64)


def deviations(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
    """Each query's cosines in its own robust standard deviations."""
    raw = cosines(queries, frames)
    centre = np.median(raw, axis=0)
    return np.asarray((raw - centre) / np.maximum(1.4826 * np.median(np.abs(raw - centre), axis=0), 1e-6))


@dataclass(frozen=True, slots=True)
class Row:
    """One way of judging over all films and classes.

    Attributes:
        false: share of absent classes that are answered.
        at: share of present classes whose surest moment overlaps the true one by 0.3, 0.5 and 0.7 (R@1 at IoU).
        iou: mean of that overlap.
        answered: share of present classes that are answered.
        person: R@1 at IoU 0.5 of "a person" alone.
    """

    name: str
    false: float
    at: tuple[float, float, float]
    iou: float
    answered: float
    person: float

    def __str__(self) -> str:
        at = "  ".join(f"{share:.3f}" for share in self.at)
        return f"  {self.name:44s} {self.false:.3f}  {at}  {self.iou:.3f}  {self.answered:.3f}     {self.person:.2f}"


HEAD = f"  {'':44s} false  R@.3   R@.5   R@.7   mIoU   answered  a person"


def row(
    name: str, scores: Scores, queries: Vectors, films: Sequence[Film], person: int, false: float | None = FALSE
) -> Row:
    """Judge every class on every film.

    Args:
        person: which of the classes that is.
        false: share of absent classes that may be answered; None takes the cutoff as it is (a score of 0).
    """
    found = [scores(queries, film.frames) for film in films]
    tops = np.stack([each.max(axis=0) for each in found])
    there = np.stack([film.shown.any(axis=0) for film in films])
    cutoff = 0.0 if false is None else float(np.quantile(tops[~there], 1 - false))
    width = 1.0 if false is None else max((cutoff - float(np.median(tops[~there]))) / STEEP, 1e-6)
    overlaps: list[float] = []
    people: list[bool] = []
    for film, each in zip(films, found, strict=True):
        p = 1 / (1 + np.exp(np.clip((cutoff - each) / width, -50, 50)))
        best = {c: _best(p[:, c], film.shown[:, c]) for c in np.flatnonzero(film.shown.any(axis=0)).tolist()}
        overlaps += best.values()
        people += [best[person] >= 0.5] if person in best else []
    covered = np.array([max(o, 0.0) for o in overlaps])
    at = (float((covered >= 0.3).mean()), float((covered >= 0.5).mean()), float((covered >= 0.7).mean()))
    answered = float(np.mean([o >= 0 for o in overlaps]))
    return Row(
        name, float((tops[~there] >= cutoff).mean()), at, float(covered.mean()), answered, float(np.mean(people))
    )


def _best(p: NDArray[np.float64], shown: NDArray[np.bool_]) -> float:
    """Largest overlap (IoU) of the surest moment with where the thing is; -1 when nothing is answered."""
    found = sorted(segments(p, CUTOFF), key=lambda span: -p[slice(*span)].max())
    if not found:
        return -1.0
    a, b = found[0]
    true = segments(shown.astype(float), 0.5)
    return max((max(0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c)) for c, d in true), default=0.0)
