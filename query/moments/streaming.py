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
from footage.query.scoring.hysteresis import ENDING_MISSES, edge_level, find_segments, is_past_edge
from footage.query.values.moment import Moment
from footage.query.values.timeline import ChainAssigner
from footage.stream.frame import Kind, Media, Region
from footage.stream.instants import from_micros


class _Frames(NamedTuple):
    """Frames of one chain in order of time, of each its best record.

    Attributes:
        time: microseconds, (n,).
        p, region: probability and code of the region, (n,).
        media: places in ``medias``, (n,).
    """

    time: NDArray[np.int64]
    p: NDArray[np.float64]
    region: NDArray[np.uint32]
    media: NDArray[np.uint32]
    medias: tuple[str, ...]

    def part(self, first: int, last: int) -> _Frames:
        """Return frames [first, last)."""
        here = slice(first, last)
        return _Frames(self.time[here], self.p[here], self.region[here], self.media[here], self.medias)


@dataclass(slots=True)
class _ChainState:
    """The frames of one chain that may still become a moment.

    The frames between two stretches below the edge level of the cutoff form an island. No moment crosses such a
    stretch, so each island is segmented by itself, with the same result as if all frames were at hand.

    Attributes:
        last: the newest media of the chain.
        complete: nothing before the first frame can belong to its moment.
        newest: time of the newest frame.
        island: frames from the first that reaches the edge level, as they came.
        misses: consecutive frames below the edge level.
    """

    last: Media
    complete: bool
    newest: datetime | None = None
    island: list[_Frames] = field(default_factory=list)
    misses: int = 0


class StreamingSegmenter:
    """Finds the moments of any number of cameras in one pass and in bounded memory.

    It keeps the frames since the last clear miss of each camera (time, probability and region, no vector).

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

        Only islands are looked at one by one, and only those that reach the cutoff frame by frame.
        """
        if not len(rows):
            return []
        found: list[Moment] = []
        for chain, at in self._by_chain(rows):
            found += self._feed_chain(chain, _best_of_each_time(rows, p, at))
        return found + self._retire_chains(from_micros(int(rows.time[-1])))

    def _by_chain(self, rows: RowArrays) -> Iterator[tuple[_ChainState, NDArray[np.intp]]]:
        """Yield the places of the rows of each chain; rows of media that were forgotten meanwhile are left out."""
        chains: dict[int, tuple[int, _ChainState]] = {}
        owners = np.full(len(rows.medias), -1, np.int32)
        for place in np.unique(rows.media).tolist():
            if known := self._media.get(rows.medias[place]):
                owners[place] = chains.setdefault(id(known[1]), (len(chains), known[1]))[0]
        owner = owners[rows.media]
        for number, chain in chains.values():
            yield chain, np.flatnonzero(owner == number)

    def _feed_chain(self, chain: _ChainState, frames: _Frames) -> list[Moment]:
        """Take the next frames of one chain."""
        found: list[Moment] = []
        count, misses, chain.newest = len(frames.p), chain.misses, from_micros(int(frames.time[-1]))
        hits = np.flatnonzero(frames.p >= self._level)
        if chain.island:  # its last hit was before these frames
            hits = np.concatenate([[-1 - misses], hits])
        chain.misses = count - 1 - int(hits[-1]) if len(hits) else misses + count
        for first, last in _stretches(hits):
            end = last + ENDING_MISSES + 1
            if not chain.island:
                chain.complete = chain.complete or is_past_edge(misses + first)
            chain.island.append(frames.part(max(first, 0), end))
            if end <= count:
                found += self._end_island(chain, from_micros(int(frames.time[end - 1])))
            misses = ENDING_MISSES  # at least, before the next one
        return found

    def flush(self) -> list[Moment]:
        """End the stream; return the moments that were still open."""
        found = [m for chain in self._chains.values() for m in self._end_chain(chain)]
        self._chains, self._media, self._assigners = {}, {}, {}
        return found

    def earliest_open(self) -> datetime | None:
        """Return the earliest time at which a moment still to come may begin; None while no moment is open."""
        open_since = [int(chain.island[0].time[0]) for chain in self._chains.values() if chain.island]
        return from_micros(min(open_since)) if open_since else None

    def _end_island(self, chain: _ChainState, end: datetime) -> list[Moment]:
        """Return the moments of an island whose last frame counts until ``end``."""
        parts, chain.island = chain.island, []
        complete, chain.complete = chain.complete, True
        if max(float(part.p.max()) for part in parts) < self._cutoff:
            return []
        frames = _join(parts)
        if not complete:
            last = from_micros(int(frames.time[-1]))
            self.uncertain_until = max(self.uncertain_until or last, last)
            return []
        until = [*map(from_micros, frames.time[1:].tolist()), end]
        found = find_segments(frames.p, self._cutoff)
        return [self._make_moment(frames.part(a, b), until[b - 1]) for a, b in found]

    def _make_moment(self, frames: _Frames, end: datetime) -> Moment:
        best = int(frames.p.argmax())
        media = self._media[frames.medias[int(frames.media[best])]][0]
        start, time = from_micros(int(frames.time[0])), from_micros(int(frames.time[best]))
        region = Region.of(int(frames.region[best]))
        return Moment(media.camera, start, end, float(frames.p[best]), time, region, media.id, media.clock)

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


def _best_of_each_time(rows: RowArrays, p: NDArray[np.float64], at: NDArray[np.intp]) -> _Frames:
    """Return the best record of each time, of these rows in order of time."""
    time = rows.time[at]
    if (np.diff(time) == 0).any():
        at = at[np.lexsort((at, -p[at], time))]
        at = at[np.diff(rows.time[at], prepend=rows.time[at[0]] - 1) != 0]
    return _Frames(rows.time[at], p[at], rows.region[at], rows.media[at], rows.medias)


def _stretches(hits: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of hits between which no misses end an island."""
    if len(hits):
        ends = np.flatnonzero(np.diff(hits) > ENDING_MISSES)
        yield from zip(hits[np.r_[0, ends + 1]].tolist(), hits[np.r_[ends, len(hits) - 1]].tolist(), strict=True)


def _join(parts: Sequence[_Frames]) -> _Frames:
    """Return frames that came in several batches as if they had come in one."""
    if len(parts) == 1:
        return parts[0]
    medias: list[str] = []
    places = []
    for part in parts:
        places.append(part.media + np.uint32(len(medias)))
        medias += part.medias
    time, p, region = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return _Frames(time, p, region, np.concatenate(places), tuple(medias))
