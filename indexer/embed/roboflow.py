"""Helps both Roboflow Inference embedders: lists its CLIP models, makes unit rows, shortens long texts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from footage.indexer.embed.base import EmbedderError, Space, Vectors
from footage.indexer.embed.preprocess import Fit, ImagePreprocessor

log = logging.getLogger(__name__)

INFERENCE_MODELS = {
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
"""Vector length and image side of each model that Inference 1.8 serves: OpenAI's nine."""
CONTEXT_LENGTH = 77
KEY_HINT = "set ROBOFLOW_API_KEY to a key of your Roboflow workspace (app.roboflow.com, Settings, API Keys)"


class TextTooLong(EmbedderError):
    """Raised when the model refuses a text that is longer than its context."""

    public = ""


def inference_version(model: str) -> str:
    """Return Inference's name of a model: ``ViT-B-16`` for ``clip/ViT-B-16`` or itself.

    Raises:
        EmbedderError: Inference does not serve it; the message lists its models.
    """
    version = model.removeprefix("clip/")
    if version not in INFERENCE_MODELS:
        raise EmbedderError(f"Roboflow Inference has no model '{model}'; it has: {', '.join(INFERENCE_MODELS)}")
    return version


def inference_space(version: str) -> Space:
    """Return the space of a version, named as if the same weights were run directly."""
    return Space(f"clip/{version}", INFERENCE_MODELS[version][0])


def inference_preprocessor(version: str, fit: Fit | None) -> ImagePreprocessor:
    """Return the preprocessor that makes images square; Inference does the rest of the preprocessing."""
    return ImagePreprocessor.from_config(None, INFERENCE_MODELS[version][1], fit)


def to_unit_rows(rows: Sequence[Sequence[float]] | Vectors, dim: int, who: str) -> Vectors:
    """Normalize the vectors of a response to unit rows.

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
    if lengths.min() < 1e-12:
        raise EmbedderError(f"{who} gave vectors of zeros")
    answer: Vectors = (vectors / lengths).astype(np.float32)
    return answer


async def embed_shortened(text: str, embed: Callable[[str], Awaitable[Vectors]]) -> Vectors:
    """Embed as many of the first words of a text as the model accepts.

    Inference refuses longer texts instead of cutting them. Each word is at least one token, so the first try has as
    many words as the context has tokens; each further try drops a quarter.
    """
    words = text.split()[: CONTEXT_LENGTH - 2]
    part = " ".join(words)
    while part:
        try:
            answer = await embed(part)
        except TextTooLong:
            words = words[: len(words) * 3 // 4]
            part = " ".join(words) if words else part[: len(part) * 3 // 4]
        else:
            log.warning("only the first %d characters of this text count: %.60s...", len(part), text)
            return answer
    raise TextTooLong(f"the model takes no part of this text: {text[:60]}")
