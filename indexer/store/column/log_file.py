"""Appends to and reads the column's log: the rows written since the newest run was made, and what is about to happen.

An entry is one ``write``: a header with a checksum, and what it says. A reader ignores a last entry that is not whole
yet. The last entry tells whether the column holds what the table holds:

- ``ROWS``: rows were added; the table has this version and so many rows.
- ``NOTE``: nothing was added; the table has this version and so many rows.
- ``INTENT``: a writer is about to change the table. It comes before the change, so that a writer that was killed leaves
  a trace: whoever finds an intent whose writer does not hold the lock any more does not trust the column.
- ``MOVED``: another log takes this one's place.
- ``STALE``: the table was changed by somebody who did not tell; the column must be compared with it.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import weakref
import zlib
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from footage.indexer.store.column.run_file import ColumnDamaged
from footage.indexer.store.row_arrays import RowArrays
from footage.stream.private import make_file

MAGIC = 0x474F4C46
HEADER = struct.Struct("<IIIIQQI")
"""Magic, kind, rows, length of the names, version and rows of the table, and the CRC-32 of all that and the content."""


class EntryKind(IntEnum):
    """What an entry says."""

    ROWS, NOTE, INTENT, MOVED, STALE = range(1, 6)


class Entry(NamedTuple):
    """An entry; version and total are those of the table."""

    kind: EntryKind
    version: int
    total: int
    rows: RowArrays | None


def encode_entry(kind: EntryKind, version: int, total: int, rows: RowArrays | None = None) -> bytes:
    """Return the bytes of an entry."""
    content, names = b"", b""
    if rows is not None:
        names = json.dumps([rows.cameras, rows.medias]).encode()
        columns = (rows.time, rows.offset, rows.region, rows.camera, rows.media, rows.vectors)
        content = names + b"".join(np.ascontiguousarray(column).tobytes() for column in columns)
    count = len(rows) if rows is not None else 0
    head = HEADER.pack(MAGIC, kind, count, len(names), version, total, 0)
    return HEADER.pack(MAGIC, kind, count, len(names), version, total, zlib.crc32(content, zlib.crc32(head))) + content


def append(path: Path, entry: bytes) -> None:
    """Append an entry to a log that exists, with one call of the system."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor).st_size
        if os.write(descriptor, entry) != len(entry):
            os.ftruncate(descriptor, before)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def create(path: Path, entry: bytes) -> None:
    """Make a log with a first entry."""
    make_file(path)
    append(path, entry)


class LogReader:
    """Reads the entries of a log as they are appended."""

    def __init__(self, path: Path, dim: int) -> None:
        """Open a log.

        Raises:
            FileNotFoundError: it is gone.
        """
        self._dim, self._path, self._at = dim, path, 0
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def is_replaced(self) -> bool:
        """Whether another log has taken this one's place: it has been removed."""
        return not self._path.exists()

    def is_read(self) -> bool:
        """Whether nothing follows what was read; an entry that is not whole does."""
        return os.fstat(self._descriptor).st_size == self._at

    def read(self) -> list[Entry]:
        """Return the entries since the last call.

        Raises:
            ColumnDamaged: it was changed.
        """
        size = os.fstat(self._descriptor).st_size
        if size < self._at:
            raise ColumnDamaged(f"{self._path.name}: it was cut")
        if size == self._at:
            return []
        content = memoryview(os.pread(self._descriptor, size - self._at, self._at))
        found, at = [], 0
        while (entry := self._decode(content[at:])) is not None:
            found.append(entry[0])
            at += entry[1]
        self._at += at
        return found

    def close(self) -> None:
        """Close the file."""
        self._close()

    def _decode(self, content: memoryview) -> tuple[Entry, int] | None:
        """Return the first entry and its length; None where it is not whole."""
        if len(content) < HEADER.size:
            return None
        magic, kind, count, names_length, version, total, checksum = HEADER.unpack_from(content)
        if magic != MAGIC or kind not in EntryKind.__members__.values():
            raise ColumnDamaged(f"{self._path.name}: an entry was changed")
        length = names_length + count * (8 + 8 + 4 + 4 + 4 + 4 * self._dim)
        body = content[HEADER.size : HEADER.size + length]
        if len(body) < length:
            return None
        head = HEADER.pack(magic, kind, count, names_length, version, total, 0)
        if zlib.crc32(body, zlib.crc32(head)) != checksum:
            raise ColumnDamaged(f"{self._path.name}: an entry was changed")
        rows = self._decode_rows(body, count, names_length) if names_length else None
        return Entry(EntryKind(kind), version, total, rows), HEADER.size + length

    def _decode_rows(self, body: memoryview, count: int, at: int) -> RowArrays:
        cameras, medias = json.loads(bytes(body[:at]))
        columns: list[Any] = []
        for kind in (np.int64, np.float64, np.uint32, np.uint32, np.uint32):
            columns.append(np.frombuffer(body, kind, count, at))
            at += columns[-1].nbytes
        vectors = np.frombuffer(body, np.float32, count * self._dim, at).reshape(count, self._dim)
        time, offset, region, camera, media = columns
        return RowArrays(time, offset, region, camera, media, tuple(cameras), tuple(medias), vectors)
