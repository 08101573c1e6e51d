"""Turns a stream of scored records into moments, each as soon as later records cannot change it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.row_arrays import RowArrays
from footage.query.moments.segmentation import NEIGHBORHOOD
from footage.query.scoring.hysteresis import count_misses, edge_level, find_segments, is_past_edge
from footage.query.values.moment import Moment
from footage.query.values.timeline import ChainAssigner
from footage.stream.frame import Kind, Media, Region
from footage.stream.instants import from_micros


class _Best(NamedTuple):
    """The best record of one time."""

    time: datetime
    p: float
    region: Region | None
    media: Media


@dataclass(slots=True)
class _ChainState:
    """The frames of one chain that may still become a moment.

    The frames between two stretches below the edge level of the cutoff form an island. No moment crosses such a
    stretch, so each island is segmented by itself, with the same result as if all frames were at hand.

    Attributes:
        last: the newest media of the chain.
        complete: nothing before the first frame can belong to its moment.
        newest: time of the newest frame.
        island: frames from the first that reaches the edge level.
        misses: consecutive frames below the edge level.
    """

    last: Media
    complete: bool
    newest: datetime | None = None
    island: list[_Best] = field(default_factory=list)
    misses: int = 0


class StreamingSegmenter:
    """Finds the moments of any number of cameras in one pass and in bounded memory.

    It keeps the frames since the last clear miss of each camera (time and probability, no vector).

    Args:
        begin: where the scan starts; media that began before it may hide the start of a moment.
        end: no moment extends beyond.

    Attributes:
        uncertain_until: moments that begin after this are certain; None while all are. A moment is uncertain, and left
            out, if the scan started inside it.
    """

    def __init__(self, cutoff: float, begin: datetime | None = None, end: datetime | None = None) -> None:
        self.uncertain_until: datetime | None = None
        self._cutoff, self._level, self._begin, self._end = cutoff, edge_level(cutoff), begin, end
        self._assigners: dict[str, ChainAssigner] = {}
        self._chains: dict[tuple[str, int], _ChainState] = {}
        self._media: dict[str, tuple[Media, _ChainState]] = {}

    def unknown_media(self, ids: Iterable[str]) -> list[str]:
        """Return those of the media ids that have not been added."""
        return sorted({m for m in ids if m not in self._media})

    def add_media(self, media: Iterable[Media]) -> None:
        """Add media whose records may follow; in order of start."""
        for one in media:
            if one.id not in self._media:
                number = self._assigners.setdefault(one.camera, ChainAssigner()).add(one)
                fresh = _ChainState(one, complete=self._begin is None or one.start >= self._begin)
                chain = self._chains.setdefault((one.camera, number), fresh)
                chain.last = one
                self._media[one.id] = one, chain

    def feed(self, rows: RowArrays, p: NDArray[np.float64]) -> list[Moment]:
        """Take the next records, with all of the last one's time, in order of time; return moments that are final now.

        Costs little for records that do not match: only frames around matches are looked at one by one.
        """
        if not len(rows):
            return []
        found: list[Moment] = []
        for chain, at in self._by_chain(rows):
            found += self._feed_chain(chain, rows, p, _best_of_each_time(rows, p, at))
        return found + self._retire_chains(from_micros(int(rows.time[-1])))

    def _by_chain(self, rows: RowArrays) -> Iterator[tuple[_ChainState, NDArray[np.intp]]]:
        """Yield the places of the rows of each chain; rows of media that were forgotten meanwhile are left out."""
        places: dict[int, tuple[_ChainState, list[int]]] = {}
        for place in np.unique(rows.media).tolist():
            if known := self._media.get(rows.medias[place]):
                places.setdefault(id(known[1]), (known[1], []))[1].append(place)
        for chain, medias in places.values():
            yield chain, np.flatnonzero(np.isin(rows.media, medias))

    def _feed_chain(
        self, chain: _ChainState, rows: RowArrays, p: NDArray[np.float64], at: NDArray[np.intp]
    ) -> list[Moment]:
        """Take the frames of one chain, by the place of the best record of each."""
        found: list[Moment] = []
        done = 0
        for hit in np.flatnonzero(p[at] >= self._level).tolist():
            done, ended = self._skip_misses(chain, rows, p, at, done, hit)
            found += ended + self._commit(chain, self._frame(rows, p, int(at[hit])))
            done = hit + 1
        _, ended = self._skip_misses(chain, rows, p, at, done, len(at))
        chain.newest = from_micros(int(rows.time[at[-1]]))
        return found + ended

    def _skip_misses(
        self, chain: _ChainState, rows: RowArrays, p: NDArray[np.float64], at: NDArray[np.intp], first: int, last: int
    ) -> tuple[int, list[Moment]]:
        """Take frames [first, last) that are all below the level: one by one while an island is open, else at once."""
        found: list[Moment] = []
        while first < last and chain.island:
            found += self._commit(chain, self._frame(rows, p, int(at[first])))
            first += 1
        chain.misses += last - first
        return last, found

    def _frame(self, rows: RowArrays, p: NDArray[np.float64], at: int) -> _Best:
        media = self._media[rows.medias[int(rows.media[at])]][0]
        return _Best(from_micros(int(rows.time[at])), float(p[at]), Region.of(int(rows.region[at])), media)

    def flush(self) -> list[Moment]:
        """End the stream; return the moments that were still open."""
        found = [m for chain in self._chains.values() for m in self._end_chain(chain)]
        self._chains, self._media, self._assigners = {}, {}, {}
        return found

    def earliest_open(self) -> datetime | None:
        """Return the earliest time at which a moment still to come may begin; None while no moment is open."""
        return min((chain.island[0].time for chain in self._chains.values() if chain.island), default=None)

    def _commit(self, chain: _ChainState, frame: _Best) -> list[Moment]:
        """Add a frame of which every record is known."""
        before, chain.misses = chain.misses, count_misses(chain.misses, frame.p, self._level)
        if not chain.misses:
            if not chain.island:
                chain.complete = chain.complete or is_past_edge(before)
            chain.island.append(frame)
            return []
        if not chain.island:
            return []
        chain.island.append(frame)
        return self._end_island(chain, frame.time) if is_past_edge(chain.misses) else []

    def _end_island(self, chain: _ChainState, end: datetime) -> list[Moment]:
        """Return the moments of an island whose last frame counts until ``end``."""
        frames, chain.island = chain.island, []
        complete, chain.complete = chain.complete, True
        p = np.array([frame.p for frame in frames])
        if p.max(initial=0.0) < self._cutoff:
            return []
        if not complete:
            self.uncertain_until = max(self.uncertain_until or frames[-1].time, frames[-1].time)
            return []
        until = [frame.time for frame in frames[1:]] + [end]
        return [_make_moment(frames[a:b], until[b - 1]) for a, b in find_segments(p, self._cutoff)]

    def _end_chain(self, chain: _ChainState) -> list[Moment]:
        """Return the moments of a chain that has no more frames."""
        newest, chain.newest = chain.newest, None
        if newest is None or not chain.island:
            return []
        end = newest if chain.last.kind is Kind.PHOTO else max(chain.last.end, newest)
        return self._end_island(chain, min(end, self._end) if self._end else end)

    def _retire_chains(self, now: datetime) -> list[Moment]:
        """Forget chains that ended a while ago; return their moments."""
        ended = [key for key, chain in self._chains.items() if _has_ended(chain, now)]
        found = [m for key in ended for m in self._end_chain(self._chains.pop(key))]
        if ended:
            kept = {id(chain) for chain in self._chains.values()}
            self._media = {name: known for name, known in self._media.items() if id(known[1]) in kept}
        return found


def _has_ended(chain: _ChainState, now: datetime) -> bool:
    newest = chain.newest or chain.last.end
    return max(chain.last.end, newest) < now - 2 * NEIGHBORHOOD


def _best_of_each_time(rows: RowArrays, p: NDArray[np.float64], at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places of the best record of each time, of rows in order of time."""
    time = rows.time[at]
    if not (np.diff(time) == 0).any():
        return at
    at = at[np.lexsort((at, -p[at], time))]
    return np.asarray(at[np.diff(rows.time[at], prepend=rows.time[at[0]] - 1) != 0])


def _make_moment(frames: Sequence[_Best], end: datetime) -> Moment:
    best = max(frames, key=lambda frame: frame.p)
    media = best.media
    return Moment(media.camera, frames[0].time, end, best.p, best.time, best.region, media.id, media.clock)
