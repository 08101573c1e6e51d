"""Hysteresis over scores: where a match begins and ends in a row of probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EDGE = 0.3
"""A segment reaches as far as its frames keep this share of its best probability."""
BRIDGE = 1
"""This many frames below the edge between two above do not part a segment (flicker, one bad frame)."""


def segments(p: NDArray[np.float64], cutoff: float) -> list[tuple[int, int]]:
    """Half-open index ranges of matches: from each peak of at least ``cutoff`` out to ``EDGE`` times that peak."""
    values, free = p.tolist(), [True] * len(p)
    found: list[tuple[int, int]] = []
    for top in np.argsort(-p, kind="stable").tolist():
        if values[top] < cutoff:
            break
        if free[top]:
            edge = EDGE * values[top]
            a, b = reach(values, edge, top, -1, free), reach(values, edge, top, +1, free) + 1
            found.append((a, b))
            free[a:b] = [False] * (b - a)
    return sorted(found)


def reach(p: Sequence[float], edge: float, start: int, step: int, free: Sequence[bool] | None = None) -> int:
    """The farthest index on one side that is at least ``edge``, crossing at most ``BRIDGE`` frames that are not."""
    last, at, missed = start, start + step, 0
    while 0 <= at < len(p) and (free is None or free[at]) and missed <= BRIDGE:
        if p[at] >= edge:
            last, missed = at, 0
        else:
            missed += 1
        at += step
    return last
