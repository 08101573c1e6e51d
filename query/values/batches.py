"""Groups a stream of records into batches without splitting the regions of one frame."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from footage.indexer.store.base import Record

BATCH_ROWS = 1024
"""Fewest records in a batch, except the last one."""


async def batch_records(records: AsyncIterator[Record]) -> AsyncIterator[Sequence[Record]]:
    """Yield records in batches; records of one time are never in two batches."""
    batch: list[Record] = []
    async for record in records:
        if len(batch) >= BATCH_ROWS and record.time != batch[-1].time:
            yield batch
            batch = []
        batch.append(record)
    if batch:
        yield batch
