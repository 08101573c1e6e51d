"""Merges half-open spans of time, or of anything that has an order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

T = TypeVar("T", datetime, int, float)


def merge(spans: Iterable[tuple[T, T]]) -> list[tuple[T, T]]:
    """Sort spans by start, and join overlapping or touching ones."""
    joined: list[tuple[T, T]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
