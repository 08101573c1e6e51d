"""Records in batches that keep the regions of a frame together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from footage.indexer.store.base import Record

ROWS = 1024
"""Records scored at once."""


async def batches(records: AsyncIterator[Record]) -> AsyncIterator[Sequence[Record]]:
    """Records in batches that do not part the regions of a frame."""
    gathered: list[Record] = []
    async for record in records:
        if len(gathered) >= ROWS and record.time != gathered[-1].time:
            yield gathered
            gathered = []
        gathered.append(record)
    if gathered:
        yield gathered
