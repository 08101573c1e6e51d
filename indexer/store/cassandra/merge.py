"""Several sorted streams of records as one."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator
from datetime import datetime

from footage.indexer.store.base import Record
from footage.indexer.store.cassandra.session import together

Order = tuple[datetime, str, int]


async def merged(streams: list[AsyncIterator[list[Record]]]) -> AsyncIterator[Record]:
    """Records of streams that give them in pages, each in order, in order of time, camera and region.

    Asks all streams for their first pages at once, and for each further page when it is needed.
    """
    heap: list[tuple[Order, int, list[Record], int]] = []

    def push(number: int, page: list[Record], place: int) -> None:
        record = page[place]
        order = (record.time, record.camera, record.region.code if record.region else 0)
        heapq.heappush(heap, (order, number, page, place))

    for number, page in enumerate(await together(_next(stream) for stream in streams)):
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
    """The next page that is not empty, or an empty list at the end."""
    async for page in stream:
        if page:
            return page
    return []
