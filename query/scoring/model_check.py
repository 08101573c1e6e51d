"""Judges a model by a small labelled set: does it find what is there, and nothing that is not?

The judge of scores (``calibration``) is the one that searches use, with the set itself as background.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Embedder, EmbedderError, Vectors
from footage.indexer.embed.preprocess import OPENAI_MEAN, OPENAI_STD, Color
from footage.query.scoring.calibration import MatchScorer, NullDistribution, QueryEmbedding
from footage.query.scoring.check_set import COLORS, CheckSet, color_cards, load_check_set
from footage.query.scoring.noun_bank import FALSE_MATCH_SHARE, NounBank
from footage.query.scoring.prompts import embed_phrases

MIN_MAP = 0.6
"""lite/2, whose classes are few, has 0.9; vectors without meaning have about 0.2."""
MIN_RIGHT = 0.4
"""Least share of questions that the judge answers with the right picture."""
MAX_FALSE = 0.25
"""Greatest share of questions about absent things that it answers with anything."""
MIN_COLORS = 3
MAX_GAIN = 1.15
"""How many times better the model may tell pictures apart that are prepared in another way than its own."""
MIN_SEPARATION = 1.0
"""Below it nothing is told apart; lite/2 has 2.4, vectors without meaning up to 0.4."""
NORMALIZATIONS: dict[str, tuple[Color, Color]] = {
    "OpenAI's normalization": (OPENAI_MEAN, OPENAI_STD),
    "a normalization to -1..1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "no normalization": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
"""Those of the CLIP models that are published."""
MATCH = 0.5
FLOOR_PARTS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Cutoffs that are tried for a space with a floor, as parts of it."""
SHARES = (0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2)
"""Cutoffs that are tried for a space without a floor: the share of everyday nouns that may score as high."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What was measured.

    Attributes:
        space: name of the model's space.
        mean_average_precision: of the rankings of all frames by each question, 0 to 1.
        right, questions: questions of which a right frame is best and a match, and how many there are.
        false, absent: questions about absent things with any match, and how many there are.
        colors: colored cards that were told apart, of 4; None where the space has a floor, since its words are things.
        better_with: another way to prepare pictures, with which the model tells them apart far better, or empty.
        problem: why nothing could be measured, or empty.
    """

    space: str
    mean_average_precision: float = 0.0
    right: int = 0
    questions: int = 0
    false: int = 0
    absent: int = 0
    colors: int | None = None
    better_with: str = ""
    problem: str = ""

    @property
    def trusted(self) -> bool:
        """Whether answers of this model can be trusted here."""
        return not self.reasons()

    def reasons(self) -> list[str]:
        """Return what speaks against the model; empty when nothing does."""
        if self.problem:
            return [self.problem]
        found = []
        if self.mean_average_precision < MIN_MAP:
            found.append("it ranks pictures hardly better than chance: are all files, the tokenizer too, of one model?")
        elif self.right < MIN_RIGHT * self.questions:
            found.append("it ranks pictures well, but its scores miss what is there")
        if self.false > MAX_FALSE * self.absent:
            found.append("it finds what is not there")
        if self.better_with:
            found.append(f"it finds more with {self.better_with}: its pictures are not prepared as in training")
        if self.colors is not None and self.colors < MIN_COLORS:
            found.append("it takes one color for another")
        return found

    def figures(self) -> str:
        """Return the numbers in one line."""
        colors = "" if self.colors is None else f", colors {self.colors} of {len(COLORS)}"
        return (
            f"mAP {self.mean_average_precision:.2f}, right {self.right} of {self.questions}, "
            f"false {self.false} of {self.absent}{colors}"
        )

    def sentence(self) -> str:
        """Return whether its answers can be trusted, and why not."""
        if self.trusted:
            return f"answers of {self.space} can be trusted here"
        return f"answers of {self.space} cannot be trusted here: {'; '.join(self.reasons())}"

    def to_document(self) -> dict[str, Any]:
        """Return it as a document of the catalog."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> ModelCheck:
        """Return what ``to_document`` wrote."""
        return cls(**{name: document[name] for name in cls.__slots__ if name in document})


@dataclass(frozen=True, slots=True)
class Cutoff:
    """A cutoff for one space: its floor, or the share of nouns that may score as high as a match."""

    space: str
    floor: float | None = None
    false_match_share: float | None = None

    def __str__(self) -> str:
        if self.floor is not None:
            return f"a cosine of {self.floor}"
        return f"the score that {self.false_match_share:.0%} of everyday nouns reach"

    def to_document(self) -> dict[str, Any]:
        """Return it as a document of the catalog."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Cutoff:
        """Return what ``to_document`` wrote."""
        return cls(**{name: document[name] for name in cls.__slots__ if name in document})

    def apply(self, bank: NounBank) -> NounBank:
        """Return a bank with this cutoff."""
        if self.floor is not None:
            return replace(bank, floor=self.floor)
        return bank if self.false_match_share is None else replace(bank, false_match_share=self.false_match_share)


