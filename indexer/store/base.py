"""What every store and every catalogue is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.stream.frame import Media, Region

Vector = NDArray[np.float32]
"""One unit vector: shape (dim,), dtype float32."""


class StoreError(Exception):
    """The store cannot do what was asked; the message says what and why."""


class StoreUnreachable(StoreError):
    """The store is not there now (exit code 5, HTTP 503)."""


class SpaceMismatch(StoreError):
    """The index was made with another model (exit code 4); the message names both."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored of a kept frame. Its key is (camera, time in microseconds, region).

    Attributes:
        camera: the view.
        time: UTC, timezone-aware, whole microseconds.
        media: id of the media it was decoded from.
        offset: seconds from the media's first frame.
        vector: (dim,) float32, unit length.
        region: the box that was embedded, or None for the whole frame.
    """

    camera: str
    time: datetime
    media: str
    offset: float
    vector: Vector
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that ``nearest`` found, without its vector.

    Attributes:
        score: inner product with the query, which for unit vectors is the cosine, in -1..1.
    """

    camera: str
    time: datetime
    media: str
    offset: float
    region: Region | None
    score: float


@dataclass(frozen=True, slots=True)
class Where:
    """A filter. An empty field does not restrict.

    Attributes:
        cameras: any of these cameras.
        spans: inside any of these half-open UTC intervals [start, end).
        media: any of these media ids.
    """

    cameras: tuple[str, ...] = ()
    spans: tuple[tuple[datetime, datetime], ...] = ()
    media: tuple[str, ...] = ()


class Store(Protocol):
    """Vectors of one space with their times. Append-only: a record is never updated."""

    space: Space

    async def write(self, records: Sequence[Record]) -> None:
        """Store records; durable when it returns; a key that is there already is not stored twice."""
        ...

    async def nearest(self, vector: Vector, k: int, where: Where = Where()) -> list[Hit]:
        """The ``k`` best of the records that match ``where``, best first; filters apply before ranking."""
        ...

    def scan(self, where: Where) -> AsyncIterator[Record]:
        """Records that match, with vectors, in order of (time, camera, region), in bounded memory."""
        ...

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Up to ``n`` vectors of whole frames, spread over what matches, (m, dim); the same for the same data."""
        ...

    async def last(self, media: str) -> datetime | None:
        """Time of the newest durable record of this media, where indexing resumes."""
        ...

    async def count(self, where: Where = Where()) -> int:
        """How many records match."""
        ...

    async def forget(self, where: Where) -> int:
        """Remove what matches, from the disk too; returns how many. An empty ``where`` removes everything."""
        ...

    async def maintain(self) -> None:
        """Compact and index what has been added since. One caller at a time; searches go on meanwhile."""
        ...

    async def close(self) -> None:
        """Flush and release. Calling it twice does no harm."""
        ...


class State(StrEnum):
    """Whether a camera was watched during a span."""

    WATCHED = "watched"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Coverage:
    """A span of one camera's time that was watched, or was not and why.

    Attributes:
        start, end: UTC, half-open.
        cause: why not, for a gap ("connection lost", "file damaged"); empty when watched.
    """

    camera: str
    start: datetime
    end: datetime
    state: State
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A media as the catalogue keeps it.

    Attributes:
        media: the media, with the start under which its records are stored.
        recipe: how it was sampled (interval, space, ...); another recipe means index anew.
        done: every frame that the recipe asks for is stored.
        note: what was wrong with the file, if anything.
    """

    media: Media
    recipe: str
    done: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """One camera's holdings: how many media, and the first and last moment that they hold."""

    camera: str
    media: int
    start: datetime | None
    end: datetime | None
    clocks: tuple[str, ...] = field(default=())


class Catalog(Protocol):
    """Facts about media and cameras; small rows, read often."""

    async def pin(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to a space the first time; later, refuse another one.

        Args:
            fingerprint: float32 little-endian bytes of the embedder's answer to a canonical picture and text.

        Raises:
            SpaceMismatch: the index is of another space, or the same name answers otherwise
                (cosine to the pinned fingerprint below 0.995).
        """
        ...

    async def pinned(self) -> Space | None:
        """The space that this index is bound to, or None for a new index."""
        ...

    async def repin(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to another space, in one step; the old one is refused from then on (``Migration.switch``)."""
        ...

    async def admit(self, media: Media, recipe: str) -> Entry:
        """Make a media known, or return it as it is known already (same id and recipe).

        A file's start that would let records of two overlapping media of one camera share a time is moved on by
        whole multiples of 10 microseconds, once and for good, so that no record can hide another. Segments and feeds
        keep their start: a live camera's times never repeat.
        """
        ...

    async def finish(self, media: str, note: str = "") -> None:
        """Mark a media as wholly indexed."""
        ...

    async def media(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Entries by id; unknown ids are left out."""
        ...

    async def at(self, path: str) -> list[Entry]:
        """Entries whose file is ``path``."""
        ...

    async def between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Entry]:
        """Entries that overlap [start, end], of these cameras (none named: all), in order of start."""
        ...

    async def amend(self, media: Media) -> None:
        """The media with this id has another path or duration now: it was moved, or a segment grew; its start stays."""
        ...

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget these media rows."""
        ...

    async def cover(self, coverage: Coverage) -> None:
        """Note a span; it overwrites what was noted of that camera for that time, and joins equal neighbours."""
        ...

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """What is known of [start, end) for these cameras (none named: all), clipped to it, by camera and time."""
        ...

    async def uncover(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Forget the coverage of that time."""
        ...

    async def put(self, kind: str, name: str, document: Mapping[str, Any] | None) -> None:
        """Keep a small JSON document (a watch, a mark, a token, a camera) under (kind, name); None removes it."""
        ...

    async def get(self, kind: str) -> dict[str, dict[str, Any]]:
        """All documents of a kind, by name, in order of name."""
        ...

    async def lease(self, name: str, holder: str, seconds: float) -> int | None:
        """Take or renew the lease ``name`` for ``seconds``.

        Returns:
            A fencing number, which grows whenever the lease changes hands and stays while one holder renews it;
            None while somebody else holds it.
        """
        ...

    async def release(self, name: str, holder: str) -> None:
        """Give the lease up, if ``holder`` has it."""
        ...

    async def cameras(self) -> list[CameraSummary]:
        """Every camera that has media or coverage, by name."""
        ...

    async def close(self) -> None:
        """Release. Calling it twice does no harm."""
        ...
