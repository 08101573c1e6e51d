"""Finds the moments around search hits: neighboring records are read again, scored and cut into segments."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.query.scoring.calibration import apply_exclusions
from footage.query.scoring.hysteresis import find_segments
from footage.query.values.moment import Moment, TimeSpan
from footage.query.values.timeline import media_chains
from footage.stream.frame import Kind, Media
from footage.stream.spans import merge

MATCH_CUTOFF = 0.5
"""Smallest probability of a match that is answered."""
NEIGHBORHOOD = timedelta(seconds=30)
"""How far around a hit neighboring records are read at first; more while a segment reaches the border..."""
MAX_EXTENSION = timedelta(hours=1)
"""...up to this distance."""
WINDOWS_PER_SCAN = 16
"""Number of a camera's windows that are read by one scan."""


class Scorer(Protocol):
    """Gives vectors a probability of a match."""

    def score_parts(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Score (n, dim) unit rows: probabilities that what is wanted is there and that nothing unwanted is, (n,)."""
        ...


@dataclass(frozen=True, slots=True)
class _ChainFrames:
    """The frames of one chain in a window: the best record of each, its probability, and the time until it counts."""

    records: list[Record]
    p: NDArray[np.float64]
    until: list[datetime]
    chain: list[Media]


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
        scorer: Scorer,
        where: Where,
        cutoff: float = MATCH_CUTOFF,
        max_extension: timedelta = MAX_EXTENSION,
    ) -> None:
        self._store, self._catalog, self._scorer = store, catalog, scorer
        self._where, self._cutoff, self._max_extension = where, cutoff, max_extension

    async def find_moments(self, camera: str, times: Sequence[datetime]) -> list[Moment]:
        """Find all moments of one camera around ``times``, in order of time."""
        found: dict[tuple[datetime, str], Moment] = {}
        windows = merge((t - NEIGHBORHOOD, t + NEIGHBORHOOD) for t in times)
        groups = (windows[i : i + WINDOWS_PER_SCAN] for i in range(0, len(windows), WINDOWS_PER_SCAN))
        for moments in await asyncio.gather(*(self._search_windows(camera, group) for group in groups)):
            found.update({(m.start, m.media): m for m in moments})
        return sorted(found.values(), key=lambda m: m.start)

    async def _search_windows(self, camera: str, windows: Sequence[TimeSpan]) -> list[Moment]:
        """Find the moments of some windows, which are read by one scan."""
        records, p = await self._read(camera, windows)
        times = [r.time for r in records]
        slices = [slice(bisect_left(times, start), bisect_left(times, end)) for start, end in windows]
        searches = (self._search_window(camera, w, records[s], p[s]) for w, s in zip(windows, slices, strict=True))
        return [moment for moments in await asyncio.gather(*searches) for moment in moments]

    async def _search_window(
        self, camera: str, first: TimeSpan, records: list[Record], p: NDArray[np.float64]
    ) -> list[Moment]:
        """Find the moments of a window, which widens while one of them may continue beyond its border."""
        window = first
        if not (p >= self._cutoff).any():
            return []
        chains = await self._split_chains(camera, window, records, p)
        while True:
            parts = [(frames, a, b) for frames in chains for a, b in find_segments(frames.p, self._cutoff)]
            before = any(a == 0 and frames.chain[0].start < window[0] for frames, a, _ in parts)
            after = any(b == len(frames.p) and frames.chain[-1].end > window[1] for frames, _, b in parts)
            wider = _widen(window, first, before, after, self._max_extension)
            if wider == window:
                return [self._make_moment(camera, *part) for part in parts]
            sides = _intersect([(wider[0], window[0]), (window[1], wider[1])], self._where.spans)
            window = wider
            if sides and await self._store.count(Where((camera,), sides)):
                chains = await self._split_chains(camera, window, *await self._read(camera, [window]))

    async def _read(self, camera: str, windows: Sequence[TimeSpan]) -> tuple[list[Record], NDArray[np.float64]]:
        """Read and score the records of windows, in order of time."""
        spans = _intersect(windows, self._where.spans)
        records = [r async for r in self._store.scan(Where((camera,), spans))] if spans else []
        if not records:
            return [], np.empty(0)
        scores = await asyncio.to_thread(self._scorer.score_parts, np.stack([r.vector for r in records]))
        return records, apply_exclusions(records, *scores)

    async def _split_chains(
        self, camera: str, window: TimeSpan, records: list[Record], p: NDArray[np.float64]
    ) -> list[_ChainFrames]:
        if not records:
            return []
        entries = await self._catalog.media_between([camera], window[0], window[1])
        found = []
        for chain in media_chains([e.media for e in entries]):
            ids = {m.id for m in chain}
            mine = [i for i, r in enumerate(records) if r.media in ids]
            if mine:
                found.append(_chain_frames([records[i] for i in mine], p[mine], chain))
        return found

    def _make_moment(self, camera: str, frames: _ChainFrames, a: int, b: int) -> Moment:
        top = a + int(np.argmax(frames.p[a:b]))
        best, last = frames.records[top], frames.records[b - 1]
        until = frames.until[b - 1]
        limit = next((end for start, end in self._where.spans if start <= last.time < end), until)
        return Moment(
            camera=camera,
            start=frames.records[a].time,
            end=min(until, limit),
            score=float(frames.p[top]),
            best=best.time,
            region=best.region,
            media=best.media,
            clock=next(m.clock for m in frames.chain if m.id == best.media),
        )


def _chain_frames(records: list[Record], p: NDArray[np.float64], chain: list[Media]) -> _ChainFrames:
    """Keep the best of the records of one time (whole frame and regions)."""
    best: dict[datetime, int] = {}
    for i, record in enumerate(records):
        if record.time not in best or p[i] > p[best[record.time]]:
            best[record.time] = i
    order = list(best.values())
    kept = [records[i] for i in order]
    last = max(chain[-1].end, kept[-1].time)
    until = [b.time for _, b in pairwise(kept)] + [last if chain[-1].kind is not Kind.PHOTO else kept[-1].time]
    return _ChainFrames(kept, p[order], until, chain)


def _intersect(spans: Sequence[TimeSpan], allowed: Sequence[TimeSpan]) -> tuple[TimeSpan, ...]:
    """Return the non-empty parts of ``spans`` that lie in ``allowed`` (empty: everywhere)."""
    cut = ((max(a, c), min(b, d)) for a, b in spans for c, d in allowed) if allowed else iter(spans)
    return tuple((a, b) for a, b in cut if a < b)


def _widen(window: TimeSpan, first: TimeSpan, before: bool, after: bool, max_extension: timedelta) -> TimeSpan:
    """Triple the window on the sides that ask for it, up to ``max_extension`` beyond the first window."""
    size = window[1] - window[0]
    start = max(window[0] - size, first[0] - max_extension) if before else window[0]
    end = min(window[1] + size, first[1] + max_extension) if after else window[1]
    return start, end
