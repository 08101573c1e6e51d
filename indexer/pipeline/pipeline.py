"""Turns frames into stored records: batches them, embeds them and writes them, with the stages overlapping."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeAlias

from footage.indexer.embed.base import Embedder, Vectors
from footage.indexer.pipeline.channel import Channel
from footage.indexer.store.base import Record
from footage.stream.frame import Frame, Image, Region

CROP_SOURCE_SIDE = 720  # shorter side in pixels of images that regions are cropped from: smaller crops are of no use


@dataclass(frozen=True, slots=True)
class PipelineItem:
    """A frame to index, and the regions of it that are embedded besides the whole image."""

    frame: Frame
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Barrier:
    """A marker between items: ``on_reached`` is awaited when everything before it is durable."""

    on_reached: Callable[[], Awaitable[None]]


FrameChannel: TypeAlias = Channel[PipelineItem | Barrier]


@dataclass(slots=True)
class PipelineStats:
    """Counts of what has passed through a pipeline, for progress and metrics."""

    embedded: int = 0
    written: int = 0
    embed_seconds: float = 0.0  # during which at least one batch was being embedded


_Batch: TypeAlias = tuple[list[PipelineItem | Barrier], asyncio.Task[Vectors]]
"""The items of a batch, and the task that embeds them."""


class RecordWriter(Protocol):
    """Takes records: a store, or a wrapper of one."""

    async def write(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""
        ...


class Pipeline:
    """Takes frames from a channel, embeds them and writes the records.

    One coroutine forms batches across cameras and starts embedding them; another awaits the batches in the order in
    which they were formed, collects records and writes them. ``ahead`` batches are in the embedder at once, so it is
    never idle while a batch is formed or written. No other batch is formed meanwhile: frames that come join the next
    one, and large batches cost less for each. ``run`` ends when the channel is closed and everything is written,
    or with the first error of either stage; then it closes the channel, so that capture threads stop as well.

    Args:
        wait: seconds after its first frame at which a batch is embedded even if it is not full.
        rows: records collected before a write...
        seconds: ...or time since the last write, whichever comes first: after a pause the first ones go at once.
        ahead: batches in the embedder at once: CLIP computes two and prepares one.
        on_written: awaited with the records of each write once they are durable (watches, freshness).
    """

    def __init__(
        self,
        channel: FrameChannel,
        embedder: Embedder,
        store: RecordWriter,
        *,
        wait: float = 0.2,
        rows: int = 256,
        seconds: float = 1.0,
        ahead: int = 3,
        on_written: Callable[[Sequence[Record]], Awaitable[None]] | None = None,
    ) -> None:
        self.stats = PipelineStats()
        self._channel, self._embedder, self._store = channel, embedder, store
        self._wait, self._rows, self._seconds, self._on_written = wait, rows, seconds, on_written
        self._batches: asyncio.Queue[_Batch | None] = asyncio.Queue()
        self._turns = asyncio.Semaphore(ahead)
        self._buffer: list[Record] = []
        self._taken: deque[tuple[str, datetime] | None] = deque()  # frames and barriers until they are written
        self._collected = 0  # how many of them are frames in the buffer
        self._last_write = float("-inf")  # monotonic time
        self._active, self._active_since = 0, 0.0

    async def run(self) -> None:
        """Run until the channel is closed and drained.

        Raises:
            EmbedderError, StoreError: what stopped a stage.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._embed_batches(group))
                group.create_task(self._write_batches())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        finally:
            self._channel.close()

    def unwritten(self) -> dict[str, datetime]:
        """Return the time of the oldest frame of each camera that was taken and is not written; empties the channel."""
        frames = [taken for taken in self._taken if taken]
        frames += [
            (i.frame.camera, i.frame.time) for i in self._channel.drain(sys.maxsize) if isinstance(i, PipelineItem)
        ]
        oldest: dict[str, datetime] = {}
        for camera, at in frames:
            oldest[camera] = min(at, oldest.get(camera, at))
        return oldest

    async def _embed_batches(self, group: asyncio.TaskGroup) -> None:
        try:
            while True:
                await self._turns.acquire()
                items = await self._channel.get(self._embedder.batch, self._wait)
                self._taken += [_stamp(item) for item in items]
                self._batches.put_nowait((items, group.create_task(self._embed(items))))
        except EOFError:
            self._batches.put_nowait(None)

    async def _embed(self, items: Sequence[PipelineItem | Barrier]) -> Vectors:
        images = [image for item in items if isinstance(item, PipelineItem) for image in _images(item)]
        if not self._active:
            self._active_since = time.perf_counter()
        self._active += 1
        vectors = await self._embedder.images(images)
        self._active -= 1
        now = time.perf_counter()
        self.stats.embed_seconds += now - self._active_since
        self._active_since = now  # under overload the next batch is active already, and there is always one
        self.stats.embedded += len(images)
        return vectors

    async def _write_batches(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._time_left()):
                    batch = await self._batches.get()
            except TimeoutError:
                await self._flush()
                continue
            if batch is None:
                await self._flush()
                return
            vectors = await batch[1]
            self._turns.release()
            await self._collect(batch[0], vectors)

    def _time_left(self) -> float | None:
        return max(0.0, self._last_write + self._seconds - time.monotonic()) if self._buffer else None

    async def _collect(self, items: Sequence[PipelineItem | Barrier], vectors: Vectors) -> None:
        rows = iter(vectors)
        for item in items:
            if isinstance(item, Barrier):
                await self._flush()
                await item.on_reached()
                self._taken.popleft()
                continue
            frame, self._collected = item.frame, self._collected + 1
            for region in (None, *item.regions):
                record = Record(frame.camera, frame.time, frame.media.id, frame.offset, next(rows), region)
                self._buffer.append(record)
        if len(self._buffer) >= self._rows or self._time_left() == 0.0:
            await self._flush()

    async def _flush(self) -> None:
        if not self._buffer:
            return
        records, self._buffer = self._buffer, []
        await self._store.write(records)
        self.stats.written += len(records)
        for _ in range(self._collected):
            self._taken.popleft()
        self._collected = 0
        if self._on_written:
            await self._on_written(records)
        self._last_write = time.monotonic()


def _stamp(item: PipelineItem | Barrier) -> tuple[str, datetime] | None:
    return (item.frame.camera, item.frame.time) if isinstance(item, PipelineItem) else None


def _images(item: PipelineItem) -> list[Image]:
    """Return the whole image, then each region of it as a view, without a copy."""
    image = item.frame.image
    return [image, *(crop(image, region) for region in item.regions)]


def crop(image: Image, region: Region) -> Image:
    """Return the region of an image as a view, at least one pixel wide and high."""
    height, width = image.shape[:2]
    left, top = min(width - 1, int(region.x0 * width)), min(height - 1, int(region.y0 * height))
    right, bottom = max(left + 1, round(region.x1 * width)), max(top + 1, round(region.y1 * height))
    return image[top:bottom, left:right]
