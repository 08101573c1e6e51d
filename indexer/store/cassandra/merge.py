"""Merges several sorted streams of records into one."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from datetime import datetime

from footage.indexer.store.base import Record
from footage.indexer.store.cassandra.session import gather_all

Order = tuple[datetime, str, int]


async def merge_streams(streams: list[AsyncIterator[list[Record]]]) -> AsyncIterator[Record]:
    """Yield the records of paged, sorted streams in order of time, camera and region.

    Reads the first pages of all streams at once, and each further page when it is needed.
    """
    heap: list[tuple[Order, int, list[Record], int]] = []

    def push(number: int, page: list[Record], place: int) -> None:
        record = page[place]
        order = (record.time, record.camera, record.region.code if record.region else 0)
        heapq.heappush(heap, (order, number, page, place))

    for number, page in enumerate(await gather_all(_next(stream) for stream in streams)):
        if page:
            push(number, page, 0)
    while heap:
        _, number, page, place = heapq.heappop(heap)
        yield page[place]
        if place + 1 < len(page):
            push(number, page, place + 1)
        elif page := await _next(streams[number]):
            push(number, page, 0)


async def _next(stream: AsyncIterator[list[Record]]) -> list[Record]:
    """Return the next page that is not empty, or an empty list at the end."""
    async for page in stream:
        if page:
            return page
    return []
