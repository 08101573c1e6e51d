"""Sets aside records that the store refuses for good: a file of JSON lines that says why, and gives them back."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from footage.indexer.embed.base import Space
from footage.indexer.file_lock import lock_file
from footage.indexer.pipeline.pipeline import RecordWriter
from footage.indexer.store.base import Record
from footage.indexer.store.errors import PASSING, StoreBlocked, StoreError
from footage.stream.atomic import atomic_write, fsync
from footage.stream.frame import Region
from footage.stream.instants import from_micros, to_micros
from footage.stream.private import make_file, make_folder

log = logging.getLogger(__name__)

FILE_NAME = "refused.jsonl"
"""Name of the file in the data folder."""
FILE_SIZE = 256 << 20
"""Bytes that the file may take: some 90,000 records of 512 numbers."""
LOOK_BACK = 1 << 16


@dataclass(slots=True)
class RefusedSummary:
    """What is set aside.

    Attributes:
        cameras: number of records by camera.
        reason: why the store refused the last of them.
        dropped: records of this process that found no room in the file, and are lost.
        unreadable: lines of the file that hold no record: it was damaged.
    """

    cameras: Counter[str] = field(default_factory=Counter)
    reason: str = ""
    dropped: int = 0
    unreadable: int = 0

    @property
    def total(self) -> int:
        """Number of records in the file."""
        return self.cameras.total()

    def describe(self) -> str:
        """Say it in a sentence, without names of cameras; empty when nothing is set aside."""
        text = ""
        if self.total:
            text = f"{self.total} records were refused by the store and are set aside; footage status says why"
        if self.dropped:
            text += f"{'; ' if text else ''}{self.dropped} more found no room in the file and are lost"
        if self.unreadable:
            text += f"{'; ' if text else ''}{self.unreadable} lines of the file of refused records are damaged"
        return text


class RefusedRecords:
    """The file of records that a store refused: one JSON object a line, with everything that the record holds.

    Any process may append, and read what others appended; a lock file keeps ``replay`` and ``append`` apart. The file's
    size is bounded: what finds no room is counted and lost.

    Args:
        folder: the data folder.
        space: of the vectors, which is noted with each record.
    """

    def __init__(self, folder: Path, space: Space, size: int = FILE_SIZE) -> None:
        self.path = folder / FILE_NAME
        self._space, self._size = space, size
        self._summary = RefusedSummary()
        self._read = (-1, 0)  # inode, and how many bytes of it are counted

    async def append(self, refused: Sequence[tuple[Record, str]]) -> None:
        """Set records aside, each with the reason; they are durable when it returns.

        Raises:
            StoreBlocked: the file cannot be written.
        """
        make_folder(self.path.parent)
        async with lock_file(self.path.with_suffix(".lock"), pause=0.1):
            await asyncio.to_thread(self._append, [_encode(r, reason, self._space) for r, reason in refused])
        for record, reason in refused[:1]:
            log.error(
                "%d records were refused for good and set aside in %s, the first of camera '%s' at %s: %s",
                *(len(refused), self.path, record.camera, record.time.isoformat(), reason),
            )

    async def replay(self, store: RecordWriter, batch: int = 100) -> tuple[int, int]:
        """Give the records of this space to a store again; what it takes leaves the file.

        Returns:
            How many the store has now, and how many stay in the file.
        """
        if not self.path.exists():
            return 0, 0
        async with lock_file(self.path.with_suffix(".lock"), pause=0.1):
            lines = await asyncio.to_thread(self._lines)  # without damaged ones, of which nothing can be had
            own = [line for line in lines if line["space"] == self._space.name and line["dim"] == self._space.dim]
            refused: list[tuple[Record, str]] = []
            for i in range(0, len(own), batch):
                refused += await write_isolating(store, [_decode(line) for line in own[i : i + batch]])
            left = [line for line in lines if line not in own] if len(own) < len(lines) else []
            kept = [json.dumps(line) for line in left] + [_encode(r, why, self._space) for r, why in refused]
            await asyncio.to_thread(self._replace, kept)
        return len(own) - len(refused), len(kept)

    async def summary(self) -> RefusedSummary:
        """Return what is set aside now, by this process and others."""
        return await asyncio.to_thread(self._count)

    def _append(self, lines: list[str]) -> None:
        try:
            make_file(self.path)
            with self.path.open("r+b") as file:
                end = _end_of_lines(file)
                file.seek(end)
                file.truncate()  # what a killed process left half-written was never acknowledged
                room = self._size - end
                for line in lines:
                    data = line.encode() + b"\n"
                    if len(data) > room:
                        self._summary.dropped += 1
                        continue
                    room -= file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fsync(self.path.parent)
        except OSError as error:
            raise StoreBlocked(f"{self.path}: refused records cannot be set aside: {error.strerror}") from error

    def _lines(self) -> list[dict[str, Any]]:
        return [found for line in _complete_lines(self.path, 0) if (found := _parse(line))]

    def _replace(self, lines: list[str]) -> None:
        if not lines:
            self.path.unlink(missing_ok=True)
            return
        with atomic_write(self.path, sync=True) as draft:
            draft.write_text("".join(line + "\n" for line in lines))

    def _count(self) -> RefusedSummary:
        """Count what was appended since the last time, or everything where the file is another one."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._read, self._summary = (-1, 0), RefusedSummary(dropped=self._summary.dropped)
            return self._summary
        inode, counted = self._read
        if inode != stat.st_ino or counted > stat.st_size:
            counted, self._summary = 0, RefusedSummary(dropped=self._summary.dropped)
        for line in _complete_lines(self.path, counted):
            counted += len(line)
            if found := _parse(line):
                self._summary.cameras[found["camera"]] += 1
                self._summary.reason = found["reason"]
            else:
                self._summary.unreadable += 1
        self._read = stat.st_ino, counted
        return self._summary


