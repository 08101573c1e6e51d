"""Finds the moments around search hits: neighboring records are read again, scored and cut into segments.

Everything is done for all windows at once: one read of the store, one of the catalog, and again only for windows that
must be widened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Catalog, Store, Where
from footage.indexer.store.row_arrays import RowArrays, concatenate
from footage.query.moments.chains import ChainFinder
from footage.query.scoring.calibration import PartScorer, score_rows
from footage.query.scoring.hysteresis import find_segments
from footage.query.values.moment import Moment
from footage.stream.frame import Kind, Media, Region
from footage.stream.instants import MICROSECOND, from_micros, to_micros
from footage.stream.spans import merge

MATCH_CUTOFF = 0.5
"""Smallest probability of a match that is answered."""
NEIGHBORHOOD = timedelta(seconds=30)
"""How far around a hit neighboring records are read at first; more while a segment reaches the border..."""
MAX_EXTENSION = timedelta(hours=1)
"""...up to this distance."""

Span = tuple[int, int]
"""Microseconds, half-open."""


@dataclass(slots=True)
class _Window:
    """A span of one camera's time around hits, with its records in order of time.

    Attributes:
        first, span: in the beginning, and now.
        rows, p: the records in it, and their probabilities.
        chains: the frames of each chain of media.
    """

    camera: str
    first: Span
    span: Span
    rows: RowArrays
    p: NDArray[np.float64]
    chains: list[_ChainFrames]

    def add(self, sides: Sequence[tuple[RowArrays, NDArray[np.float64]]], dim: int) -> None:
        """Take records before and after those that are there."""
        parts = [(self.rows, self.p), *sides]
        rows, p = concatenate([part for part, _ in parts], dim), np.concatenate([p for _, p in parts])
        order = rows.time_order()
        self.rows, self.p = rows.take(order), p[order]


@dataclass(frozen=True, slots=True)
class _ChainFrames:
    """The frames of one chain in a window.

    Attributes:
        at: place of the best record of each frame in the window.
        time: of the frames, microseconds.
        p: their probabilities.
    """

    at: NDArray[np.intp]
    time: NDArray[np.int64]
    p: NDArray[np.float64]
    chain: list[Media]

    def until(self, i: int) -> datetime:
        """Return until when a frame counts."""
        if i + 1 < len(self.time):
            return from_micros(int(self.time[i + 1]))
        last = from_micros(int(self.time[-1]))
        return last if self.chain[-1].kind is Kind.PHOTO else max(self.chain[-1].end, last)


class Segmenter:
    """Finds the moments around places where ``nearest`` found hits.

    Args:
        where: the question's filter; no moment leaves its spans.
        cutoff: moments whose best frame is below this are left out.
        max_extension: how far beyond ``NEIGHBORHOOD`` a moment is followed.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        scorer: PartScorer,
        where: Where,
        cutoff: float = MATCH_CUTOFF,
        max_extension: timedelta = MAX_EXTENSION,
    ) -> None:
        self._store, self._chains, self._scorer = store, ChainFinder(catalog), scorer
        self._cutoff, self._max_extension = cutoff, max_extension // MICROSECOND
        self._allowed = [(to_micros(start), to_micros(end)) for start, end in where.spans]

    async def find_moments(self, hits: Mapping[str, Sequence[datetime]]) -> list[Moment]:
        """Find all moments around these times of cameras, in order of camera and time."""
        windows = [w for w in await self._open_windows(hits) if (w.p >= self._cutoff).any()]
        await self._find_chains(windows)
        found: dict[tuple[str, datetime, str], Moment] = {}
        while windows:
            wider: list[tuple[_Window, Span]] = []
            for window in windows:
                parts = [(f, a, b) for f in window.chains for a, b in find_segments(f.p, self._cutoff)]
                span = self._widened(window, parts)
                if span != window.span:
                    wider.append((window, span))
                    continue
                for moment in (self._make_moment(window, *part) for part in parts):
                    found[(moment.camera, moment.start, moment.media)] = moment
            await self._widen(wider)
            windows = [window for window, _ in wider]
        return sorted(found.values(), key=lambda m: (m.camera, m.start))

    async def _open_windows(self, hits: Mapping[str, Sequence[datetime]]) -> list[_Window]:
        """Read and score the neighborhoods of hits."""
        around = NEIGHBORHOOD // MICROSECOND
        spans = {
            camera: merge((time - around, time + around) for time in map(to_micros, times))
            for camera, times in hits.items()
        }
        found = await self._read(list(spans.items()))
        windows = []
        for (camera, merged), (rows, p) in zip(spans.items(), found, strict=True):
            edges = np.searchsorted(rows.time, np.array(merged, np.int64)).tolist()
            for span, (low, high) in zip(merged, edges, strict=True):
                part = slice(low, high)
                windows.append(_Window(camera, span, span, rows.take(part), p[part], []))
        return windows

    def _widened(self, window: _Window, parts: Sequence[tuple[_ChainFrames, int, int]]) -> Span:
        """Return the span that a window needs: wider while one of its moments may continue beyond its border."""
        start, end = window.span
        before = any(a == 0 and to_micros(f.chain[0].start) < start for f, a, _ in parts)
        after = any(b == len(f.p) and to_micros(f.chain[-1].end) > end for f, _, b in parts)
        size = end - start  # a window becomes up to three times as long
        return (
            max(start - size, window.first[0] - self._max_extension) if before else start,
            min(end + size, window.first[1] + self._max_extension) if after else end,
        )

    async def _widen(self, windows: Sequence[tuple[_Window, Span]]) -> None:
        """Widen windows, and find the chains of those that have got more records."""
        if not windows:
            return
        sides = [(w.camera, [(span[0], w.span[0]), (w.span[1], span[1])]) for w, span in windows]
        found = await self._read(sides)
        changed = []
        for (window, span), (rows, p) in zip(windows, found, strict=True):
            window.span = span
            if len(rows):
                window.add([(rows, p)], rows.vectors.shape[1])
                changed.append(window)
        await self._find_chains(changed)

    async def _read(self, wanted: Sequence[tuple[str, Sequence[Span]]]) -> list[tuple[RowArrays, NDArray[np.float64]]]:
        """Read and score the records of spans of cameras, each in order of time."""
        cut = [(camera, _intersect(spans, self._allowed)) for camera, spans in wanted]
        wheres = [Where((c,), tuple((from_micros(a), from_micros(b)) for a, b in spans)) for c, spans in cut if spans]
        found = iter(await self._store.read(wheres) if wheres else [])
        rows = [next(found) if spans else None for _, spans in cut]
        return await asyncio.to_thread(self._score, rows)

    def _score(self, parts: Sequence[RowArrays | None]) -> list[tuple[RowArrays, NDArray[np.float64]]]:
        nothing = concatenate([], 0)
        return [
            (part, score_rows(part, self._scorer)) if part is not None and len(part) else (part or nothing, np.empty(0))
            for part in parts
        ]

    async def _find_chains(self, windows: Sequence[_Window]) -> None:
        """Split the records of windows by the chains of their media."""
        chains = await self._chains.find([(window.camera, window.span) for window in windows])
        for window, found in zip(windows, chains, strict=True):
            window.chains = [frames for chain in found if (frames := _chain_frames(window, chain))]

    def _make_moment(self, window: _Window, frames: _ChainFrames, a: int, b: int) -> Moment:
        top = a + int(np.argmax(frames.p[a:b]))
        best, last = int(frames.at[top]), int(frames.time[b - 1])
        until = frames.until(b - 1)
        limit = next((from_micros(end) for start, end in self._allowed if start <= last < end), until)
        media = window.rows.medias[int(window.rows.media[best])]
        return Moment(
            camera=window.camera,
            start=from_micros(int(frames.time[a])),
            end=min(until, limit),
            score=float(frames.p[top]),
            best=from_micros(int(frames.time[top])),
            region=Region.of(int(window.rows.region[best])),
            media=media,
            clock=next(m.clock for m in frames.chain if m.id == media),
        )


def _chain_frames(window: _Window, chain: list[Media]) -> _ChainFrames | None:
    """Keep the best of the records of one time (whole frame and regions); None where the chain has no records here."""
    rows, p = window.rows, window.p
    known = {media: i for i, media in enumerate(rows.medias)}
    at = np.flatnonzero(np.isin(rows.media, [known[m.id] for m in chain if m.id in known]))
    if not len(at):
        return None
    at = at[np.lexsort((at, -p[at], rows.time[at]))]
    at = at[np.flatnonzero(np.diff(rows.time[at], prepend=rows.time[at[0]] - 1))]
    return _ChainFrames(at, rows.time[at], p[at], chain)


def _intersect(spans: Sequence[Span], allowed: Sequence[Span]) -> list[Span]:
    """Return the non-empty parts of ``spans`` that lie in ``allowed`` (empty: everywhere)."""
    cut = ((max(a, c), min(b, d)) for a, b in spans for c, d in allowed) if allowed else iter(spans)
    return [(a, b) for a, b in cut if a < b]
