"""Checks that an index was made with the model in use: the same space and the same vectors."""

from __future__ import annotations

import numpy as np

from footage.indexer.embed.base import Space
from footage.indexer.store.errors import SpaceMismatch, StoreDamaged

MIN_FINGERPRINT_COSINE = 0.995
"""Minimum cosine between fingerprints; one model on different hardware agrees better than this."""

MAX_LENGTH_ERROR = 0.05
"""By which the length of a model's vectors may differ from 1, in half precision too."""


def check_binding(bound: Space, before: bytes, space: Space, now: bytes) -> None:
    """Raise when the model in use is not the one that the index is bound to.

    Args:
        bound: the index's space.
        before: the fingerprint of the model that made it, float32 little-endian.
        space: the space of the model in use.
        now: its fingerprint.

    Raises:
        SpaceMismatch: another space, or the model of this name gives other vectors.
        StoreDamaged: the fingerprint that was kept is none.
    """
    advice = "choose the model that made it, or index again into another folder (--data)"
    if space != bound:
        made, used = (f"{one.name} ({one.dim} numbers)" for one in (bound, space))
        move = f"move the index to it (footage model migrate {space.name})"
        raise SpaceMismatch(f"this index was made with {made}, but the model in use is {used}; {move}, {advice}")
    if not _is_fingerprint(before):
        raise StoreDamaged(
            f"the catalog of this index is damaged (what it knows of the model {bound.name} is no pair of vectors); "
            "restore catalog.sqlite from a copy, or index again into another folder (--data)"
        )
    cosine = _cosine(before, now)
    if not cosine >= MIN_FINGERPRINT_COSINE:
        raise SpaceMismatch(
            f"this index was made with another build of {space.name} than the one in use: their answers to the same "
            f"picture and text differ (cosine {cosine:.4f}; {MIN_FINGERPRINT_COSINE} is needed); {advice}"
        )


def _is_fingerprint(content: bytes) -> bool:
    """Whether these are two unit vectors."""
    if not content or len(content) % 8:
        return False
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(np.frombuffer(content, "<f4").astype(np.float64).reshape(2, -1), axis=1)
    return bool((np.abs(lengths - 1) < MAX_LENGTH_ERROR).all())


def _cosine(one: bytes, other: bytes) -> float:
    a, b = (np.frombuffer(each, "<f4").astype(np.float64) for each in (one, other))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if len(a) == len(b) and scale > 0 else 0.0
