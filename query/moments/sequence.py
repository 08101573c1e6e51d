"""Finds pairs of moments of two questions in which the second follows soon after the first."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from footage.query.values.moment import Moment

_HeapEntry = tuple[float, int, int, int, int]
"""Negative score, indices of the first and second moment, and the range of seconds of which this one is the best."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A moment and another that follows it.

    Attributes:
        score: probability that both match, the product of theirs.
        gap: seconds from the end of the first to the start of the second; below 0 where they overlap.
    """

    first: Moment
    then: Moment
    score: float
    gap: float


def find_pairs(firsts: Sequence[Moment], thens: Sequence[Moment], within: timedelta, limit: int) -> list[Pair]:
    """Return the best pairs: the second begins not before the first begins, and at most ``within`` after its end.

    A moment is not paired with itself. For each first moment only the best second one is looked up, and the next best
    only after that pair has been taken: n + m + limit look-ups, where the number of all pairs may be n times m.

    Args:
        firsts, thens: moments of any cameras, in any order.

    Returns:
        Best first; pairs of equal score in order of time.
    """
    firsts, thens = sorted(firsts, key=_time_order), sorted(thens, key=_time_order)
    starts, best = [m.start for m in thens], RangeMaximum([m.score for m in thens])
    heap: list[_HeapEntry] = []

    def push(a: int, low: int, high: int) -> None:
        if low < high:
            b = best.argmax(low, high)
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
            found.append(make_pair(first, then))
    return found


def make_pair(first: Moment, then: Moment) -> Pair:
    """Return two moments as a pair with its score and gap."""
    return Pair(first, then, first.score * then.score, (then.start - first.end).total_seconds())


class RangeMaximum:
    """Finds the maximum of any range of numbers in constant time, from the maxima of every 2^k neighbors.

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

    def argmax(self, low: int, high: int) -> int:
        """Return the index of the maximum of [low, high), the first of equals; the range must not be empty."""
        k = (high - low).bit_length() - 1
        row = self._rows[k]
        return int(self._higher(row[low], row[high - (1 << k)]))

    def _higher(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return np.where(self._values[right] > self._values[left], right, left)


def _time_order(moment: Moment) -> tuple[object, ...]:
    return moment.start, moment.end, moment.camera
