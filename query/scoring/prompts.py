"""Embeds phrases with prompt templates and averages the results, which is steadier than any single wording.

Prompt ensembling: Radford et al. 2021 (arXiv 2103.00020), section 3.1.4. Its effect here: docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from footage.indexer.embed.base import Embedder, Vectors

TEMPLATES = ("{}", "a photo of {}", "there is {} in the scene")
PLAIN_TEMPLATES = ("{}",)
"""For a space with a floor, which was trained on plain phrases: several wordings gain nothing there."""


async def embed_phrases(embedder: Embedder, phrases: Sequence[str]) -> Vectors:
    """Embed phrases into (n, dim) float32 unit rows.

    Raises:
        EmbedderError: the model cannot be run or reached.
    """
    templates = TEMPLATES if embedder.floor is None else PLAIN_TEMPLATES
    rows = await embedder.texts([template.format(phrase) for phrase in phrases for template in templates])
    means = rows.reshape(len(phrases), len(templates), -1).mean(axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)
