"""Where live records wait while the store is away: one file of bounded size, kept in order."""

from __future__ import annotations

import asyncio
import os
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from footage.indexer.store.base import Record, StoreError
from footage.indexer.store.times import micros, moment
from footage.stream.frame import Region

T = TypeVar("T")

HEAD = struct.Struct("<II")  # length of the body, and its CRC-32
FACTS = struct.Struct("<qIdHH")  # microseconds, region, offset, bytes of camera and media; then these and the vector


class SpoolFull(StoreError):
    """The spool has reached its limit; the records were not taken."""


class Spool:
    """Records in a file, a frame with a checksum for each; durable when ``append`` returns.

    ``drain`` gives them to the store in order and notes after each write how far it came, so that a process that is
    killed in the middle gives some records twice, which the store keeps once, and loses none. What a killed ``append``
    left half-written was never acknowledged, and is cut off. Records may be appended while others are drained. One
    process at a time.

    Args:
        path: the file; it is made when it is needed, and ``path`` + ``.done`` beside it.
        limit: most bytes that wait.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._done = path.with_name(path.name + ".done")
        self._limit = limit
        self._turn = asyncio.Lock()
        self._draining = asyncio.Lock()
        self._end = self._whole()

    @property
    def waiting(self) -> int:
        """Bytes that wait to be drained."""
        return self._end - self._start()

    async def append(self, records: Sequence[Record]) -> None:
        """Keep records until they are drained.

        Raises:
            SpoolFull: they would exceed the limit; none of them was taken.
            StoreError: the file cannot be written.
        """
        await self._do(self._append, b"".join(map(_frame, records)))

    async def drain(self, write: Callable[[Sequence[Record]], Awaitable[None]], batch: int = 100) -> int:
        """Give all records to ``write`` in order and forget them; how many there were.

        An error of ``write`` goes to the caller; what was written before it stays forgotten, the rest waits.
        """
        given = 0
        async with self._draining:
            while taken := await self._do(self._take, batch):
                records, place = taken
                await write(records)
                given += len(records)
                await self._do(self._pass, place)
        return given

    async def _do(self, work: Callable[..., T], *given: Any) -> T:
        """Work on the file, on a thread, one at a time; what has begun goes on to its end, also when cancelled."""

        async def alone() -> T:
            async with self._turn:
                return await asyncio.to_thread(work, *given)

        return await asyncio.shield(alone())

    def _append(self, data: bytes) -> None:
        if self._end - self._start() + len(data) > self._limit:
            raise SpoolFull(f"{self._path}: {self._limit} bytes of records wait already; is the store still away?")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = not self._path.exists()
            with self._path.open("r+b" if not new else "w+b") as file:
                file.seek(self._end)
                file.write(data)
                file.truncate()
                file.flush()
                os.fsync(file.fileno())
            if new:
                _settle(self._path.parent)
        except OSError as error:
            raise StoreError(f"{self._path}: records cannot wait here: {error.strerror}") from error
        self._end += len(data)

    def _take(self, most: int) -> tuple[list[Record], int] | None:
        records: list[Record] = []
        place = self._start()
        for body, end in _frames(self._path, place):
            if end > self._end or len(records) == most:
                break
            records.append(_record(body))
            place = end
        return (records, place) if records else None

    def _pass(self, place: int) -> None:
        """Note that all before ``place`` is in the store; a spool that is empty takes no room."""
        if place >= self._end:
            self._path.unlink()  # first: without the note all would be drained again, without the file nothing is
            self._done.unlink(missing_ok=True)
            _settle(self._path.parent)
            self._end = 0
            return
        fresh = self._done.with_suffix(".new")
        with fresh.open("w") as file:
            file.write(str(place))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._done)

    def _start(self) -> int:
        try:
            return int(self._done.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return 0

    def _whole(self) -> int:
        """Where the last whole frame ends."""
        if not self._path.exists():
            if self._done.exists():  # killed between the two steps of ``_pass``
                self._done.unlink()
            return 0
        places = [place for _, place in _frames(self._path, self._start())]
        return places[-1] if places else self._start()


def _frames(path: Path, place: int) -> Iterator[tuple[bytes, int]]:
    """The bodies of whole frames from ``place`` on, and where each ends."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(place)
        while len(head := file.read(HEAD.size)) == HEAD.size:
            length, checksum = HEAD.unpack(head)
            body = file.read(length)
            if len(body) < length or zlib.crc32(body) != checksum:
                return
            place += HEAD.size + length
            yield body, place


def _frame(record: Record) -> bytes:
    camera, media = record.camera.encode(), record.media.encode()
    vector = np.asarray(record.vector, "<f4")

    region = record.region.code if record.region else 0
    facts = FACTS.pack(micros(record.time), region, record.offset, len(camera), len(media))
    body = facts + camera + media + vector.tobytes()
    return HEAD.pack(len(body), zlib.crc32(body)) + body


def _record(body: bytes) -> Record:
    time, region, offset, camera, media = FACTS.unpack_from(body)
    first, second = FACTS.size + camera, FACTS.size + camera + media
    vector = np.frombuffer(body, "<f4", offset=second).astype(np.float32)

    names = body[FACTS.size : first].decode(), body[first:second].decode()
    return Record(names[0], moment(time), names[1], offset, vector, Region.of(region))


def _settle(folder: Path) -> None:
    """Have the disk keep the names of a folder's files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
