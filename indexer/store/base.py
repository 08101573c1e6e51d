"""Defines the contracts of stores and catalogs, the values they exchange, and their errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.stream.frame import Media, Region

if TYPE_CHECKING:
    from footage.indexer.store.row_arrays import RowArrays

T = TypeVar("T")
Vector = NDArray[np.float32]
"""One unit vector: shape (dim,), dtype float32."""
Scores = NDArray[np.float64]
"""What was made of vectors: a row for each, (n, ...)."""


NOT_WRITTEN = "the service was killed before this footage was on the disk"
"""Note of a recorded segment that has records and no file."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored of a sampled frame. Its key is (camera, time in microseconds, region).

    Attributes:
        camera: name of the camera.
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


class Hit(NamedTuple):  # thousands are made for an answer of many moments: a dataclass takes three times as long
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
    """A filter of records. An empty field does not restrict.

    Attributes:
        cameras: any of these cameras.
        spans: inside any of these half-open UTC intervals [start, end).
        media: any of these media ids.
    """

    cameras: tuple[str, ...] = ()
    spans: tuple[tuple[datetime, datetime], ...] = ()
    media: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FrameTime:
    """A time at which a camera has a record.

    Attributes:
        has_region: whether a region was embedded too: something moved there.
    """

    camera: str
    time: datetime
    has_region: bool


class Store(Protocol):
    """Stores vectors of one space with their times. Append-only: a record is never updated.

    Attributes:
        heeds_least: whether ``nearest`` leaves out what scores less than ``least``: asking for many then costs little
            more than what there is.
    """

    space: Space
    heeds_least: bool

    async def write(self, records: Sequence[Record]) -> None:
        """Store records, durably when it returns; a key that exists already is not stored twice."""
        ...

    async def nearest(self, vector: Vector, k: int, where: Where = Where(), least: float = -inf) -> list[Hit]:
        """Return the ``k`` best of the records that match ``where``, best first; filters apply before ranking.

        Args:
            least: records of lower scores are of no use, and may be left out.
        """
        ...

    def scan(self, where: Where) -> AsyncIterator[Record]:
        """Yield the records that match, with vectors, in order of (time, camera, region), in bounded memory."""
        ...

    def batches(self, where: Where, size: int) -> AsyncIterator[RowArrays]:
        """Yield what ``scan`` yields as arrays, about ``size`` records at once, with all records of their times."""
        ...

    def scores(
        self, where: Where, size: int, score: Callable[[Vectors], Scores]
    ) -> AsyncGenerator[tuple[RowArrays, Scores], None]:
        """Yield what ``batches`` yields without the vectors, each record with what ``score`` makes of its vector.

        Args:
            score: gets some vectors, (n, dim), and returns a row for each, (n, ...), which is no view of them; it is
                called in threads.
        """
        ...

    async def read(self, wheres: Sequence[Where], use: Callable[[RowArrays], T]) -> list[T]:
        """Return what ``use`` makes of what matches each of some filters that leave few records.

        It gets the records of one filter at a time, in the order of ``scan``, in the thread that has read them where
        there is one: their vectors are still in the processor's cache, and no other thread needs to be waited for.
        """
        ...

    async def sample(self, n: int, where: Where = Where()) -> Vectors:
        """Return up to ``n`` vectors of whole frames, spread over what matches, (m, dim); deterministic."""
        ...

    async def times(self, where: Where, n: int) -> list[FrameTime]:
        """Return up to ``n`` times of each camera that have records, spread over those that match, by time and camera.

        Few vectors or none are read. Where far more than ``n`` match, a cluster reads only near ``n`` evenly spread
        instants, so that of an uneven distribution fewer may be returned.
        """
        ...

    async def last_time(self, media: str) -> datetime | None:
        """Return the time of the newest durable record of this media, where indexing resumes."""
        ...

    async def count(self, where: Where = Where()) -> int:
        """Count the records that match."""
        ...

    async def counts(self, cameras: Sequence[str]) -> dict[str, int]:
        """Return the numbers of records by camera, quickly; cameras without records may be left out.

        A cluster keeps them as it writes, so a request that timed out may have put them off by its records.
        """
        ...

    async def forget(self, where: Where) -> int:
        """Delete what matches, from the disk too, and return how many. An empty ``where`` deletes everything."""
        ...

    async def maintain(self) -> None:
        """Compact and index what has been added since the last call. One caller at a time; searches continue."""
        ...

    async def close(self) -> None:
        """Flush and release. Calling it twice does no harm."""
        ...


