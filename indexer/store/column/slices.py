"""Finds which rows of the column's segments a filter leaves, as ranges of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Scores, Where
from footage.indexer.store.batching import evenly_spaced
from footage.indexer.store.column.run_file import Run
from footage.indexer.store.column.tail import TailRows
from footage.indexer.store.row_arrays import RowArrays, merge_names
from footage.indexer.store.times import merged_micros
from footage.stream.instants import DISTANT_PAST, MicroSpan, from_micros
from footage.stream.spans import merge

Segment = Run | TailRows
Range = tuple[int, int]
Picked = list[tuple[Segment, list[Range]]]
"""Segments, each with ranges of its rows in rising order."""
SCORED_ROWS = 1024
"""Vectors that are scored at once: two megabytes."""
SCRATCH_ROWS = 256
"""Vectors that are read at once to be put in order: half a megabyte."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A ``Where`` in microseconds; None does not restrict."""

    cameras: frozenset[str] | None
    spans: tuple[MicroSpan, ...] | None
    medias: tuple[str, ...] | None

    @classmethod
    def of(cls, where: Where) -> Filter:
        """Convert a filter; raise StoreError for a time without a zone."""
        spans = tuple(merged_micros(where.spans)) if where.spans else None
        return cls(frozenset(where.cameras) or None, spans, where.media or None)

    def within(self, start: int, end: int) -> Filter:
        """Return the filter that leaves only [start, end) of what this one does."""
        spans = self.spans if self.spans is not None else ((start, end),)
        return replace(self, spans=tuple((max(a, start), min(b, end)) for a, b in spans))

    def where(self) -> Where:
        """Convert back."""
        spans = None if self.spans is None else [(from_micros(a), from_micros(b)) for a, b in self.spans if a < b]
        if spans is not None and not spans:
            spans = [(DISTANT_PAST, DISTANT_PAST)]
        return Where(tuple(sorted(self.cameras or ())), tuple(spans or ()), self.medias or ())


def pick(segments: Sequence[Segment], wanted: Filter) -> Picked:
    """Return the rows that a filter leaves."""
    found = [(segment, _ranges(segment, wanted)) for segment in segments]
    return [(segment, ranges) for segment, ranges in found if ranges]


def count(picked: Picked) -> int:
    """Return how many rows were picked."""
    return sum(last - first for _, ranges in picked for first, last in ranges)


def matching(segment: Segment, wanted: Filter) -> NDArray[np.bool_]:
    """Return which rows of a segment a filter leaves, (rows,)."""
    mask = np.zeros(segment.rows, bool)
    for first, last in _ranges(segment, wanted):
        mask[first:last] = True
    return mask


def places(ranges: Sequence[Range]) -> NDArray[np.intp]:
    """Return every row of some ranges."""
    first, last = np.array(ranges, np.intp).reshape(-1, 2).T
    length = last - first
    return np.arange(length.sum()) + np.repeat(last - np.cumsum(length), length)


def read_rows(picked: Picked, dim: int, *, by_time: bool = False) -> RowArrays:
    """Read picked rows, in the order of the segments, or of (time, camera's name, region)."""
    keys = _read_keys(picked)
    if not by_time:
        return replace(keys, vectors=_read_vectors(picked, dim, None))
    order = keys.time_order()
    in_order = bool((np.diff(order) == 1).all())  # as the records of one camera and run are
    vectors = _read_vectors(picked, dim, None if in_order else order)
    return replace(keys.take(order), vectors=vectors)


def score_rows(picked: Picked, dim: int, score: Callable[[Vectors], Scores]) -> tuple[RowArrays, Scores]:
    """Return picked rows in order of (time, camera's name, region), without vectors, and what ``score`` makes of each.

    Vectors are scored as they lie in the files, a few at once in the same memory.
    """
    keys = _read_keys(picked)
    scratch, filled, found = np.empty((SCORED_ROWS, dim), np.float32), 0, []
    for segment, first, last in ((segment, *part) for segment, ranges in picked for part in ranges):
        at = first
        while at < last:
            rows = min(last - at, SCORED_ROWS - filled)
            segment.vectors(at, at + rows, scratch[filled : filled + rows])
            at, filled = at + rows, filled + rows
            if filled == SCORED_ROWS:
                found.append(score(scratch))
                filled = 0
    if filled or not found:
        found.append(score(scratch[:filled]))
    order = keys.time_order()
    return keys.take(order), np.concatenate(found)[order]


def _read_keys(picked: Picked) -> RowArrays:
    """Read picked rows without vectors, in the order of the segments."""
    rows = [(segment, places(ranges)) for segment, ranges in picked]
    cameras, camera = merge_names([(segment.cameras, segment.camera[at]) for segment, at in rows])
    medias, media = merge_names([(segment.medias, segment.media[at]) for segment, at in rows])
    time = np.concatenate([np.empty(0, np.int64), *(segment.time[at] for segment, at in rows)])
    offset = np.concatenate([np.empty(0), *(segment.offset[at] for segment, at in rows)])
    region = np.concatenate([np.empty(0, np.uint32), *(segment.region[at] for segment, at in rows)])
    return RowArrays(time, offset, region, camera, media, cameras, medias, np.empty((len(time), 0), np.float32))