async def write_isolating(store: RecordWriter, records: Sequence[Record]) -> list[tuple[Record, str]]:
    """Write records, and halve what is refused until the records that cannot pass are alone.

    Returns:
        The refused records, each with the reason; all others are in the store.

    Raises:
        StoreUnreachable, StoreBlocked: it is not about the records; some of them may be in the store.
    """
    if not records:
        return []
    try:
        await store.write(records)
    except PASSING:
        raise
    except StoreError as error:
        if len(records) == 1:
            return [(records[0], str(error))]
        middle = len(records) // 2
        return await write_isolating(store, records[:middle]) + await write_isolating(store, records[middle:])
    return []


def _complete_lines(path: Path, position: int) -> Iterator[bytes]:
    """Yield the lines from a position on; one that a killed process left without its end is left out."""
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _end_of_lines(file: BinaryIO) -> int:
    """Return where the last complete line of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - LOOK_BACK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _encode(record: Record, reason: str, space: Space) -> str:
    vector = base64.b64encode(np.asarray(record.vector, "<f4").tobytes()).decode()
    return json.dumps(
        {
            "camera": record.camera,
            "time": record.time.isoformat(),
            "reason": reason,
            "refused": datetime.now(UTC).isoformat(),
            "micros": to_micros(record.time),
            "media": record.media,
            "offset": record.offset,
            "region": record.region.code if record.region else 0,
            "space": space.name,
            "dim": space.dim,
            "vector": vector,
        }
    )


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds; None when that is no record."""
    try:
        found = json.loads(line)
        _decode(found)
        return {**found, "camera": str(found["camera"]), "reason": str(found["reason"]), "space": found["space"]}
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _decode(line: dict[str, Any]) -> Record:
    vector = np.frombuffer(base64.b64decode(line["vector"]), "<f4").astype(np.float32)
    time, region = from_micros(line["micros"]), Region.of(line["region"])
    return Record(line["camera"], time, line["media"], line["offset"], vector, region)
