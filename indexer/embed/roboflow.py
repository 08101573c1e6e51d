"""What both routes through Roboflow Inference share: its CLIP models, and words that are too long for them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from footage.indexer.embed.base import EmbedderError, Space, Vectors
from footage.indexer.embed.preprocess import Fit, Recipe

log = logging.getLogger(__name__)

VERSIONS = {
    "RN50": (1024, 224),
    "RN101": (512, 224),
    "RN50x4": (640, 288),
    "RN50x16": (768, 384),
    "RN50x64": (1024, 448),
    "ViT-B-16": (512, 224),
    "ViT-B-32": (512, 224),
    "ViT-L-14": (768, 224),
    "ViT-L-14-336px": (768, 336),
}
"""Length of a vector and side of a picture of each model that Inference 1.8 serves: OpenAI's nine."""
CONTEXT = 77
KEY_HINT = "set ROBOFLOW_API_KEY to a key of your Roboflow workspace (app.roboflow.com, Settings, API Keys)"


class TooLong(EmbedderError):
    """The model refuses a text because it is longer than its context."""


def version_of(model: str) -> str:
    """``ViT-B-16`` from ``clip/ViT-B-16`` or itself.

    Raises:
        EmbedderError: Inference does not serve it; names those that it does.
    """
    version = model.removeprefix("clip/")
    if version not in VERSIONS:
        raise EmbedderError(f"Roboflow Inference has no model '{model}'; it has: {', '.join(VERSIONS)}")
    return version


def space_of(version: str) -> Space:
    """The space of a version, by the name that the same weights have when they are run directly."""
    return Space(f"clip/{version}", VERSIONS[version][0])


def recipe_of(version: str, fit: Fit | None) -> Recipe:
    """How pictures are made square before they are handed over; the rest is Inference's own work."""
    return Recipe.read(None, VERSIONS[version][1], fit)


def unit(rows: Sequence[Sequence[float]] | Vectors, dim: int, who: str) -> Vectors:
    """Answers as unit rows.

    Raises:
        EmbedderError: they are not vectors of this length.
    """
    if not len(rows):
        return np.empty((0, dim), np.float32)
    try:
        vectors = np.asarray(rows, np.float32)
    except (TypeError, ValueError):
        vectors = np.empty((1, 0), np.float32)
    if vectors.shape != (len(rows), dim):
        raise EmbedderError(f"{who} gave vectors of {vectors.shape[-1]} numbers, not of {dim}; is it another model?")
    if not np.isfinite(vectors).all():
        raise EmbedderError(f"{who} gave vectors that are not numbers")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    answer: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return answer


async def shortened(text: str, embed: Callable[[str], Awaitable[Vectors]]) -> Vectors:
    """Embed one text that was too long: its first words, as many as the model accepts.

    Inference refuses what is longer than the context instead of cutting it. Each word is one token at least, so no
    more words than the context has places can matter; after that a quarter goes at a time.
    """
    words = text.split()[: CONTEXT - 2]
    part = " ".join(words)
    while part:
        try:
            answer = await embed(part)
        except TooLong:
            words = words[: len(words) * 3 // 4]
            part = " ".join(words) if words else part[: len(part) * 3 // 4]
        else:
            log.warning("only the first %d characters of this text count: %.60s...", len(part), text)
            return answer
    raise TooLong(f"the model takes no part of this text: {text[:60]}")
