"""Writes and reads runs: files of rows in order of (camera, time, region) that never change once they are there.

A run holds sections, each at a multiple of 4,096 bytes: a column of each key, the codes, their scales, the exact
vectors, and the checksums of the sections' blocks. Then a footer in JSON (what the sections are, names of cameras and
media), and at the end the footer's length and checksum. A block's checksum is compared when the block is first used.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.column.codes import Codes, quantize
from footage.indexer.store.row_arrays import RowArrays
from footage.stream.private import make_file

MAGIC = b"FOOTRUN1"
PAGE_BYTES = 4096
TRAILER = struct.Struct("<QI8s")
"""Length and CRC-32 of the footer, and the magic."""
SUM_BLOCK = {"vectors": 1 << 13}
"""Bytes of a block that has a checksum: vectors are read here and there, a few rows at once, and at first most of what
a question reads has not been compared yet."""
FORMER_SUM_BLOCK = {"vectors": 1 << 16}
"""Where the footer does not name them."""
DEFAULT_BLOCK = 1 << 20
WRITE_ROWS = 4096
SECTIONS: dict[str, Any] = {
    "time": np.int64,
    "offset": np.float64,
    "region": np.uint32,
    "media": np.uint32,
    "scale": np.float32,
    "codes": np.int8,
    "vectors": np.float32,
}


class ColumnDamaged(Exception):
    """Raised when a file of the column is not what was written; the column is made again from the table."""


def write_run(path: Path, rows: RowArrays) -> None:
    """Write rows, which must be in order of (camera, time, region), as a new file."""
    count, dim = rows.vectors.shape
    starts = np.searchsorted(rows.camera, np.arange(len(rows.cameras))).tolist()
    places: dict[str, tuple[int, int]] = {}
    sums: dict[str, list[int]] = {}
    make_file(path)
    with path.open("r+b") as file:
        file.write(MAGIC)
        for name, chunks in _sections(rows):
            at = file.seek(-(-file.tell() // PAGE_BYTES) * PAGE_BYTES)
            sums[name] = _write_blocks(file, chunks, SUM_BLOCK.get(name, DEFAULT_BLOCK))
            places[name] = at, file.tell() - at
        footer = {"rows": count, "dim": dim, "places": places, "sums": sums, "blocks": SUM_BLOCK}
        footer |= {"cameras": list(zip(rows.cameras, starts, strict=True)), "medias": rows.medias}
        text = json.dumps(footer, separators=(",", ":")).encode()
        file.write(text + TRAILER.pack(len(text), zlib.crc32(text), MAGIC))


def _sections(rows: RowArrays) -> Iterator[tuple[str, Iterator[NDArray[Any]]]]:
    """Yield the sections' names and content, piece by piece; codes are computed twice rather than held."""
    parts = range(0, len(rows), WRITE_ROWS)
    pieces = [slice(first, first + WRITE_ROWS) for first in parts]
    yield "time", iter([rows.time])
    yield "offset", iter([rows.offset])
    yield "region", iter([rows.region])
    yield "media", iter([rows.media])
    yield "scale", (quantize(rows.vectors[p])[1] for p in pieces)
    yield "codes", (quantize(rows.vectors[p])[0] for p in pieces)
    yield "vectors", (np.ascontiguousarray(rows.vectors[p]) for p in pieces)


def _write_blocks(file: Any, chunks: Iterator[NDArray[Any]], block: int) -> list[int]:
    """Write arrays one after the other; return the CRC-32 of every ``block`` bytes."""
    sums, current, filled = [], 0, 0
    for chunk in chunks:
        content = np.ascontiguousarray(chunk).reshape(-1).view(np.uint8).data
        file.write(content)
        at = 0
        while at < len(content):
            step = min(block - filled, len(content) - at)
            current, filled, at = zlib.crc32(content[at : at + step], current), filled + step, at + step
            if filled == block:
                sums.append(current)
                current = filled = 0
    return [*sums, current] if filled else sums


