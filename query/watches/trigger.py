"""When a watch fires: once a moment, not once a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from footage.indexer.store.base import Record
from footage.query.scoring.hysteresis import BRIDGE, EDGE
from footage.query.values.ids import MomentId
from footage.stream.frame import Region

GAP = timedelta(seconds=60)
"""A camera that was silent for longer than this shows a new moment when it comes back."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One frame: how probably it, or a region of it, matches."""

    time: datetime
    p: float
    region: Region | None


class Strip:
    """One camera's part of a batch, in order of time; records of one time (frame and regions) are one frame.

    Attributes:
        end: time of its last frame.
        tops: the best probability of each watch in it.
    """

    def __init__(self, camera: str, records: Sequence[Record], scores: NDArray[np.float64]) -> None:
        self.camera, self._records, self._scores = camera, records, scores
        self.end = records[-1].time
        self.tops: list[float] = scores.max(axis=0).tolist()

    def frames(self, column: int) -> Iterator[Scored]:
        """Its frames for one watch: the best record of each."""
        pairs = zip(self._records, self._scores[:, column].tolist(), strict=True)
        for time, group in groupby(pairs, key=lambda pair: pair[0].time):
            record, p = max(group, key=lambda pair: pair[1])
            yield Scored(time, p, record.region)


def strips(records: Sequence[Record], scores: NDArray[np.float64]) -> list[Strip]:
    """A batch by cameras.

    Args:
        scores: (records, watches) probabilities.
    """
    order = sorted(range(len(records)), key=lambda i: (records[i].camera, records[i].time))
    cut = []
    for camera, group in groupby(order, key=lambda i: records[i].camera):
        places = list(group)
        cut.append(Strip(camera, [records[i] for i in places], scores[places]))
    return cut


class Trigger(BaseModel):
    """One watch's state for one camera: a fold over the frames in order of time, and nothing but them.

    So a fold that went on from a stored state comes to what one that never stopped would have come to.
    A moment begins at the threshold; it ends when more than ``BRIDGE`` frames are below ``EDGE`` times the threshold
    (hysteresis). It fires once: when it begins, or when the cooldown is over if it still matches then.

    Attributes:
        last: time of the newest frame that was looked at; older ones are passed over.
        start: where the present moment began; None between moments.
        peak, best, region: its best frame so far; ``region`` is ``footage.stream.frame.Region.code``.
        missed: frames below the edge since the last above it.
        told: the present moment has fired.
        fired: time of the frame that fired last.
    """

    last: datetime | None = None
    start: datetime | None = None
    peak: float = 0.0
    best: datetime | None = None
    region: int = 0
    missed: int = 0
    told: bool = False
    fired: datetime | None = None

    def step(self, frame: Scored, threshold: float, cooldown: timedelta) -> bool:
        """Look at the next frame; whether it fires."""
        if self.last is not None and frame.time <= self.last:
            return False
        if self.last is not None and frame.time - self.last > GAP:
            self.start = None
        self.last = frame.time
        if self.start is None and frame.p < threshold:
            return False
        if self.start is None:
            self.start, self.peak, self.missed, self.told = frame.time, 0.0, 0, False
        self.missed = self.missed + 1 if frame.p < EDGE * threshold else 0
        if self.missed > BRIDGE:
            self.start = None
            return False
        if frame.p > self.peak:
            self.peak, self.best, self.region = frame.p, frame.time, frame.region.code if frame.region else 0
        resting = self.fired is not None and frame.time - self.fired < cooldown
        if self.told or resting or frame.p < threshold:
            return False
        self.told, self.fired = True, frame.time
        return True

    def skip(self, end: datetime, top: float, threshold: float) -> bool:
        """Pass over frames up to ``end`` at once, if none of them, with ``top`` the best, can change anything."""
        if self.start is not None or top >= threshold:
            return False
        self.last = max(self.last, end) if self.last else end
        return True

    def doubt(self, end: datetime, soon: datetime) -> None:
        """Forget what came from a clock that was ahead and is right now, or its frames would be passed over till then.

        Args:
            end: time of the newest frame, which is before ``last``.
            soon: later than any clock that is right.
        """
        if self.last is not None and self.last > soon and end < self.last - GAP:
            self.last = self.start = None
            self.fired = None if self.fired and self.fired > soon else self.fired

    def moment(self, camera: str) -> MomentId:
        """The present moment, as far as it is known."""
        assert self.start is not None
        assert self.best is not None
        assert self.last is not None
        return MomentId(camera, self.start, self.last, self.best, Region.of(self.region))
