"""Turns a stream of scored records into moments, each as soon as later records cannot change it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Record
from footage.query.moments.segmentation import NEIGHBORHOOD
from footage.query.scoring.hysteresis import count_misses, edge_level, find_segments, is_past_edge
from footage.query.values.moment import Moment
from footage.query.values.timeline import ChainAssigner
from footage.stream.frame import Kind, Media, Region


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
        newest: the newest frame; more records of its time may still come.
        island: frames from the first that reaches the edge level.
        misses: consecutive frames below the edge level.
    """

    last: Media
    complete: bool
    newest: _Best | None = None
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

    def feed(self, records: Sequence[Record], p: NDArray[np.float64]) -> list[Moment]:
        """Take the next records in order of time; return the moments that are final now."""
        found: list[Moment] = []
        for record, value in zip(records, p.tolist(), strict=True):
            known = self._media.get(record.media)
            if known is None:
                continue  # its media was forgotten meanwhile
            media, chain = known
            newest = chain.newest
            if newest is None or newest.time != record.time:
                if newest is not None:
                    found += self._commit(chain, newest)
                chain.newest = _Best(record.time, value, record.region, media)
            elif value > newest.p:
                chain.newest = _Best(record.time, value, record.region, media)
        if records:
            found += self._retire_chains(records[-1].time)
        return found

    def flush(self) -> list[Moment]:
        """End the stream; return the moments that were still open."""
        found = [m for chain in self._chains.values() for m in self._end_chain(chain)]
        self._chains, self._media, self._assigners = {}, {}, {}
        return found

    def earliest_open(self) -> datetime | None:
        """Return the earliest time at which a moment still to come may begin; None while no moment is open."""
        firsts = [chain.island[0] if chain.island else chain.newest for chain in self._chains.values()]
        return min((frame.time for frame in firsts if frame and frame.p >= self._level), default=None)

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
        if newest is None:
            return []
        found = self._commit(chain, newest)
        if chain.island:
            end = newest.time if chain.last.kind is Kind.PHOTO else max(chain.last.end, newest.time)
            found += self._end_island(chain, min(end, self._end) if self._end else end)
        return found

    def _retire_chains(self, now: datetime) -> list[Moment]:
        """Forget chains that ended a while ago; return their moments."""
        ended = [key for key, chain in self._chains.items() if _has_ended(chain, now)]
        found = [m for key in ended for m in self._end_chain(self._chains.pop(key))]
        if ended:
            kept = {id(chain) for chain in self._chains.values()}
            self._media = {name: known for name, known in self._media.items() if id(known[1]) in kept}
        return found


def _has_ended(chain: _ChainState, now: datetime) -> bool:
    newest = chain.newest.time if chain.newest else chain.last.end
    return max(chain.last.end, newest) < now - 2 * NEIGHBORHOOD


def _make_moment(frames: Sequence[_Best], end: datetime) -> Moment:
    best = max(frames, key=lambda frame: frame.p)
    media = best.media
    return Moment(media.camera, frames[0].time, end, best.p, best.time, best.region, media.id, media.clock)
