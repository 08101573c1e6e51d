"""Hits to moments: neighbours are read again, scored exactly, and the segment grows and shrinks on those scores."""

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
from footage.query.scoring.calibration import together
from footage.query.scoring.hysteresis import segments
from footage.query.values.moment import Moment, Span, merge
from footage.query.values.timeline import chains
from footage.stream.frame import Kind, Media

CUTOFF = 0.5
"""Least probability of a match that is answered."""
REACH = timedelta(seconds=30)
"""How far around a hit neighbours are read at first; more while a segment reaches the border..."""
FARTHEST = timedelta(hours=1)
"""...up to here."""
TOGETHER = 16
"""So many windows of a camera are read by one scan."""


class Score(Protocol):
    """Anything that gives frames a probability of a match."""

    def judge(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, dim) unit rows to twice (n,) in 0..1: is it there, and is there nothing that must not be."""
        ...


@dataclass(frozen=True, slots=True)
class _Line:
    """One chain's frames in a window: per frame its best record, its probability and until when it stands."""

    records: list[Record]
    p: NDArray[np.float64]
    until: list[datetime]
    chain: list[Media]


class Grower:
    """Grows moments from places where ``nearest`` found something.

    Args:
        where: the question's own filter; no moment leaves its spans.
        cutoff: moments whose best frame is below this are left out.
        farthest: how far beyond ``REACH`` a moment is followed.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        score: Score,
        where: Where,
        cutoff: float = CUTOFF,
        farthest: timedelta = FARTHEST,
    ) -> None:
        self._store, self._catalog, self._score = store, catalog, score
        self._where, self._cutoff, self._farthest = where, cutoff, farthest

    async def grow(self, camera: str, times: Sequence[datetime]) -> list[Moment]:
        """All moments of one camera around ``times``, in order of time."""
        found: dict[tuple[datetime, str], Moment] = {}
        windows = merge([(t - REACH, t + REACH) for t in times])
        groups = (windows[i : i + TOGETHER] for i in range(0, len(windows), TOGETHER))
        for moments in await asyncio.gather(*(self._group(camera, group) for group in groups)):
            found.update({(m.start, m.media): m for m in moments})
        return sorted(found.values(), key=lambda m: m.start)

    async def _group(self, camera: str, windows: Sequence[Span]) -> list[Moment]:
        """Moments of some windows, which are read at once."""
        records, p = await self._read(camera, windows)
        times = [r.time for r in records]
        parts = [slice(bisect_left(times, start), bisect_left(times, end)) for start, end in windows]
        grown = (self._window(camera, w, records[mine], p[mine]) for w, mine in zip(windows, parts, strict=True))
        return [moment for moments in await asyncio.gather(*grown) for moment in moments]

    async def _window(self, camera: str, first: Span, records: list[Record], p: NDArray[np.float64]) -> list[Moment]:
        """Moments of a window, which widens while one of them may go on beyond its border."""
        window = first
        if not (p >= self._cutoff).any():
            return []
        lines = await self._lines(camera, window, records, p)
        while True:
            parts = [(line, a, b) for line in lines for a, b in segments(line.p, self._cutoff)]
            before = any(a == 0 and line.chain[0].start < window[0] for line, a, _ in parts)
            after = any(b == len(line.p) and line.chain[-1].end > window[1] for line, _, b in parts)
            wider = _widen(window, first, before, after, self._farthest)
            if wider == window:
                return [self._moment(camera, *part) for part in parts]
            sides = _clip([(wider[0], window[0]), (window[1], wider[1])], self._where.spans)
            window = wider
            if sides and await self._store.count(Where((camera,), sides)):
                lines = await self._lines(camera, window, *await self._read(camera, [window]))

    async def _read(self, camera: str, windows: Sequence[Span]) -> tuple[list[Record], NDArray[np.float64]]:
        """The records of windows, by time, and their probabilities of a match."""
        spans = _clip(windows, self._where.spans)
        records = [r async for r in self._store.scan(Where((camera,), spans))] if spans else []
        if not records:
            return [], np.empty(0)
        judged = await asyncio.to_thread(self._score.judge, np.stack([r.vector for r in records]))
        return records, together(records, *judged)

    async def _lines(self, camera: str, window: Span, records: list[Record], p: NDArray[np.float64]) -> list[_Line]:
        if not records:
            return []
        entries = await self._catalog.between([camera], window[0], window[1])
        lines = []
        for chain in chains([e.media for e in entries]):
            ids = {m.id for m in chain}
            mine = [i for i, r in enumerate(records) if r.media in ids]
            if mine:
                lines.append(_line([records[i] for i in mine], p[mine], chain))
        return lines

    def _moment(self, camera: str, line: _Line, a: int, b: int) -> Moment:
        top = a + int(np.argmax(line.p[a:b]))
        best = line.records[top]
        limit = next(
            (end for start, end in self._where.spans if start <= line.records[b - 1].time < end), line.until[b - 1]
        )
        return Moment(
            camera=camera,
            start=line.records[a].time,
            end=min(line.until[b - 1], limit),
            score=float(line.p[top]),
            best=best.time,
            region=best.region,
            media=best.media,
            clock=next(m.clock for m in line.chain if m.id == best.media),
        )


def _line(records: list[Record], p: NDArray[np.float64], chain: list[Media]) -> _Line:
    """Records of one time (whole frame and regions) become one: the best of them."""
    best: dict[datetime, int] = {}
    for i, record in enumerate(records):
        if record.time not in best or p[i] > p[best[record.time]]:
            best[record.time] = i
    order = list(best.values())
    kept = [records[i] for i in order]
    last = max(chain[-1].end, kept[-1].time)
    until = [b.time for _, b in pairwise(kept)] + [last if chain[-1].kind is not Kind.PHOTO else kept[-1].time]
    return _Line(kept, p[order], until, chain)


def _clip(spans: Sequence[Span], to: Sequence[Span]) -> tuple[Span, ...]:
    """The parts of ``spans`` that are not empty and lie in ``to`` (empty: everywhere)."""
    cut = ((max(a, c), min(b, d)) for a, b in spans for c, d in to) if to else iter(spans)
    return tuple((a, b) for a, b in cut if a < b)


def _widen(window: Span, first: Span, before: bool, after: bool, farthest: timedelta) -> Span:
    """Three times the window on the sides that ask for it, up to ``farthest`` beyond the first one."""
    size = window[1] - window[0]
    start = max(window[0] - size, first[0] - farthest) if before else window[0]
    end = min(window[1] + size, first[1] + farthest) if after else window[1]
    return start, end
