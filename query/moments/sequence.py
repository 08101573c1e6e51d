"""A before B: pairs of moments of two questions, the second soon after the first."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from footage.query.values.moment import Moment

Entry = tuple[float, int, int, int, int]
"""Of the heap: score (negative), places of a and b, and the range of bs that b is the best of."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One thing, then another.

    Attributes:
        score: probability that both match, the product of theirs.
        gap: seconds from the end of the first to the start of the second; below 0 where they overlap.
    """

    first: Moment
    then: Moment
    score: float
    gap: float


def pairs(firsts: Sequence[Moment], thens: Sequence[Moment], within: timedelta, limit: int) -> list[Pair]:
    """The best pairs in which the second begins when or after the first begins, and at most ``within`` after its end.

    A moment is no pair with itself. Of each first moment only the best second one is looked up, and the next best only
    once that pair has been taken: n + m + limit look-ups, where all pairs may be n times m.

    Args:
        firsts, thens: moments of any cameras, in any order.

    Returns:
        Best first; pairs of one score in order of time.
    """
    firsts, thens = sorted(firsts, key=_time), sorted(thens, key=_time)
    starts, best = [m.start for m in thens], Highest([m.score for m in thens])
    heap: list[Entry] = []

    def push(a: int, low: int, high: int) -> None:
        if low < high:
            b = best.place(low, high)
            heapq.heappush(heap, (-firsts[a].score * thens[b].score, a, b, low, high))

    for a, first in enumerate(firsts):
        push(a, bisect_left(starts, first.start), bisect_right(starts, first.end + within))
    found: list[Pair] = []
    while heap and len(found) < limit:
        _, a, b, low, high = heapq.heappop(heap)
        push(a, low, b)
        push(a, b + 1, high)
        first, then = firsts[a], thens[b]
        if (first.camera, first.start, first.end) != (then.camera, then.start, then.end):
            found.append(spaced(first, then))
    return found


def spaced(first: Moment, then: Moment) -> Pair:
    """Two moments as a pair."""
    return Pair(first, then, first.score * then.score, (then.start - first.end).total_seconds())


class Highest:
    """Finds the highest of any range of numbers in constant time, by the highest of every 2^k neighbours.

    A sparse table (Bender and Farach-Colton 2000, "The LCA problem revisited").
    """

    def __init__(self, values: Sequence[float]) -> None:
        self._values = np.array(values, np.float64)
        self._rows = [np.arange(len(values))]
        step = 1
        while 2 * step <= len(values):
            row = self._rows[-1]
            self._rows.append(self._higher(row[:-step], row[step:]))
            step *= 2

    def place(self, low: int, high: int) -> int:
        """Where the highest of [low, high) is, the first of equals; the range is not empty."""
        k = (high - low).bit_length() - 1
        row = self._rows[k]
        return int(self._higher(row[low], row[high - (1 << k)]))

    def _higher(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.where(self._values[right] > self._values[left], right, left)


def _time(moment: Moment) -> tuple[object, ...]:
    return moment.start, moment.end, moment.camera