class Run:
    """A run that is open: keys and codes are mapped, exact vectors are read when they are asked for.

    Any thread may use it. The file may be removed meanwhile: the mapping and the descriptor keep its content.

    Attributes:
        cameras: names, sorted; ``starts`` has the first row of each.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            ColumnDamaged: it is cut, or something else.
            FileNotFoundError: it is gone.
        """
        self.name = path.name
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._close = weakref.finalize(self, os.close, self._descriptor)
        footer = self._read_footer(os.fstat(self._descriptor).st_size)
        try:
            self._map = mmap.mmap(self._descriptor, 0, prot=mmap.PROT_READ)
            self.rows, self.dim = int(footer["rows"]), int(footer["dim"])
            self.cameras = tuple(str(name) for name, _ in footer["cameras"])
            self.starts = np.array([start for _, start in footer["cameras"]] + [self.rows], np.intp)
            self.medias = tuple(footer["medias"])
            self._places = {name: (int(at), int(length)) for name, (at, length) in footer["places"].items()}
            self._sums = {name: np.array(sums, np.uint32) for name, sums in footer["sums"].items()}
            blocks = footer.get("blocks", FORMER_SUM_BLOCK)
            self._blocks = {name: int(blocks.get(name, DEFAULT_BLOCK)) for name in self._sums}
            columns = {name: self._column(name, kind) for name, kind in SECTIONS.items() if name != "vectors"}
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise ColumnDamaged(f"{self.name}: {error}") from error
        self.time: NDArray[np.int64] = columns["time"]
        self.offset: NDArray[np.float64] = columns["offset"]
        self.region: NDArray[np.uint32] = columns["region"]
        self.media: NDArray[np.uint32] = columns["media"]
        self.scale: NDArray[np.float32] = columns["scale"]
        self._codes: Codes = columns["codes"].reshape(self.rows, self.dim)
        self._checked = {name: bytearray(len(sums)) for name, sums in self._sums.items()}
        self._check_lock = threading.Lock()
        self._media_places: dict[str, int] | None = None
        for name in ("time", "offset", "region", "media", "scale"):
            self._check(name, 0, self._places[name][1])
        self.camera = np.repeat(np.arange(len(self.cameras), dtype=np.uint32), np.diff(self.starts))

    def codes(self, first: int, last: int) -> Codes:
        """Return the codes of rows [first, last), (n, dim); the checksums of their blocks are right."""
        self._check("codes", first * self.dim, last * self.dim)
        return self._codes[first:last]

    def load_codes(self) -> None:
        """Bring all codes into memory, block by block, and compare their checksums, before a question needs them.

        Raises:
            ColumnDamaged: they were changed.
        """
        at, length = self._places["codes"]
        for first in range(0, length, DEFAULT_BLOCK):
            self._check("codes", first, min(first + DEFAULT_BLOCK, length))
            self._map[at + first : at + min(first + DEFAULT_BLOCK, length) : PAGE_BYTES]  # maps the pages

    def vectors(self, first: int, last: int, out: NDArray[np.float32]) -> None:
        """Read the exact vectors of rows [first, last) into ``out``, (last - first, dim)."""
        width = 4 * self.dim
        self._check("vectors", first * width, last * width)
        self._read(out, self._places["vectors"][0] + first * width)

    def media_place(self, media: str) -> int | None:
        """Return the place of a media among this run's; None where it has no row of it."""
        if self._media_places is None:
            self._media_places = {name: i for i, name in enumerate(self.medias)}
        return self._media_places.get(media)

    def _read_footer(self, size: int) -> dict[str, Any]:
        try:
            end = os.pread(self._descriptor, TRAILER.size, size - TRAILER.size) if size > TRAILER.size else b""
            length, checksum, magic = TRAILER.unpack(end)
            if magic != MAGIC or length > size - TRAILER.size:
                raise ValueError("its end is another one")
            text = os.pread(self._descriptor, length, size - TRAILER.size - length)
            if len(text) != length or zlib.crc32(text) != checksum:
                raise ValueError("its footer is another one")
            footer = json.loads(text)
        except (struct.error, ValueError, OverflowError, OSError) as error:
            raise ColumnDamaged(f"{self.name}: {error}") from error
        if not isinstance(footer, dict):
            raise ColumnDamaged(f"{self.name}: its footer is another one")
        return footer

    def _column(self, name: str, kind: Any) -> Any:
        at, length = self._places[name]
        count = self.rows * (self.dim if name == "codes" else 1)
        if length != count * np.dtype(kind).itemsize:
            raise ValueError(f"{name} has another length")
        return np.frombuffer(self._map, kind, count, at)

    def _check(self, name: str, first: int, last: int) -> None:
        """Compare the checksums of the blocks that bytes [first, last) of a section lie in, once each."""
        block, checked = self._blocks[name], self._checked[name]
        low, high = first // block, -(-last // block)
        number = checked.find(0, low, high)
        while number >= 0:
            with self._check_lock:
                if not checked[number]:
                    self._check_block(name, number, block)
                    checked[number] = 1
            number = checked.find(0, number + 1, high)

    def _check_block(self, name: str, number: int, block: int) -> None:
        at, length = self._places[name]
        content = np.empty(min(block, length - number * block), np.uint8)
        self._read(content, at + number * block)
        if zlib.crc32(content.data) != self._sums[name][number]:
            raise ColumnDamaged(f"{self.name}: block {number} of {name} was changed")

    def _read(self, out: NDArray[Any], at: int) -> None:
        """Fill an array, whose numbers lie in a row, with what lies at ``at`` of the file."""
        done = os.preadv(self._descriptor, [out.data], at)
        while done < out.nbytes:
            step = os.preadv(self._descriptor, [out.reshape(-1).view(np.uint8)[done:].data], at + done)
            if step <= 0:
                raise ColumnDamaged(f"{self.name}: it is cut")
            done += step
