"""Measures what each part of match scoring contributes, on videos as vectors; ``bench.accuracy`` runs it.

Every variant gets the cutoff at which 5 % of the absent classes are matched, so that variants can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.query.moments.segmentation import MATCH_CUTOFF
from footage.query.scoring.calibration import NullDistribution
from footage.query.scoring.hysteresis import find_segments
from footage.query.scoring.noun_bank import Array, NounBank

FALSE_MATCH_RATE = 0.05
STEEPNESS = 4.0
"""A cutoff's distance to the middle of all scores in widths of the sigmoid, as ``query.scoring.calibration`` has it."""

Scores = Callable[[Vectors, Vectors], NDArray[np.float64]]
"""Queries (q, dim) and a video's frames (n, dim) to scores (n, q): higher is more of a match."""


@dataclass(frozen=True, slots=True)
class VectorVideo:
    """A video as vectors: frames (n, dim), and which of the classes each shows (n, classes)."""

    frames: Vectors
    shown: NDArray[np.bool_]


class NounCosines(NounBank):
    """A noun bank whose evidence is the plain cosine, without subtracting a frame's nearest nouns."""

    def evidence(self, queries: Vectors, vectors: Vectors) -> Array:
        return np.asarray(vectors @ queries.T, np.float32)


def calibrated_scores(bank: NounBank) -> Scores:
    """Scores of ``query.scoring.calibration``: evidence above the cutoff, in widths of its slope."""

    def scores(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
        p = NullDistribution(bank, frames).probability(bank.evidence(queries, frames))
        return np.asarray(np.log(np.clip(p, 1e-12, 1 - 1e-12) / (1 - np.clip(p, 1e-12, 1 - 1e-12))))

    return scores


def cosines(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
    """Raw cosines."""
    return np.asarray(frames @ queries.T, np.float64)


def robust_deviations(queries: Vectors, frames: Vectors) -> NDArray[np.float64]:
    """Each query's cosines in its own robust standard deviations."""
    raw = cosines(queries, frames)
    center = np.median(raw, axis=0)
    return np.asarray((raw - center) / np.maximum(1.4826 * np.median(np.abs(raw - center), axis=0), 1e-6))


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one scoring variant over all videos and classes.

    Attributes:
        false: share of absent classes that are answered.
        at: share of present classes whose best-scored moment overlaps the true one by 0.3, 0.5 and 0.7 (R@1 at IoU).
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


HEADER = f"  {'':44s} false  R@.3   R@.5   R@.7   mIoU   answered  a person"


def measure_row(
    name: str,
    scores: Scores,
    queries: Vectors,
    videos: Sequence[VectorVideo],
    person: int,
    false: float | None = FALSE_MATCH_RATE,
) -> Row:
    """Score every class on every video.

    Args:
        person: which of the classes that is.
        false: share of absent classes that may be answered; None takes the cutoff as it is (a score of 0).
    """
    found = [scores(queries, video.frames) for video in videos]
    tops = np.stack([each.max(axis=0) for each in found])
    there = np.stack([video.shown.any(axis=0) for video in videos])
    cutoff = 0.0 if false is None else float(np.quantile(tops[~there], 1 - false))
    width = 1.0 if false is None else max((cutoff - float(np.median(tops[~there]))) / STEEPNESS, 1e-6)
    overlaps: list[float] = []
    people: list[bool] = []
    for video, each in zip(videos, found, strict=True):
        p = 1 / (1 + np.exp(np.clip((cutoff - each) / width, -50, 50)))
        best = {c: _best_overlap(p[:, c], video.shown[:, c]) for c in np.flatnonzero(video.shown.any(axis=0)).tolist()}
        overlaps += best.values()
        people += [best[person] >= 0.5] if person in best else []
    covered = np.array([max(o, 0.0) for o in overlaps])
    at = (float((covered >= 0.3).mean()), float((covered >= 0.5).mean()), float((covered >= 0.7).mean()))
    answered = float(np.mean([o >= 0 for o in overlaps]))
    return Row(
        name, float((tops[~there] >= cutoff).mean()), at, float(covered.mean()), answered, float(np.mean(people))
    )


def _best_overlap(p: NDArray[np.float64], shown: NDArray[np.bool_]) -> float:
    """Largest IoU of the best-scored moment with the true spans; -1 if nothing matches."""
    found = sorted(find_segments(p, MATCH_CUTOFF), key=lambda span: -p[slice(*span)].max())
    if not found:
        return -1.0
    a, b = found[0]
    true = find_segments(shown.astype(float), 0.5)
    return max((max(0, min(b, d) - max(a, c)) / (max(b, d) - min(a, c)) for c, d in true), default=0.0)


def cross_validate_floor(pictures: Vectors, there: NDArray[np.bool_], queries: Vectors, draws: int = 200) -> str:
    """A floor that is chosen on half of the photographs, so that 5 % of what is absent is answered, tried on the other.

    Each half is asked as one video.
    """
    rng = np.random.default_rng(2)
    scores = pictures @ queries.T
    kept = []
    for _ in range(draws):
        order = rng.permutation(len(pictures))
        chosen, tested = (
            (
                scores[half].max(axis=0),
                there[half][scores[half].argmax(axis=0), range(len(queries))],
                there[half].any(axis=0),
            )
            for half in np.array_split(order, 2)
        )
        floor = np.quantile(chosen[0][~chosen[2]], 1 - FALSE_MATCH_RATE)
        top, right, shown = tested
        kept.append((floor, (top[~shown] >= floor).mean(), ((top >= floor) & right)[shown].mean()))
    floor, false, right = np.mean(kept, axis=0)
    spread = np.std([k[0] for k in kept])
    chosen_on = f"a floor from half of the photographs ({floor:.3f} ± {spread:.3f})"
    return f"{chosen_on}, on the other half: {false:.3f} false, {right:.3f} right"
