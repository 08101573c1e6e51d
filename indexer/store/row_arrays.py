"""Holds records as arrays, one row each: what is read by the thousand, without an object for each record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store import rows
from footage.indexer.store.base import Record, Scores
from footage.indexer.store.times import micros
from footage.stream.frame import Region
from footage.stream.instants import from_micros

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")
R = TypeVar("R")

CONCURRENT_BATCHES = 2
"""Batches that are scored at once, while the next is read."""


@dataclass(frozen=True, slots=True, eq=False)
class RowArrays:
    """Records, one a row.

    Attributes:
        time: microseconds since 1970, (n,) int64.
        offset: seconds from the media's first frame, (n,) float64.
        region: codes of regions, 0 for whole frames, (n,) uint32.
        camera, media: places in ``cameras`` and ``medias``, (n,) uint32.
        cameras, medias: names.
        vectors: (n, dim) float32, unit rows.
    """

    time: NDArray[np.int64]
    offset: NDArray[np.float64]
    region: NDArray[np.uint32]
    camera: NDArray[np.uint32]
    media: NDArray[np.uint32]
    cameras: tuple[str, ...]
    medias: tuple[str, ...]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.time)

    def take(self, at: NDArray[np.intp] | NDArray[np.bool_] | slice) -> RowArrays:
        """Return these rows, by place or mask, in that order; the names stay."""
        return replace(
            self,
            time=self.time[at],
            offset=self.offset[at],
            region=self.region[at],
            camera=self.camera[at],
            media=self.media[at],
            vectors=self.vectors[at],
        )

    def without_vectors(self) -> RowArrays:
        """Return the same rows with vectors of no numbers; those that they had are not kept in memory."""
        return replace(self, vectors=np.empty((len(self), 0), np.float32))

    def by_camera(self) -> RowArrays:
        """Return the rows in order of (camera's name, time, region), with only the names that they use."""
        names, camera = _reduce(self.cameras, self.camera)
        medias, media = _reduce(self.medias, self.media)
        order = np.lexsort((self.region, self.time, camera))
        return replace(self, camera=camera, cameras=names, media=media, medias=medias).take(order)

    def by_time(self) -> RowArrays:
        """Return the rows in order of (time, camera's name, region)."""
        return self.take(self.time_order())

    def records(self) -> Iterator[Record]:
        """Yield the rows as records, in their order."""
        columns = (self.camera, self.time, self.media, self.offset, self.region)
        cameras, medias = self.cameras, self.medias
        rows_ = zip(*(column.tolist() for column in columns), self.vectors, strict=True)
        for camera, time, media, offset, region, vector in rows_:
            yield Record(cameras[camera], from_micros(time), medias[media], offset, vector, Region.of(region))

    def time_order(self) -> NDArray[np.intp]:
        """Return the places of the rows in order of (time, camera, region)."""
        return time_order(self.time, self.camera, self.cameras, self.region)


def time_order(
    time: NDArray[np.int64], camera: NDArray[np.uint32], cameras: tuple[str, ...], region: NDArray[np.uint32]
) -> NDArray[np.intp]:
    """Return the places of rows in order of (time, camera's name, region)."""
    rank = np.empty(len(cameras), np.uint32)
    rank[sorted(range(len(cameras)), key=cameras.__getitem__)] = np.arange(len(cameras), dtype=np.uint32)
    return np.lexsort((region, rank[camera], time))


def from_arrow(table: pa.Table, dim: int) -> RowArrays:
    """Return the rows of a table of LanceDB as arrays."""
    cameras, camera = encode_names(table["camera"])
    medias, media = encode_names(table["media"])
    return RowArrays(
        np.asarray(table["time"], np.int64),
        np.asarray(table["offset"], np.float64),
        np.asarray(table["region"]).astype(np.uint32),
        camera,
        media,
        cameras,
        medias,
        rows.vector_matrix(table, dim) if len(table) else np.empty((0, dim), np.float32),
    )


def from_records(records: Iterable[Record], dim: int) -> RowArrays:
    """Return records as arrays, in their order."""
    every = list(records)
    cameras, medias = {r.camera: 0 for r in every}, {r.media: 0 for r in every}
    for names in (cameras, medias):
        names.update(zip(names, range(len(names)), strict=True))
    return RowArrays(
        np.array([micros(r.time) for r in every], np.int64),
        np.array([r.offset for r in every], np.float64),
        np.array([r.region.code if r.region else 0 for r in every], np.uint32),
        np.array([cameras[r.camera] for r in every], np.uint32),
        np.array([medias[r.media] for r in every], np.uint32),
        tuple(cameras),
        tuple(medias),
        np.array([r.vector for r in every], np.float32).reshape(-1, dim),
    )


async def score_batches(
    batches: AsyncIterator[RowArrays], score: Callable[[Vectors], Scores]
) -> AsyncGenerator[tuple[RowArrays, Scores], None]:
    """Yield rows without their vectors and what ``score`` makes of these, in threads while the next are read."""
    running: deque[tuple[RowArrays, asyncio.Task[Scores]]] = deque()
    try:
        async for rows_ in batches:
            running.append((rows_.without_vectors(), asyncio.create_task(asyncio.to_thread(score, rows_.vectors))))
            if len(running) > CONCURRENT_BATCHES:
                done, task = running.popleft()
                yield done, await task
        while running:
            done, task = running.popleft()
            yield done, await task
    finally:
        for _, task in running:
            task.cancel()


async def collect(records: AsyncIterator[Record], size: int, dim: int) -> AsyncIterator[RowArrays]:
    """Yield records as arrays, about ``size`` at once; records of one time are never in two of them."""
    batch: list[Record] = []
    async for record in records:
        if len(batch) >= size and record.time != batch[-1].time:
            yield from_records(batch, dim)
            batch = []
        batch.append(record)
    if batch:
        yield from_records(batch, dim)


@asynccontextmanager
async def read_ahead(
    read: Callable[[T], Awaitable[R]], what: Sequence[T], at_once: int = 1
) -> AsyncIterator[AsyncIterator[R]]:
    """Read so many at once while the one before them is used; what is still read is cancelled at the end."""
    pending: list[asyncio.Future[R]] = []

    async def results() -> AsyncIterator[R]:
        following = map(asyncio.ensure_future, map(read, what))
        pending.extend(islice(following, at_once))
        while pending:
            found = await pending[0]
            pending[:] = [*pending[1:], *islice(following, 1)]
            yield found

    try:
        yield results()
    finally:
        for task in pending:
            task.cancel()


def concatenate(parts: list[RowArrays], dim: int) -> RowArrays:
    """Join rows; names are merged."""
    cameras, camera = merge_names([(p.cameras, p.camera) for p in parts])
    medias, media = merge_names([(p.medias, p.media) for p in parts])
    if not parts:
        empty = np.empty(0, np.int64)
        return RowArrays(empty, empty.astype(np.float64), camera, camera, media, (), (), np.empty((0, dim), np.float32))
    return RowArrays(
        np.concatenate([p.time for p in parts]),
        np.concatenate([p.offset for p in parts]),
        np.concatenate([p.region for p in parts]),
        camera,
        media,
        cameras,
        medias,
        np.concatenate([p.vectors for p in parts]) if len(parts) > 1 else parts[0].vectors,
    )


def merge_names(
    parts: list[tuple[tuple[str, ...], NDArray[np.uint32]]],
) -> tuple[tuple[str, ...], NDArray[np.uint32]]:
    """Join columns of places in different lists of names to one of places in one list."""
    known: dict[str, int] = {}
    found = []
    for names, places in parts:
        used = np.zeros(len(names), np.uint32)
        for i in np.unique(places).tolist():
            used[i] = known.setdefault(names[i], len(known))
        found.append(used[places])
    return tuple(known), np.concatenate(found) if found else np.empty(0, np.uint32)


def encode_names(column: pa.ChunkedArray) -> tuple[tuple[str, ...], NDArray[np.uint32]]:
    """Return the names of a column, and for each row its place among them, (n,)."""
    encoded = column.combine_chunks().dictionary_encode()
    if hasattr(encoded, "combine_chunks"):  # it still is a ChunkedArray where there was no chunk
        encoded = encoded.combine_chunks()
    return tuple(encoded.dictionary.to_pylist()), np.asarray(encoded.indices, dtype=np.uint32)


def _reduce(names: tuple[str, ...], places: NDArray[np.uint32]) -> tuple[tuple[str, ...], NDArray[np.uint32]]:
    """Return the names that are used, sorted, and the places in them."""
    used = np.unique(places).tolist()
    kept = sorted(used, key=names.__getitem__)
    new = np.zeros(len(names), np.uint32)
    new[kept] = np.arange(len(kept), dtype=np.uint32)
    return tuple(names[i] for i in kept), new[places]
