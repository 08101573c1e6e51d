"""Holds the rows of the log in memory, in the order in which they were written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.column.codes import Codes, quantize
from footage.indexer.store.row_arrays import RowArrays

FIRST_ROOM = 256


class Tail:
    """A number of rows that grows; ``snapshot`` returns what is there now and does not change.

    One thread adds; any may use snapshots.
    """

    def __init__(self, dim: int) -> None:
        self._dim, self._length = dim, 0
        self._columns: dict[str, NDArray[Any]] = {
            "time": np.empty(FIRST_ROOM, np.int64),
            "offset": np.empty(FIRST_ROOM, np.float64),
            "region": np.empty(FIRST_ROOM, np.uint32),
            "camera": np.empty(FIRST_ROOM, np.uint32),
            "media": np.empty(FIRST_ROOM, np.uint32),
            "scale": np.empty(FIRST_ROOM, np.float32),
            "codes": np.empty((FIRST_ROOM, dim), np.int8),
            "vectors": np.empty((FIRST_ROOM, dim), np.float32),
        }
        self._cameras: dict[str, int] = {}
        self._medias: dict[str, int] = {}

    def __len__(self) -> int:
        return self._length

    def add(self, rows: RowArrays) -> None:
        """Add rows at the end."""
        first, last = self._length, self._length + len(rows)
        self._make_room(last)
        codes, scale = quantize(rows.vectors)
        cameras = np.array([self._cameras.setdefault(c, len(self._cameras)) for c in rows.cameras], np.uint32)
        medias = np.array([self._medias.setdefault(m, len(self._medias)) for m in rows.medias], np.uint32)
        new = {"time": rows.time, "offset": rows.offset, "region": rows.region, "vectors": rows.vectors}
        new |= {"camera": cameras[rows.camera], "media": medias[rows.media], "scale": scale, "codes": codes}
        for name, values in new.items():
            self._columns[name][first:last] = values
        self._length = last

    def snapshot(self) -> TailRows:
        """Return the rows that are there now."""
        return TailRows(self._columns, self._length, tuple(self._cameras), self._medias)

    def _make_room(self, count: int) -> None:
        room = len(self._columns["time"])
        if count > room:
            room = max(count, 2 * room)
            self._columns = {name: _enlarged(column, room) for name, column in self._columns.items()}


class TailRows:
    """The rows of a log at one time."""

    name = ""

    def __init__(
        self, columns: dict[str, NDArray[Any]], rows: int, cameras: tuple[str, ...], medias: dict[str, int]
    ) -> None:
        self.rows, self.cameras, self._media_places = rows, cameras, medias
        self.time, self.offset = columns["time"][:rows], columns["offset"][:rows]
        self.region, self.camera, self.media = (columns[name][:rows] for name in ("region", "camera", "media"))
        self.scale = columns["scale"][:rows]
        self._codes, self._vectors = columns["codes"][:rows], columns["vectors"][:rows]
        self.medias = tuple(medias)

    def codes(self, first: int, last: int) -> Codes:
        """Return the codes of rows [first, last)."""
        return self._codes[first:last]

    def vectors(self, first: int, last: int, out: NDArray[np.float32]) -> None:
        """Copy the exact vectors of rows [first, last) into ``out``."""
        out[:] = self._vectors[first:last]

    def media_place(self, media: str) -> int | None:
        """Return the place of a media; None where there is no row of it."""
        return self._media_places.get(media)

    def arrays(self) -> RowArrays:
        """Return all rows."""
        columns = (self.time, self.offset, self.region, self.camera, self.media)
        return RowArrays(*columns, self.cameras, self.medias, self._vectors)


def _enlarged(column: NDArray[Any], room: int) -> NDArray[Any]:
    larger = np.empty((room, *column.shape[1:]), column.dtype)
    larger[: len(column)] = column
    return larger
