"""Spools live records to a file while the store cannot be reached: one file of bounded size, kept in order."""

from __future__ import annotations

import asyncio
import logging
import os
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreError
from footage.stream.atomic import atomic_write, fsync
from footage.stream.frame import Region
from footage.stream.instants import from_micros, to_micros
from footage.stream.private import make_file, make_folder

T = TypeVar("T")
log = logging.getLogger(__name__)

BLOCK_HEADER = struct.Struct("<II")  # length of the body, and its CRC-32
MAX_BODY = 1 << 20  # bytes of one record; a damaged length may say anything
BODY_HEADER = struct.Struct("<qIdHH")
"""Microseconds, region, offset, bytes of the camera's name and of the media's id; these two and the vector follow."""


class SpoolFull(StoreError):
    """The spool has reached its limit; the records were not taken."""


class Spool:
    """Keeps records in a file, one block with a checksum for each; they are durable when ``append`` returns.

    ``drain`` gives them to the store in order and saves its position after each write. A process that is killed in
    the middle therefore gives some records twice, which the store keeps once, and loses none. What a killed
    ``append`` left half-written was never acknowledged, and is cut off. Records may be appended while others are
    drained. Only one process at a time may use the file.

    Threads: the methods are used in one event loop; file operations run on worker threads, one at a time.

    Args:
        path: the file; it is made when it is needed, and ``path`` + ``.done``, which holds the position, beside it.
        limit: maximum bytes of records that wait.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._position_file = path.with_name(path.name + ".done")
        self._limit = limit
        self._file_lock = asyncio.Lock()
        self._drain_lock = asyncio.Lock()
        self._end = self._find_end()

    @property
    def pending(self) -> int:
        """Bytes of records that are not drained yet."""
        return self._end - self._position()

    async def append(self, records: Sequence[Record]) -> None:
        """Keep records until they are drained.

        Raises:
            SpoolFull: they would exceed the limit; none of them was taken.
            StoreError: the file cannot be written.
        """
        await self._run(self._append, b"".join(map(_encode, records)))

    async def drain(self, write: Callable[[Sequence[Record]], Awaitable[None]], batch: int = 100) -> int:
        """Give all records to ``write`` in order and forget them; returns how many there were.

        An error of ``write`` goes to the caller; what was written before it stays forgotten, the rest is kept.
        """
        count = 0
        async with self._drain_lock:
            while found := await self._run(self._read, batch):
                records, position = found
                await write(records)
                count += len(records)
                await self._run(self._save_position, position)
        return count

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run ``work`` on a thread, one at a time; once begun it runs to its end, even when the caller is cancelled."""

        async def locked() -> T:
            async with self._file_lock:
                try:
                    return await asyncio.to_thread(work, *arguments)
                except OSError as error:
                    raise StoreError(f"{self._path}: records cannot wait here: {error.strerror}") from error

        return await asyncio.shield(locked())

    def _append(self, data: bytes) -> None:
        if self._end - self._position() + len(data) > self._limit:
            raise SpoolFull(f"{self._path}: {self._limit} bytes of records wait already; is the store still away?")
        make_folder(self._path.parent)
        new = not self._path.exists()
        make_file(self._path)
        with self._path.open("r+b") as file:
            file.seek(self._end)
            file.write(data)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        if new:
            fsync(self._path.parent)
        self._end += len(data)

    def _read(self, limit: int) -> tuple[list[Record], int] | None:
        """Read up to ``limit`` records that are not drained, and the position behind them."""
        records: list[Record] = []
        position = self._position()
        begin, damaged = position, 0
        for body, end in _blocks(self._path, position):
            if end > self._end or len(records) == limit:
                break
            if body is None:
                damaged += 1
            else:
                records.append(_decode(body))
            position = end
        if damaged:
            log.error("%s: %d records that waited here are damaged, and lost", self._path, damaged)
        if position == begin and position < self._end:
            raise StoreError(f"{self._path}: {self._end - position} bytes of records that wait here cannot be read")
        return (records, position) if position > begin else None

    def _save_position(self, position: int) -> None:
        """Save that everything before ``position`` is in the store; delete the files when nothing is left."""
        if position >= self._end:
            self._path.unlink()  # first: without the position all would be drained again, without the file nothing is
            self._position_file.unlink(missing_ok=True)
            fsync(self._path.parent)
            self._end = 0
            return
        with atomic_write(self._position_file, sync=True) as draft:
            make_file(draft)
            draft.write_text(str(position))

    def _position(self) -> int:
        try:
            return int(self._position_file.read_text())
        except (FileNotFoundError, NotADirectoryError, ValueError):  # it is damaged: what is written twice counts once
            return 0

    def _find_end(self) -> int:
        """Find where the last complete block ends."""
        if not self._path.exists():
            if self._position_file.exists():  # killed between the two deletions of ``_save_position``
                self._position_file.unlink()
            return 0
        *_, end = (self._position(), *(end for _, end in _blocks(self._path, self._position())))
        if left := self._path.stat().st_size - end:
            log.warning(
                "%s: its last %d bytes are no record: a write was cut short, or the disk fails", self._path, left
            )
        return end


def _blocks(path: Path, position: int) -> Iterator[tuple[bytes | None, int]]:
    """Yield the bodies of complete blocks from ``position`` on, and where each ends.

    One that is damaged, with a whole one somewhere behind it, has no body; the end of a file that has none is left out.
    """
    if not path.exists():
        return
    damaged: list[int] = []
    with path.open("rb") as file:
        file.seek(position)
        while len(header := file.read(BLOCK_HEADER.size)) == BLOCK_HEADER.size:
            length, checksum = BLOCK_HEADER.unpack(header)
            body = file.read(length) if length <= MAX_BODY else b""
            if len(body) < max(length, BODY_HEADER.size):
                return
            position += BLOCK_HEADER.size + length
            if zlib.crc32(body) != checksum:
                damaged.append(position)
                continue
            yield from ((None, end) for end in damaged)
            damaged.clear()
            yield body, position


def _encode(record: Record) -> bytes:
    camera, media = record.camera.encode(), record.media.encode()
    vector = np.asarray(record.vector, "<f4")
    region = record.region.code if record.region else 0
    header = BODY_HEADER.pack(to_micros(record.time), region, record.offset, len(camera), len(media))
    body = header + camera + media + vector.tobytes()
    return BLOCK_HEADER.pack(len(body), zlib.crc32(body)) + body


def _decode(body: bytes) -> Record:
    time, region, offset, camera_length, media_length = BODY_HEADER.unpack_from(body)
    camera_end = BODY_HEADER.size + camera_length
    media_end = camera_end + media_length
    camera, media = body[BODY_HEADER.size : camera_end].decode(), body[camera_end:media_end].decode()
    vector = np.frombuffer(body, "<f4", offset=media_end).astype(np.float32)
    return Record(camera, from_micros(time), media, offset, vector, Region.of(region))