class CoverageState(StrEnum):
    """Whether a camera was watched during a span."""

    WATCHED = "watched"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Coverage:
    """A span of one camera's time that was watched, or that was not, and why.

    Attributes:
        start, end: UTC, half-open.
        cause: why not, for a gap ("connection lost", "file damaged"); when watched, why times may be wrong, or empty.
    """

    camera: str
    start: datetime
    end: datetime
    state: CoverageState
    cause: str = ""


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A media and its state in the catalog.

    Attributes:
        media: the media, with the start under which its records are stored.
        recipe: how it was sampled (interval, space, ...); another recipe means that it is indexed again.
        done: whether every frame that the recipe asks for is stored.
        note: what was wrong with the file, if anything.
        records: how many records it has since it is done, where the catalog keeps that; None where it is not known.
    """

    media: Media
    recipe: str
    done: bool = False
    note: str = ""
    records: int | None = None


@dataclass(frozen=True, slots=True)
class CameraSummary:
    """What is stored of one camera: the number of media, and the first and last time that they cover."""

    camera: str
    media: int
    start: datetime | None
    end: datetime | None
    clocks: tuple[str, ...] = field(default=())


class Catalog(Protocol):
    """Stores facts about media and cameras: small rows, read often."""

    async def bind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to a space the first time; refuse any other one later.

        Args:
            fingerprint: float32 little-endian bytes of the embedder's vectors of a canonical image and text.

        Raises:
            SpaceMismatch: the index is of another space, or the model of this name gives other vectors
                (cosine to the bound fingerprint below 0.995).
        """
        ...

    async def bound_space(self) -> Space | None:
        """Return the space that this index is bound to, or None for a new index."""
        ...

    async def bound_fingerprint(self) -> bytes:
        """Return the fingerprint that this index is bound with; empty for a new index."""
        ...

    async def rebind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to another space, atomically; the old one is refused afterwards (``Migration.switch``)."""
        ...

    async def add_media(self, media: Media, recipe: str) -> CatalogEntry:
        """Add a media, or return its entry when it exists already (same id and recipe).

        Where records of two overlapping files of one camera could share a time, the start of the new one is shifted
        by a multiple of 10 microseconds, permanently, so that no record can hide another. Segments and feeds keep
        their start: a live camera's times repeat only where a clock was set back far, and then not to the microsecond.
        """
        ...

    async def finish_media(self, media: str, note: str = "", *, records: int | None = None) -> None:
        """Mark a media as completely indexed.

        Args:
            records: how many records it has, where it is known; a catalog may keep it, so that a loss is noticed.
        """
        ...

    async def media(self, ids: Sequence[str]) -> dict[str, CatalogEntry]:
        """Return entries by id; unknown ids are left out."""
        ...

    async def media_at_path(self, path: str) -> list[CatalogEntry]:
        """Return the entries of files at ``path``; recorded segments are not found by path."""
        ...

    async def media_between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[CatalogEntry]:
        """Return the entries that overlap [start, end), of these cameras (none named: all), in order of start."""
        ...

    async def update_media(self, media: Media) -> None:
        """Set the path and duration of the media with this id: it was moved, or a segment grew; its start stays."""
        ...

    async def remove_media(self, ids: Sequence[str]) -> None:
        """Delete these media."""
        ...

    async def set_coverage(self, coverage: Coverage) -> None:
        """Set the coverage of a span; it overwrites the camera's coverage of that time and joins equal neighbors."""
        ...

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """Return the coverage of [start, end) for these cameras (none named: all), clipped, by camera and time."""
        ...

    async def clear_coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Delete the coverage of that time."""
        ...

    async def put_document(self, kind: str, name: str, document: Mapping[str, Any] | None) -> None:
        """Store a small JSON document (a watch, a mark, a token, a camera) under (kind, name); None deletes it."""
        ...

    async def add_document(self, kind: str, name: str, document: Mapping[str, Any]) -> bool:
        """Store a document, unless there is one of this kind and name; returns whether it was stored.

        Of several processes that add the same at once, one succeeds, provided that no two documents are equal.
        """
        ...

    async def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one document, or None."""
        ...

    async def documents(self, kind: str, *, first: str = "", limit: int | None = None) -> dict[str, dict[str, Any]]:
        """Return documents of a kind, by name, in order of name: from ``first`` on, and at most ``limit``.

        A queue, whose documents come and go in order of name, is read from the first one that can be left: a cluster
        remembers for a while what was deleted, and a read from the very beginning passes over it.
        """
        ...

    async def remove_documents(self, kind: str, before: str = "") -> None:
        """Delete the documents of a kind whose names are before ``before``; all of the kind when it is empty.

        Of what another process adds at the same time with such a name, some may be deleted and some not.
        """
        ...

    async def documents_between(self, kind: str, first: str, end: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a kind whose names lie in [first, end), by name in order of name; reads no others."""
        ...

    async def announce_session(self, session: str, holder: str, seconds: float) -> None:
        """Begin or renew a session of ``holder``, which ends by itself after ``seconds``.

        Its leases last as long as it does. A session that may have ended is never renewed: its holder begins another.
        """
        ...

    async def end_session(self, session: str) -> None:
        """End a session: its leases are free."""
        ...

    async def acquire_lease(self, name: str, holder: str, session: str) -> int | None:
        """Take the lease ``name`` for a session that was announced.

        Returns:
            The fencing number, which grows whenever the holder changes or has given the lease up, and stays while one
            holder takes it for one session after another; None while a living session of another holder has it.
        """
        ...

    async def release_lease(self, name: str, session: str) -> None:
        """Release the lease, if ``session`` has it; its number is not used again."""
        ...

    async def cameras(self) -> list[CameraSummary]:
        """Return every camera that has media or coverage, by name."""
        ...

    async def close(self) -> None:
        """Release. Calling it twice does no harm."""
        ...
