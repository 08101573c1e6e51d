"""Selects and groups what stores give: evenly spaced values, and batches of a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@overload
def evenly_spaced(values: NDArray[Any], n: int) -> NDArray[Any]: ...


@overload
def evenly_spaced(values: list[T], n: int) -> list[T]: ...


def evenly_spaced(values: NDArray[Any] | list[T], n: int) -> NDArray[Any] | list[T]:
    """Return at most ``n`` of the values, evenly spaced."""
    if len(values) <= n:
        return values
    if isinstance(values, list):
        return [values[i * len(values) // n] for i in range(n)]
    return values[np.arange(n) * len(values) // n]


async def in_batches(items: AsyncIterator[T], size: int) -> AsyncGenerator[list[T], None]:
    """Yield the items in batches of ``size``, the last of which may be smaller."""
    batch: list[T] = []
    async for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