def _read_vectors(picked: Picked, dim: int, order: NDArray[np.intp] | None) -> NDArray[np.float32]:
    """Read exact vectors, (n, dim), in an order of the picked rows: a few at once, which stay in the cache."""
    ranges = [(segment, first, last) for segment, ranges in picked for first, last in ranges]
    step = SCRATCH_ROWS
    parts = [(s, low, min(low + step, last)) for s, first, last in ranges for low in range(first, last, step)]
    out = np.empty((sum(last - first for _, first, last in parts), dim), np.float32)
    to = np.empty(len(out), np.intp)
    to[order if order is not None else slice(None)] = np.arange(len(out))
    scratch = np.empty((SCRATCH_ROWS if order is not None else 0, dim), np.float32)
    at = 0
    for segment, first, last in parts:
        rows = last - first
        if order is None:
            segment.vectors(first, last, out[at : at + rows])
        else:
            segment.vectors(first, last, scratch[:rows])
            out[to[at : at + rows]] = scratch[:rows]
        at += rows
    return out


def sample(picked: Picked, n: int, dim: int) -> Vectors:
    """Return up to ``n`` vectors of whole frames, evenly spaced over their times, (m, dim)."""
    whole = [(s, ranges_of(_whole(s, ranges))) for s, ranges in picked]
    times = [s.time[first:last] for s, ranges in whole for first, last in ranges]
    if n < 1 or not times:
        return np.empty((0, dim), np.float32)
    chosen = evenly_spaced(np.unique(np.concatenate(times)), n)
    at = [(s, ranges_of(_whole(s, ranges) & np.isin(s.time, chosen))) for s, ranges in whole]
    rows = read_rows([(s, ranges) for s, ranges in at if ranges], dim, by_time=True)
    return np.ascontiguousarray(evenly_spaced(rows.vectors, n))


def _whole(segment: Segment, ranges: Sequence[Range]) -> NDArray[np.bool_]:
    """Return which rows of a segment lie in some ranges and are of whole frames."""
    mask = np.zeros(segment.rows, bool)
    for first, last in ranges:
        mask[first:last] = True
    return np.asarray(mask & (segment.region == 0), bool)


def _ranges(segment: Segment, wanted: Filter) -> list[Range]:
    if wanted.medias is not None:
        return _media_ranges(segment, wanted)
    if isinstance(segment, TailRows):
        return _mask_ranges(segment, wanted)
    found: list[Range] = []
    for number, camera in enumerate(segment.cameras):
        if wanted.cameras is None or camera in wanted.cameras:
            found += _camera_ranges(segment, int(segment.starts[number]), int(segment.starts[number + 1]), wanted.spans)
    return merge(found)


def _camera_ranges(run: Run, first: int, last: int, spans: tuple[MicroSpan, ...] | None) -> list[Range]:
    """Return the rows of one camera of a run in some spans."""
    if spans is None:
        return [(first, last)]
    edges = np.searchsorted(run.time[first:last], np.array(spans, np.int64)) + first
    return [(low, high) for low, high in edges.reshape(-1, 2).tolist() if low < high]


def _mask_ranges(segment: Segment, wanted: Filter) -> list[Range]:
    if not segment.rows:
        return []
    mask = np.ones(segment.rows, bool)
    if wanted.cameras is not None:
        mask &= np.isin(segment.camera, [i for i, name in enumerate(segment.cameras) if name in wanted.cameras])
    if wanted.spans is not None:
        mask &= _in_spans(segment.time, wanted.spans)
    if wanted.medias is not None:
        known = [segment.media_place(media) for media in wanted.medias]
        mask &= np.isin(segment.media, [place for place in known if place is not None])
    return ranges_of(mask)


def _media_ranges(segment: Segment, wanted: Filter) -> list[Range]:
    """Return the rows of some media; most segments have none of them, which costs nothing."""
    assert wanted.medias is not None
    known = any(segment.media_place(media) is not None for media in wanted.medias)
    return _mask_ranges(segment, wanted) if known else []


def _in_spans(time: NDArray[np.int64], spans: tuple[MicroSpan, ...]) -> NDArray[np.bool_]:
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    place = np.searchsorted(starts, time, side="right") - 1
    return (place >= 0) & (time < ends[place]) if len(starts) else np.zeros(len(time), bool)


def ranges_of(mask: NDArray[np.bool_]) -> list[Range]:
    """Return the ranges of rows of which a mask is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).view(np.int8)))
    return [(first, last) for first, last in edges.reshape(-1, 2).tolist()]


def ranges_of_places(at: NDArray[np.intp]) -> list[Range]:
    """Return the ranges of rows in rising order."""
    breaks = np.flatnonzero(np.diff(at) != 1) + 1
    first, last = at[np.concatenate([[0], breaks])], at[np.concatenate([breaks, [len(at)]]) - 1] + 1
    return list(zip(first.tolist(), last.tolist(), strict=True))
