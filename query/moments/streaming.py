"""Scored frames in, in order of time; moments out, each as soon as nothing can change it any more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Record
from footage.query.moments.segmentation import REACH
from footage.query.scoring.hysteresis import BRIDGE, EDGE, segments
from footage.query.values.moment import Moment
from footage.query.values.timeline import Joiner
from footage.stream.frame import Kind, Media, Region


class _Shot(NamedTuple):
    """The best record of one time."""

    time: datetime
    p: float
    region: Region | None
    media: Media


@dataclass(slots=True)
class _Strip:
    """One chain's frames that may still become a moment.

    What is kept lies between stretches of more than ``BRIDGE`` frames below ``EDGE`` times the cutoff. No moment
    crosses such a stretch, so each island is judged by itself, exactly as if all frames were at hand.

    Attributes:
        last: the newest media of the chain.
        whole: nothing before the first frame can belong to its moment.
        seen: the newest frame; records of its time may still come.
        island: frames from the first that reaches the floor.
        lows: frames below the floor since the last above it.
    """

    last: Media
    whole: bool
    seen: _Shot | None = None
    island: list[_Shot] = field(default_factory=list)
    lows: int = 0


class Sweep:
    """Folds the frames of any number of cameras into moments, in one pass and in little memory.

    It holds the frames since the last clear miss of each camera (time and probability, no vector).

    Args:
        begin: where the sweep starts; media that began before it may hide the start of a moment.
        end: no moment goes beyond.

    Attributes:
        doubt: no moment that begins after this is uncertain; None while all are certain. A moment is uncertain where
            the sweep started inside it; it is left out.
    """

    def __init__(self, cutoff: float, begin: datetime | None = None, end: datetime | None = None) -> None:
        self.doubt: datetime | None = None
        self._cutoff, self._floor, self._begin, self._end = cutoff, EDGE * cutoff, begin, end
        self._joiners: dict[str, Joiner] = {}
        self._strips: dict[tuple[str, int], _Strip] = {}
        self._known: dict[str, tuple[Media, _Strip]] = {}

    def unknown(self, media: Iterable[str]) -> list[str]:
        """Those of the media ids that have not been admitted."""
        return sorted({m for m in media if m not in self._known})

    def admit(self, media: Iterable[Media]) -> None:
        """These may have records from now on; in order of start."""
        for one in media:
            if one.id not in self._known:
                number = self._joiners.setdefault(one.camera, Joiner()).add(one)
                fresh = _Strip(one, whole=self._begin is None or one.start >= self._begin)
                strip = self._strips.setdefault((one.camera, number), fresh)
                strip.last = one
                self._known[one.id] = one, strip

    def feed(self, records: Sequence[Record], p: NDArray[np.float64]) -> list[Moment]:
        """The next records in order of time, and the moments that are settled by them."""
        found: list[Moment] = []
        for record, value in zip(records, p.tolist(), strict=True):
            known = self._known.get(record.media)
            if known is None:
                continue  # forgotten meanwhile
            media, strip = known
            seen = strip.seen
            if seen is None or seen.time != record.time:
                if seen is not None:
                    found += self._commit(strip, seen)
                strip.seen = _Shot(record.time, value, record.region, media)
            elif value > seen.p:
                strip.seen = _Shot(record.time, value, record.region, media)
        if records:
            found += self._retire(records[-1].time)
        return found

    def flush(self) -> list[Moment]:
        """No record comes any more: the moments that were still open."""
        found = [m for strip in self._strips.values() for m in self._finish(strip)]
        self._strips, self._known, self._joiners = {}, {}, {}
        return found

    def since(self) -> datetime | None:
        """No moment that is still to come begins before this; None while no moment is open."""
        firsts = [strip.island[0] if strip.island else strip.seen for strip in self._strips.values()]
        return min((shot.time for shot in firsts if shot and shot.p >= self._floor), default=None)

    def _commit(self, strip: _Strip, shot: _Shot) -> list[Moment]:
        """A frame of which every record is known."""
        if shot.p >= self._floor:
            if not strip.island:
                strip.whole = strip.whole or strip.lows > BRIDGE
            strip.island.append(shot)
            strip.lows = 0
            return []
        strip.lows += 1
        if not strip.island:
            return []
        strip.island.append(shot)
        return self._close(strip, shot.time) if strip.lows > BRIDGE else []

    def _close(self, strip: _Strip, end: datetime) -> list[Moment]:
        """The moments of an island; the last frame of it stands until ``end``."""
        shots, strip.island = strip.island, []
        whole, strip.whole = strip.whole, True
        p = np.array([shot.p for shot in shots])
        if p.max(initial=0.0) < self._cutoff:
            return []
        if not whole:
            self.doubt = max(self.doubt or shots[-1].time, shots[-1].time)
            return []
        until = [shot.time for shot in shots[1:]] + [end]
        return [_moment(shots[a:b], until[b - 1]) for a, b in segments(p, self._cutoff)]

    def _finish(self, strip: _Strip) -> list[Moment]:
        """The moments of a chain that has no more frames."""
        seen, strip.seen = strip.seen, None
        if seen is None:
            return []
        found = self._commit(strip, seen)
        if strip.island:
            end = seen.time if strip.last.kind is Kind.PHOTO else max(strip.last.end, seen.time)
            found += self._close(strip, min(end, self._end) if self._end else end)
        return found

    def _retire(self, now: datetime) -> list[Moment]:
        """Let go of chains that ended a while ago."""
        over = [key for key, strip in self._strips.items() if _over(strip, now)]
        found = [m for key in over for m in self._finish(self._strips.pop(key))]
        if over:
            kept = {id(strip) for strip in self._strips.values()}
            self._known = {name: known for name, known in self._known.items() if id(known[1]) in kept}
        return found


def _over(strip: _Strip, now: datetime) -> bool:
    seen = strip.seen.time if strip.seen else strip.last.end
    return max(strip.last.end, seen) < now - 2 * REACH


def _moment(shots: Sequence[_Shot], end: datetime) -> Moment:
    best = max(shots, key=lambda shot: shot.p)
    media = best.media
    return Moment(media.camera, shots[0].time, end, best.p, best.time, best.region, media.id, media.clock)
