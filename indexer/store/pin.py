"""Whether an index was made with the model in use: the same space, and the same answers in it."""

from __future__ import annotations

import numpy as np

from footage.indexer.embed.base import Space
from footage.indexer.store.base import SpaceMismatch

ALIKE = 0.995
"""Least cosine between fingerprints: two answers of one model on different hardware agree better than this."""


def compare(pinned: Space, before: bytes, space: Space, now: bytes) -> None:
    """Refuse another model than the one that an index is bound to.

    Args:
        pinned: the index's space.
        before: the fingerprint of the model that made it, float32 little-endian.
        space: that of the model in use.
        now: its fingerprint.

    Raises:
        SpaceMismatch: another space, or the same name answers otherwise.
    """
    advice = "choose the model that made it, or index anew into another folder (--data)"
    if space != pinned:
        made, used = (f"{one.name} ({one.dim} numbers)" for one in (pinned, space))
        move = f"move the index to it (footage model migrate {space.name})"
        raise SpaceMismatch(f"this index was made with {made}, but the model in use is {used}; {move}, {advice}")
    cosine = _cosine(before, now)
    if not cosine >= ALIKE:
        raise SpaceMismatch(
            f"this index was made with another build of {space.name} than the one in use: their answers to the same "
            f"picture and text differ (cosine {cosine:.4f}; {ALIKE} is needed); {advice}"
        )


def _cosine(one: bytes, other: bytes) -> float:
    a, b = (np.frombuffer(each, "<f4").astype(np.float64) for each in (one, other))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if len(a) == len(b) and scale > 0 else 0.0
