"""Frames to stored records: batch, embed, write, each stage overlapping the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from footage.indexer.embed.base import Embedder, Vectors
from footage.indexer.pipeline.channel import Channel
from footage.indexer.store.base import Record
from footage.stream.frame import Frame, Image, Region

CROPPED = 720  # pixels of the shorter side from which regions are cut: smaller crops are of no use


@dataclass(frozen=True, slots=True)
class Item:
    """A frame on its way, with the boxes of it that are embedded besides the whole."""

    frame: Frame
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """Travels among the items; ``reached`` runs when everything before it is durable."""

    reached: Callable[[], Awaitable[None]]


@dataclass(slots=True)
class Flow:
    """What has gone through, for progress and metrics."""

    embedded: int = 0
    written: int = 0
    embedding: float = 0.0  # seconds during which at least one batch was being embedded
    dropped: dict[str, int] = field(default_factory=dict)


class Writer(Protocol):
    """What takes the records: a store, or something that stands before one."""

    async def write(self, records: Sequence[Record]) -> None:
        """Durable when it returns."""
        ...


class Pipeline:
    """The way from a channel of frames to the store.

    One coroutine forms batches across cameras and starts their embedding; another awaits the batches in the order
    in which they were formed, gathers records and writes them. ``ahead`` batches are in the embedder at once, so it
    is never idle while a batch is formed or written. It ends when the channel is closed and all is written, or with
    the first error of either stage; then the channel is closed, so that capture threads stop as well.

    Args:
        wait: seconds after its first frame at which a batch goes even if it is not full.
        rows: records gathered before a write...
        seconds: ...or the time since the last write, whichever comes first: after a pause the first ones go at once.
        written: called with the records of each write once they are durable (watches, freshness).
    """

    def __init__(
        self,
        channel: Channel[Item | Mark],
        embedder: Embedder,
        store: Writer,
        *,
        wait: float = 0.2,
        rows: int = 256,
        seconds: float = 1.0,
        ahead: int = 2,
        written: Callable[[Sequence[Record]], Awaitable[None]] | None = None,
    ) -> None:
        self.flow = Flow()
        self._channel, self._embedder, self._store = channel, embedder, store
        self._wait, self._rows, self._seconds, self._written = wait, rows, seconds, written
        self._batches: asyncio.Queue[tuple[list[Item | Mark], asyncio.Task[Vectors]] | None] = asyncio.Queue(ahead - 1)
        self._kept: list[Record] = []
        self._rested = float("-inf")  # since when nothing has been written
        self._active, self._since = 0, 0.0

    async def run(self) -> None:
        """Run until the channel is closed and drained.

        Raises:
            EmbedderError, StoreError: whatever stopped a stage.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._embed(group))
                group.create_task(self._write())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            self._channel.close()

    async def _embed(self, group: asyncio.TaskGroup) -> None:
        try:
            while True:
                taken = await self._channel.get(self._embedder.batch, self._wait)
                await self._batches.put((taken, group.create_task(self._vectors(taken))))
        except EOFError:
            await self._batches.put(None)

    async def _vectors(self, taken: Sequence[Item | Mark]) -> Vectors:
        images = [image for item in taken if isinstance(item, Item) for image in _pictures(item)]
        if not self._active:
            self._since = time.perf_counter()
        self._active += 1
        vectors = await self._embedder.images(images)
        self._active -= 1
        if not self._active:
            self.flow.embedding += time.perf_counter() - self._since
        self.flow.embedded += len(images)
        return vectors

    async def _write(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._left()):
                    batch = await self._batches.get()
            except TimeoutError:
                await self._flush()
                continue
            if batch is None:
                await self._flush()
                return
            await self._keep(batch[0], await batch[1])

    def _left(self) -> float | None:
        return max(0.0, self._rested + self._seconds - time.monotonic()) if self._kept else None

    async def _keep(self, taken: Sequence[Item | Mark], vectors: Vectors) -> None:
        rows = iter(vectors)
        for item in taken:
            if isinstance(item, Mark):
                await self._flush()
                await item.reached()
                continue
            f = item.frame
            for region in (None, *item.regions):
                self._kept.append(Record(f.camera, f.time, f.media.id, f.offset, next(rows), region))
        if len(self._kept) >= self._rows or self._left() == 0.0:
            await self._flush()

    async def _flush(self) -> None:
        if not self._kept:
            return
        kept, self._kept = self._kept, []
        await self._store.write(kept)
        self.flow.written += len(kept)
        if self._written:
            await self._written(kept)
        self._rested = time.monotonic()


def _pictures(item: Item) -> list[Image]:
    """The whole picture, then each region of it as a view, without a copy."""
    image = item.frame.image
    return [image, *(crop(image, region) for region in item.regions)]


def crop(image: Image, region: Region) -> Image:
    """The region of a picture as a view, at least one pixel wide and high."""
    height, width = image.shape[:2]
    left, top = min(width - 1, int(region.x0 * width)), min(height - 1, int(region.y0 * height))
    right, bottom = max(left + 1, round(region.x1 * width)), max(top + 1, round(region.y1 * height))
    return image[top:bottom, left:right]
