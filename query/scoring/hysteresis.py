"""Finds where matches begin and end in a row of probabilities, with hysteresis.

A segment continues while its frames keep ``EDGE_RATIO`` of a peak; a dip of at most ``MAX_DIP`` frames below that level
does not end it. Search, full scans and watches all decide by ``edge_level``, ``count_misses`` and ``is_past_edge``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EDGE_RATIO = 0.3
"""Share of a segment's best probability that its frames must keep."""
MAX_DIP = 1
"""Consecutive frames below the edge level that do not end a segment (flicker, one bad frame)."""
ENDING_MISSES = MAX_DIP + 1
"""Consecutive frames below the edge level that do."""


def edge_level(peak: float) -> float:
    """Return the probability that frames around a peak must keep to belong to its segment."""
    return EDGE_RATIO * peak


def count_misses(missed: int, p: float, level: float) -> int:
    """Return the number of consecutive frames below the edge level after one more frame."""
    return 0 if p >= level else missed + 1


def is_past_edge(missed: int) -> bool:
    """Whether so many consecutive frames below the edge level end a segment."""
    return missed >= ENDING_MISSES


def find_segments(p: NDArray[np.float64], cutoff: float) -> list[tuple[int, int]]:
    """Return half-open index ranges of matches: each grows from a peak of at least ``cutoff`` to its edge level."""
    peaks = np.flatnonzero(p >= cutoff)
    if not len(peaks):
        return []
    return grow_segments(p.tolist(), peaks[np.argsort(-p[peaks], kind="stable")].tolist())


def grow_segments(values: Sequence[float], peaks: Sequence[int]) -> list[tuple[int, int]]:
    """Return half-open index ranges that grow from peaks, the best first, to their edge levels."""
    free = [True] * len(values)
    segments: list[tuple[int, int]] = []
    for top in peaks:
        if free[top]:
            level = edge_level(values[top])
            start, end = find_edge(values, level, top, -1, free), find_edge(values, level, top, +1, free) + 1
            segments.append((start, end))
            free[start:end] = [False] * (end - start)
    return sorted(segments)


def find_edge(p: Sequence[float], level: float, start: int, step: int, free: Sequence[bool] | None = None) -> int:
    """Return the farthest index in one direction that is at least ``level``, crossing only short dips.

    Args:
        step: +1 to look forward, -1 to look backward.
        free: indices that may be entered; None means all.
    """
    last, missed = start, 0
    for at in range(start + step, len(p) if step > 0 else -1, step):
        if free is not None and not free[at]:
            break
        if p[at] >= level:
            last, missed = at, 0
            continue
        missed += 1
        if is_past_edge(missed):
            break
    return last
