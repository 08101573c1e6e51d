"""Measures how busy this machine is with embedding, over the last minute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """How busy this machine is with embedding.

    Attributes:
        busy: share of the last minute in which something was being embedded, 0..1.
        sustained: how many cameras like the present ones it could serve; None while nothing was embedded.
        dropped: frames dropped in the last minute because the queue was full.
    """

    busy: float
    sustained: int | None
    dropped: int


class LoadMeter:
    """Computes the load over the last minute from periodic readings."""

    SPAN = 60.0

    def __init__(self) -> None:
        self._readings: list[tuple[float, float, int]] = []

    def add(self, at: float, embed_seconds: float, dropped: int) -> None:
        """Add a reading: monotonic time, seconds spent embedding so far, frames dropped so far."""
        self._readings.append((at, embed_seconds, dropped))
        while self._readings[0][0] < at - self.SPAN:
            del self._readings[0]

    def load(self, cameras: int) -> Load:
        """Return the load that ``cameras`` live cameras made."""
        if len(self._readings) < 2:
            return Load(0.0, None, 0)
        (t0, e0, d0), (t1, e1, d1) = self._readings[0], self._readings[-1]
        busy = min(1.0, (e1 - e0) / (t1 - t0))
        return Load(busy, int(cameras / busy) if busy > 0.001 else None, d1 - d0)
