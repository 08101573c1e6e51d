"""Decides when a watch fires on one camera: once per moment, not once per frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from footage.indexer.store.base import Record
from footage.query.scoring.hysteresis import count_misses, edge_level, is_past_edge
from footage.query.values.ids import MomentId
from footage.stream.frame import Region

MAX_SILENCE = timedelta(seconds=60)
"""When a camera sends no frame for longer than this, its moment ends."""


@dataclass(frozen=True, slots=True)
class ScoredFrame:
    """One frame: the probability that it, or a region of it, matches."""

    time: datetime
    p: float
    region: Region | None


class CameraBatch:
    """One camera's part of a batch, in order of time; records of one time (frame and regions) are one frame.

    Attributes:
        end: time of its last frame.
        max_scores: the highest probability in it, for each watch.
    """

    def __init__(self, camera: str, records: Sequence[Record], scores: NDArray[np.float64]) -> None:
        self.camera, self._records, self._scores = camera, records, scores
        self.end = records[-1].time
        self.max_scores: list[float] = scores.max(axis=0).tolist()

    def frames(self, column: int) -> Iterator[ScoredFrame]:
        """Yields the frames for one watch, each with its best record's score and region."""
        pairs = zip(self._records, self._scores[:, column].tolist(), strict=True)
        for time, group in groupby(pairs, key=lambda pair: pair[0].time):
            record, p = max(group, key=lambda pair: pair[1])
            yield ScoredFrame(time, p, record.region)


def split_by_camera(records: Sequence[Record], scores: NDArray[np.float64]) -> list[CameraBatch]:
    """Splits a batch of records by camera.

    Args:
        scores: (records, watches) probabilities.
    """
    order = sorted(range(len(records)), key=lambda i: (records[i].camera, records[i].time))
    batches = []
    for camera, group in groupby(order, key=lambda i: records[i].camera):
        rows = list(group)
        batches.append(CameraBatch(camera, [records[i] for i in rows], scores[rows]))
    return batches


class Trigger(BaseModel):
    """One watch's state for one camera: depends on nothing but the frames so far, in order of time.

    So a trigger that is restored from the catalog goes on as if it had never stopped. The catalog stores these fields.

    A moment begins at the threshold; it ends when more than ``hysteresis.MAX_DIP`` frames are below the edge level
    (hysteresis). It fires once: when it begins, or, if the cooldown is not over then, at the first match after it.

    Attributes:
        last: time of the newest frame that was evaluated; older ones are ignored.
        start: start of the current moment; None between moments.
        peak, best, region: score, time and region of its best frame so far; ``region`` is
            ``footage.stream.frame.Region.code``.
        missed: frames below the edge level since the last one above it.
        told: whether the current moment has fired; stored under this name.
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

    def step(self, frame: ScoredFrame, threshold: float, cooldown: timedelta) -> bool:
        """Evaluates the next frame; returns whether the watch fires."""
        if self.last is not None and frame.time <= self.last:
            return False
        if self.last is not None and frame.time - self.last > MAX_SILENCE:
            self.start = None
        self.last = frame.time
        if self.start is None and frame.p < threshold:
            return False
        if self.start is None:
            self.start, self.peak, self.missed, self.told = frame.time, 0.0, 0, False
        self.missed = count_misses(self.missed, frame.p, edge_level(threshold))
        if is_past_edge(self.missed):
            self.start = None
            return False
        if frame.p > self.peak:
            self.peak, self.best, self.region = frame.p, frame.time, frame.region.code if frame.region else 0
        cooling_down = self.fired is not None and frame.time - self.fired < cooldown
        if self.told or cooling_down or frame.p < threshold:
            return False
        self.told, self.fired = True, frame.time
        return True

    def skip(self, end: datetime, max_score: float, threshold: float) -> bool:
        """Skips all frames up to ``end`` if none of them can change anything; returns whether it did."""
        if self.start is not None or max_score >= threshold:
            return False
        self.last = max(self.last, end) if self.last else end
        return True

    def reset_future_times(self, end: datetime, latest: datetime) -> None:
        """Forgets times of a camera's clock that was ahead; else the frames after its correction would be ignored.

        Args:
            end: time of the newest frame, which is before ``last``.
            latest: later than any correct clock.
        """
        if self.last is not None and self.last > latest and end < self.last - MAX_SILENCE:
            self.last = self.start = None
            self.fired = None if self.fired and self.fired > latest else self.fired

    def moment(self, camera: str) -> MomentId:
        """Returns the current moment, as far as it is known."""
        assert self.start is not None
        assert self.best is not None
        assert self.last is not None
        return MomentId(camera, self.start, self.last, self.best, Region.of(self.region))
