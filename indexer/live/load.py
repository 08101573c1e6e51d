"""Measures how busy this machine is with live cameras, over the last minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from footage.stream.processors import count_processors, processor_quota

HEADROOM = 0.8
"""Share of the embedder's time and of the processors up to which a machine keeps up; beyond, what waits grows."""


class Reading(NamedTuple):
    """What has been used so far, in seconds.

    Attributes:
        at: monotonic time.
        embed: in which something was being embedded.
        own: processor time of this process.
        others: processor time of all other processes on the same processors; 0 where the system does not tell.
        dropped: frames dropped.
    """

    at: float
    embed: float
    own: float
    others: float
    dropped: int


@dataclass(frozen=True, slots=True)
class Load:
    """How busy this machine is with live cameras.

    Attributes:
        busy: share of the last minute in which something was being embedded, 0..1.
        sustained: how many cameras like the present ones it could serve beside what else it does; None while nothing
            was embedded.
        dropped: frames dropped in the last minute because the queue was full.
    """

    busy: float
    sustained: int | None
    dropped: int


class LoadMeter:
    """Computes the load over the last minute from periodic readings."""

    SPAN = 60.0

    def __init__(self, processors: int | None = None, quota: float | None = None) -> None:
        """Args:
        processors: on which this process may run, beside others; default: what the system says.
        quota: processor time a second that it gets of them at most; default: what its container gives.
        """
        self._processors = processors or count_processors()
        self._quota = quota or processor_quota()
        self._readings: list[Reading] = []

    def add(self, reading: Reading) -> None:
        """Add a reading."""
        self._readings.append(reading)
        while self._readings[0].at < reading.at - self.SPAN:
            del self._readings[0]

    def load(self, cameras: int) -> Load:
        """Return the load that ``cameras`` live cameras made."""
        if len(self._readings) < 2:
            return Load(0.0, None, 0)
        first, last = self._readings[0], self._readings[-1]
        seconds = last.at - first.at
        busy = min(1.0, (last.embed - first.embed) / seconds)
        own, others = (last.own - first.own) / seconds, (last.others - first.others) / seconds
        room = max(0.0, min(HEADROOM * self._processors - others, HEADROOM * self._quota))  # for this process
        more = min(HEADROOM / busy, room / own if own > 0 else float("inf")) if busy > 0.001 else None
        return Load(busy, None if more is None else int(cameras * more), last.dropped - first.dropped)