async def check_model(
    embedder: Embedder, bank: NounBank | None = None, cutoff: Cutoff | None = None
) -> tuple[ModelCheck, Cutoff | None]:
    """Embed the set, search it, and judge the answers.

    Args:
        bank: the model's nouns; None embeds them.
        cutoff: of searches in this space; None is the usual one.

    Returns:
        What was measured, and the cutoff that separates right from false best; None where nothing could be measured.
    """
    space = embedder.space.name
    check_set = await asyncio.to_thread(load_check_set)
    try:
        bank = bank or await NounBank.build(embedder)
        frames = await embedder.images(check_set.frames)
        words = await embed_phrases(embedder, [*check_set.present, *check_set.absent])
        colors = None if embedder.floor is not None else await _tell_colors(embedder)
    except EmbedderError as error:
        return ModelCheck(space, problem=str(error)), None
    if not (np.isfinite(frames).all() and np.isfinite(words).all()):
        return ModelCheck(space, problem="its vectors are not numbers"), None
    judged = _judge(check_set, frames, words, cutoff.apply(bank) if cutoff else bank)
    better = await _better_preparation(embedder, check_set, frames, words)
    best = _best_cutoff(space, check_set, frames, words, bank)
    return replace(judged, space=space, colors=colors, better_with=better), best


def average_precision(scores: NDArray[np.floating], present: NDArray[np.bool_]) -> float:
    """Return the mean of the precisions at each right frame, ordered by score."""
    right = present[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(right) / np.arange(1, len(right) + 1))[right].mean())


async def _better_preparation(embedder: Embedder, check_set: CheckSet, frames: Vectors, words: Vectors) -> str:
    """Return another way to prepare pictures, with which the model tells them apart far better, or nothing."""
    swapped = [np.ascontiguousarray(frame[:, :, ::-1]) for frame in check_set.frames]
    others = {"red and blue swapped": await embedder.images(swapped)}
    normalized = getattr(embedder, "images_normalized", None)  # CLIP that is run directly
    if normalized is not None:
        for name, (mean, std) in NORMALIZATIONS.items():
            others[name] = await normalized(check_set.frames, mean, std)
    separations = {name: _separation(check_set, vectors, words) for name, vectors in others.items()}
    best = max(separations, key=lambda name: separations[name])
    own = max(_separation(check_set, frames, words), 0.0)
    return best if separations[best] > max(MAX_GAIN * own, MIN_SEPARATION) else ""


def _separation(check_set: CheckSet, frames: Vectors, words: Vectors) -> float:
    """Return by how many standard deviations right pairs of question and frame are nearer than wrong ones.

    Means of rows and columns are subtracted first: some frames are near to every word, some words to every frame.
    """
    present = np.stack(list(check_set.present.values()))
    cosines = words[: len(present)] @ frames.T
    cosines = cosines - cosines.mean(axis=1, keepdims=True)
    cosines = cosines - cosines.mean(axis=0, keepdims=True)
    return float((cosines[present == 1].mean() - cosines[present == 0].mean()) / max(float(cosines.std()), 1e-9))


def _judge(check_set: CheckSet, frames: Vectors, words: Vectors, bank: NounBank) -> ModelCheck:
    scores = _scores(frames, words, bank)
    precisions, right = [], 0
    for row, present in zip(scores, check_set.present.values(), strict=False):
        judged = present >= 0
        precisions.append(average_precision(row[judged], present[judged] == 1))
        best = int(np.argmax(np.where(judged, row, -1.0)))
        right += bool(present[best] == 1 and row[best] >= MATCH)
    count = len(check_set.present)
    false = int((scores[count:] >= MATCH).any(axis=1).sum())
    mean = float(np.mean(precisions))
    return ModelCheck("", round(mean, 4), right, count, false, len(check_set.absent))


def _scores(frames: Vectors, words: Vectors, bank: NounBank) -> NDArray[np.float64]:
    """Return the probability that each frame matches each question, (questions, frames)."""
    null = NullDistribution(bank, frames)
    return np.stack([MatchScorer(QueryEmbedding(word), null, bank).probability(frames) for word in words])


def _best_cutoff(space: str, check_set: CheckSet, frames: Vectors, words: Vectors, bank: NounBank) -> Cutoff:
    if bank.floor is None:
        tried, usual = [Cutoff(space, false_match_share=share) for share in SHARES], SHARES.index(FALSE_MATCH_SHARE)
    else:
        floors = [round(bank.floor * part, 4) for part in FLOOR_PARTS]
        tried, usual = [Cutoff(space, floor=floor) for floor in floors], FLOOR_PARTS.index(1.0)

    def gain(number: int) -> tuple[float, int]:
        check = _judge(check_set, frames, words, tried[number].apply(bank))
        return check.right / check.questions - check.false / check.absent, -abs(number - usual)

    return tried[max(range(len(tried)), key=gain)]


async def _tell_colors(embedder: Embedder) -> int:
    """Return how many colored cards are nearest to the name of their own color."""
    cards = await embedder.images(color_cards())
    names = await embed_phrases(embedder, [f"the color {name}" for name in COLORS])
    cosines = cards @ names.T
    centered = cosines - cosines.mean(axis=0)
    return int((np.argmax(centered, axis=0) == np.arange(len(COLORS))).sum())
