"""Finds the moments around search hits: neighboring records are read, scored and cut into segments.

Everything is done for all windows at once: one read of the store, one of the catalog, one pass over arrays, and again
only for windows that must be widened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Catalog, Store, Where
from footage.query.moments.chains import Chain, ChainFinder
from footage.query.moments.neighbors import NeighborReader, Neighbors
from footage.query.scoring.calibration import PartScorer
from footage.query.scoring.hysteresis import MAX_DIP, grow_segments
from footage.query.values.moment import Moment
from footage.stream.frame import Kind, Region
from footage.stream.instants import MICROSECOND, MicroSpan, from_micros, to_micros

MATCH_CUTOFF = 0.5
"""Smallest probability of a match that is answered."""
NEIGHBORHOOD = timedelta(seconds=30)
"""How far around a hit neighboring records are read at first; more while a segment reaches the border..."""
MAX_EXTENSION = timedelta(hours=1)
"""...up to this distance."""


@dataclass(slots=True)
class _Window:
    """A span of one camera's time around hits.

    Attributes:
        first, span: in the beginning, and now.
        count: how many records it has.
        chains: of the media around it, as they were looked up when it got its newest records.
    """

    camera: str
    first: MicroSpan
    span: MicroSpan
    count: int
    chains: Sequence[Chain]


class _Part(NamedTuple):
    """Frames [first, last) of a chain that form a moment; the chain's are [start, end)."""

    chain: Chain
    start: int
    first: int
    last: int
    end: int


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of all chains of some windows, chain after chain, of each its best record.

    Attributes:
        edges: first frame of each chain; and the end.
        owners: window (its number) and chain, of each chain.
        time: microseconds.
        p: probabilities of a match, (n,).
        region, media: of the records, as in ``Neighbors``.
    """

    edges: list[int]
    owners: list[tuple[int, Chain]]
    time: list[int]
    p: NDArray[np.float64]
    region: NDArray[np.uint32]
    media: NDArray[np.int64]

    def parts(self, cutoff: float) -> dict[int, list[_Part]]:
        """Cut the chains into segments, by window."""
        peaks = np.flatnonzero(self.p >= cutoff)
        chains = np.searchsorted(self.edges, peaks, side="right") - 1
        order = np.lexsort((-self.p[peaks], chains))  # of equal ones the first
        parts: dict[int, list[_Part]] = {}
        for i, group in groupby(zip(chains[order].tolist(), peaks[order].tolist(), strict=True), key=itemgetter(0)):
            (window, chain), start, end = self.owners[i], self.edges[i], self.edges[i + 1]
            found = grow_segments(self.p[start:end].tolist(), [peak - start for _, peak in group])
            own = [_Part(chain, start, start + first, start + last, end) for first, last in found]
            parts.setdefault(window, []).extend(own)
        return parts


class Segmenter:
    """Finds the moments around places where ``nearest`` found hits; asked again with more hits, it reads only the rest.

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
        self._neighbors, self._chains = NeighborReader(store, scorer, where.spans), ChainFinder(catalog)
        self._cutoff, self._max_extension = cutoff, max_extension // MICROSECOND
        self._allowed = [(to_micros(start), to_micros(end)) for start, end in where.spans]

    def with_limits(self, cutoff: float, max_extension: timedelta) -> Segmenter:
        """Return one with other limits, which shares what was read."""
        other = copy(self)
        other._cutoff, other._max_extension = cutoff, max_extension // MICROSECOND
        return other

    async def find_moments(self, hits: Mapping[str, Sequence[datetime]]) -> list[Moment]:
        """Find all moments around these times of cameras, in order of camera and time."""
        windows = await self._open_windows(hits)
        await self._find_chains(windows)
        found: dict[tuple[str, datetime, str], Moment] = {}
        while windows:
            frames = self._frames(windows)
            parts = frames.parts(self._cutoff)
            wider: list[tuple[_Window, MicroSpan]] = []
            for number, window in enumerate(windows):
                own = parts.get(number, [])
                span = self._widened(window, own)
                if span != window.span:
                    wider.append((window, span))
                    continue
                for moment in (self._make_moment(window.camera, frames, part) for part in own):
                    found[(moment.camera, moment.start, moment.media)] = moment
            await self._widen(wider)
            windows = [window for window, _ in wider]
        return sorted(found.values(), key=lambda m: (m.camera, m.start))

    async def _open_windows(self, hits: Mapping[str, Sequence[datetime]]) -> list[_Window]:
        """Read and score the neighborhoods of hits; return those with a match."""
        spans = {camera: _around(times) for camera, times in hits.items()}
        await self._neighbors.read(spans)
        windows: list[_Window] = []
        for camera, merged in spans.items():
            rows = self._neighbors.of(camera)
            ranges = rows.ranges(merged)
            matches = np.concatenate([[0], np.cumsum(rows.p >= self._cutoff)])[ranges]
            counts = np.diff(ranges).ravel().tolist()
            matching = np.flatnonzero(np.diff(matches)).tolist()
            windows += [_Window(camera, merged[i], merged[i], counts[i], ()) for i in matching]
        return windows

    def _widened(self, window: _Window, parts: Sequence[_Part]) -> MicroSpan:
        """Return the span that a window needs: wider while one of its moments may continue beyond its border.

        The last frames before the border may be a dip that does not end it.
        """
        start, end = window.span
        before = any(part.first - part.start <= MAX_DIP and part.chain.start < start for part in parts)
        after = any(part.end - part.last <= MAX_DIP and part.chain.end > end for part in parts)
        size = end - start  # a window becomes up to three times as long
        return (
            max(start - size, window.first[0] - self._max_extension) if before else start,
            min(end + size, window.first[1] + self._max_extension) if after else end,
        )

    async def _widen(self, windows: Sequence[tuple[_Window, MicroSpan]]) -> None:
        """Widen windows, and find the chains of those that have got more records."""
        sides: dict[str, list[MicroSpan]] = {}
        for window, span in windows:
            sides.setdefault(window.camera, []).append(span)
            window.span = span
        await self._neighbors.read(sides)
        changed = []
        for rows, group in self._by_camera([window for window, _ in windows]):
            counts = np.diff(rows.ranges([window.span for window in group])).ravel().tolist()
            changed += [window for window, count in zip(group, counts, strict=True) if count != window.count]
            for window, count in zip(group, counts, strict=True):
                window.count = count
        await self._find_chains(changed)

    def _by_camera(self, windows: Sequence[_Window]) -> Iterator[tuple[Neighbors, list[_Window]]]:
        """Yield the records of each camera and its windows, which are neighbors."""
        for camera, group in groupby(windows, key=lambda window: window.camera):
            yield self._neighbors.of(camera), list(group)

    async def _find_chains(self, windows: Sequence[_Window]) -> None:
        chains = await self._chains.find([(window.camera, window.span) for window in windows])
        for window, found in zip(windows, chains, strict=True):
            window.chains = found

    def _frames(self, windows: Sequence[_Window]) -> _Frames:
        """Return the frames of windows: of the records of one chain and time (whole frame and regions) the best."""
        parts = []
        for rows, group in self._by_camera(windows):
            ranges = rows.ranges([window.span for window in group])
            at = _places(ranges)
            parts.append((ranges[:, 1] - ranges[:, 0], *(column[at] for column in rows)))
        counts, time, p, region, media = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        owners = [(number, chain) for number, window in enumerate(windows) for chain in window.chains]
        chain = self._chain_of_each(owners, np.repeat(np.arange(len(windows)), counts), media)
        at = _best_of_each_time(chain, time, p)
        chain = chain[at]
        edges = np.flatnonzero(np.diff(chain, prepend=-1, append=len(owners)))
        frames = (time[at].tolist(), p[at], region[at], media[at])
        return _Frames(edges.tolist(), [owners[i] for i in chain[edges[:-1]].tolist()], *frames)

    def _chain_of_each(
        self, owners: Sequence[tuple[int, Chain]], window: NDArray[np.intp], media: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Return the number of each record's chain, or -1; most records are of the same media as the one before."""
        medias = self._neighbors.medias
        known = {(number, one.id): i for i, (number, chain) in enumerate(owners) for one in chain.media}
        key = window * len(medias) + media
        first = np.flatnonzero(np.diff(key, prepend=-1))
        pairs = zip(window[first].tolist(), media[first].tolist(), strict=True)
        found = np.array([known.get((number, medias[place]), -1) for number, place in pairs], np.intp)
        return np.repeat(found, np.diff(first, append=len(key)))

    def _make_moment(self, camera: str, frames: _Frames, part: _Part) -> Moment:
        top = part.first + int(np.argmax(frames.p[part.first : part.last]))
        last, chain = frames.time[part.last - 1], part.chain
        if part.last < part.end:
            until = frames.time[part.last]
        else:
            until = last if chain.media[-1].kind is Kind.PHOTO else max(chain.end, last)
        limit = next((end for start, end in self._allowed if start <= last < end), until)
        media = self._neighbors.medias[int(frames.media[top])]
        return Moment(
            camera=camera,
            start=from_micros(frames.time[part.first]),
            end=from_micros(min(until, limit)),
            score=float(frames.p[top]),
            best=from_micros(frames.time[top]),
            region=Region.of(int(frames.region[top])),
            media=media,
            clock=next(m.clock for m in chain.media if m.id == media),
        )


def _around(times: Sequence[datetime]) -> list[MicroSpan]:
    """Return the neighborhoods of times, merged."""
    around, at = NEIGHBORHOOD // MICROSECOND, np.sort(np.array(list(map(to_micros, times)), np.int64))
    breaks = np.flatnonzero(np.diff(at) > 2 * around)
    first, last = at[np.concatenate([[0], breaks + 1])] - around, at[np.concatenate([breaks, [-1]])] + around
    return list(zip(first.tolist(), last.tolist(), strict=True))


def _best_of_each_time(chain: NDArray[np.intp], time: NDArray[np.int64], p: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the places of the best record of each chain and time, in that order; of equal ones the first."""
    at = np.flatnonzero(chain >= 0)
    step = np.diff(chain[at])
    if ((step < 0) | ((step == 0) & (np.diff(time[at]) <= 0))).any():
        at = at[np.lexsort((-p[at], time[at], chain[at]))]
        other = (np.diff(chain[at], prepend=-1) != 0) | (np.diff(time[at], prepend=0) != 0)
        at = at[other]
    return at


def _places(ranges: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return every place of ranges, (n, 2)."""
    length = ranges[:, 1] - ranges[:, 0]
    return np.arange(length.sum()) + np.repeat(ranges[:, 1] - np.cumsum(length), length)
