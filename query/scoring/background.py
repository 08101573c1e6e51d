"""What cameras usually show, learnt from a sample of their records, and what chance comes to on it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from footage.indexer.store.base import Store, Where
from footage.query.scoring.calibration import Null
from footage.query.scoring.noun_bank import Bank

SAMPLE = 2048
"""Vectors of the same cameras that stand for what these cameras usually show."""
FRESH = 60.0
"""Seconds for which such a sample is kept."""
SETTLED = timedelta(minutes=1)
"""Records older than this are not joined by others, so that a sample of them can be drawn once more."""
ENOUGH = 256
"""With fewer settled records than this, those that are not settled are taken too."""
KEPT = 32
"""Samples kept."""
PAST = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Background:
    """What chance comes to on some cameras, and before when the records lie that it was learnt from; None is now."""

    null: Null
    before: datetime | None


class Backgrounds:
    """Learns backgrounds and keeps them for a minute, since that costs more than a search itself."""

    def __init__(self, store: Store, bank: Bank) -> None:
        self._store, self._bank = store, bank
        self._known: dict[tuple[str, ...], tuple[float, Background]] = {}
        nothing = np.empty((0, bank.vectors.shape[1]), np.float32)
        self._floor = None if bank.floor is None else Background(Null(bank, nothing), None)

    async def now(self, cameras: tuple[str, ...], pictures: bool) -> Background:
        """The background of these cameras; none means all.

        Args:
            pictures: whether the question holds any; where words have a floor, only pictures need a background.
        """
        if self._floor and not pictures:
            return self._floor
        at = time.monotonic()
        known = self._known.get(cameras)
        if known is None or at - known[0] > FRESH:
            self._known = {c: k for c, k in [*self._known.items()][-KEPT:] if at - k[0] <= FRESH}
            self._known[cameras] = known = (at, await self._learn(cameras, datetime.now(UTC) - SETTLED))
        return known[1]

    async def again(self, cameras: tuple[str, ...], pictures: bool, before: datetime | None) -> Background:
        """The background as it was learnt before, so that an answer is judged like its first page."""
        if self._floor and not pictures:
            return self._floor
        known = self._known.get(cameras)
        return known[1] if known and known[1].before == before else await self._learn(cameras, before)

    async def _learn(self, cameras: tuple[str, ...], before: datetime | None) -> Background:
        where = Where(cameras)
        if before is not None:
            sample = await self._store.sample(SAMPLE, Where(cameras, ((PAST, before),)))
            if len(sample) >= ENOUGH or len(sample) == await self._store.count(where):
                return Background(await asyncio.to_thread(Null, self._bank, sample), before)
        sample = await self._store.sample(SAMPLE, where)
        return Background(await asyncio.to_thread(Null, self._bank, sample), None)
