"""Words as vectors: each phrase in a few settings, averaged, which is steadier than any one of them.

Prompt ensembling: Radford et al. 2021 (arXiv 2103.00020), section 3.1.4. What it does here: docs/accuracy.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from footage.indexer.embed.base import Embedder, Vectors

TEMPLATES = ("{}", "a photo of {}", "there is {} in the scene")
PLAIN = ("{}",)
"""For a space with a floor, which was made for phrases as they are: three wordings gain nothing there."""


async def embedded(embedder: Embedder, phrases: Sequence[str]) -> Vectors:
    """(n, dim) float32 unit rows, one a phrase.

    Raises:
        EmbedderError: when the model cannot be run or reached.
    """
    templates = TEMPLATES if embedder.floor is None else PLAIN
    rows = await embedder.texts([template.format(phrase) for phrase in phrases for template in templates])
    means = rows.reshape(len(phrases), len(templates), -1).mean(axis=1)
    return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), np.float32)
