"""Reads and scores the records around hits: each once, however often a question asks for it again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Store, Where
from footage.indexer.store.row_arrays import RowArrays
from footage.query.scoring.calibration import PartScorer, score_rows
from footage.query.values.moment import TimeSpan
from footage.stream.instants import MicroSpan, from_micros, to_micros
from footage.stream.spans import merge

FOREVER = 1 << 62
"""Microseconds: longer than any time."""


class Neighbors(NamedTuple):
    """Records of one camera in order of (time, region), without their vectors.

    Attributes:
        time: microseconds, (n,).
        p: probabilities of a match, (n,).
        region, media: code of the region, and place among the reader's ``medias``, (n,).
    """

    time: NDArray[np.int64]
    p: NDArray[np.float64]
    region: NDArray[np.uint32]
    media: NDArray[np.int64]

    def ranges(self, spans: Sequence[MicroSpan]) -> NDArray[np.intp]:
        """Return the first record of each span and the one after its last, (spans, 2)."""
        return np.searchsorted(self.time, np.array(spans, np.int64).reshape(-1, 2))


class NeighborReader:
    """Holds the scored records of those spans of cameras that were asked for.

    Args:
        allowed: records outside these spans are not read; none: all are.

    Attributes:
        medias: ids of the media of the records.
    """

    def __init__(self, store: Store, scorer: PartScorer, allowed: Sequence[TimeSpan]) -> None:
        self._store, self._scorer = store, scorer
        self._forbidden = _gaps(merge((to_micros(start), to_micros(end)) for start, end in allowed))
        self._read: dict[str, list[MicroSpan]] = {}
        self._known: dict[str, Neighbors] = {}
        self._places: dict[str, int] = {}
        self.medias: list[str] = []

    def of(self, camera: str) -> Neighbors:
        """Return the camera's records that were read."""
        return self._known.get(camera, _NONE)

    async def read(self, wanted: Mapping[str, Iterable[MicroSpan]]) -> None:
        """Read and score the records of spans of cameras, as far as that was not done.

        Raises:
            StoreError: the store failed.
        """
        missing = {camera: _subtract(merge(spans), self._covered(camera)) for camera, spans in wanted.items()}
        missing = {camera: spans for camera, spans in missing.items() if spans}
        if not missing:
            return
        wheres = [Where((c,), tuple((from_micros(a), from_micros(b)) for a, b in s)) for c, s in missing.items()]
        for (camera, spans), (rows, p) in zip(
            missing.items(), await self._store.read(wheres, self._score), strict=True
        ):
            if len(rows):
                self._add(camera, rows, p)
            self._read[camera] = merge([*self._covered(camera), *spans])

    def _score(self, rows: RowArrays) -> tuple[RowArrays, NDArray[np.float64]]:
        """Return records without their vectors, and the probabilities of a match."""
        none = rows.vectors[:0].copy()  # a view would keep all of them in memory
        return replace(rows, vectors=none), score_rows(rows, self._scorer)

    def _covered(self, camera: str) -> list[MicroSpan]:
        """Return what needs no reading: what was read, and what the question leaves out."""
        return self._read.get(camera, self._forbidden)

    def _add(self, camera: str, rows: RowArrays, p: NDArray[np.float64]) -> None:
        """Add records of spans that hold none yet."""
        places = np.array([self._places.setdefault(media, len(self._places)) for media in rows.medias], np.int64)
        self.medias = list(self._places)
        new = Neighbors(rows.time, p, rows.region, places[rows.media])
        if old := self._known.get(camera):
            at = np.searchsorted(old.time, new.time)
            columns: Any = zip(old, new, strict=True)
            new = Neighbors(*(np.insert(before, at, added) for before, added in columns))
        self._known[camera] = new


_NONE = Neighbors(np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint32), np.empty(0, np.int64))


def _gaps(spans: Sequence[MicroSpan]) -> list[MicroSpan]:
    """Return what lies before, between and after spans in order; nothing without any."""
    edges = [-FOREVER, *(edge for span in spans for edge in span), FOREVER]
    return list(zip(edges[::2], edges[1::2], strict=True)) if spans else []


def _subtract(spans: Sequence[MicroSpan], taken: Sequence[MicroSpan]) -> list[MicroSpan]:
    """Return the parts of ``spans`` that do not lie in ``taken``; both are in order and do not overlap."""
    left, ends = [], [end for _, end in taken]
    for start, end in spans:
        for a, b in taken[bisect_right(ends, start) :]:
            if a >= end:
                break
            if start < a:
                left.append((start, a))
            start = b
        if start < end:
            left.append((start, end))
    return left
