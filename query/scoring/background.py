"""Samples what cameras usually show and derives null distributions from it, with a cache."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from footage.indexer.store.base import Store, Where
from footage.query.scoring.calibration import NullDistribution
from footage.query.scoring.noun_bank import NounBank
from footage.stream.instants import DISTANT_PAST

SAMPLE_SIZE = 2048
"""Vectors of the same cameras in a sample."""
SAMPLE_CACHE_SECONDS = 60.0
"""Seconds for which a sample is cached."""
SETTLE_TIME = timedelta(minutes=1)
"""Records older than this are complete: none will be added among them, so the same sample can be drawn again."""
MIN_SETTLED = 256
"""With fewer complete records than this, newer ones are sampled too."""
MAX_CACHED = 32
"""Samples in the cache."""


@dataclass(frozen=True, slots=True)
class Background:
    """A null distribution of some cameras; ``before`` is the end of the time it was sampled from, None for no end."""

    null: NullDistribution
    before: datetime | None


class BackgroundCache:
    """Samples backgrounds and caches them for a minute, since sampling costs more than a search."""

    def __init__(self, store: Store, bank: NounBank) -> None:
        self._store, self._bank = store, bank
        self._cached: dict[tuple[str, ...], tuple[float, Background]] = {}
        empty = np.empty((0, bank.vectors.shape[1]), np.float32)
        self._floor = None if bank.floor is None else Background(NullDistribution(bank, empty), None)

    async def current(self, cameras: tuple[str, ...], images: bool) -> Background:
        """Return the background of these cameras; no cameras means all.

        Args:
            images: whether the question contains images; where words have a floor, only images need a background.
        """
        if self._floor and not images:
            return self._floor
        now = time.monotonic()
        cached = self._cached.get(cameras)
        if cached is None or now - cached[0] > SAMPLE_CACHE_SECONDS:
            recent = [*self._cached.items()][-MAX_CACHED:]
            self._cached = {key: entry for key, entry in recent if now - entry[0] <= SAMPLE_CACHE_SECONDS}
            self._cached[cameras] = cached = (now, await self._sample(cameras, datetime.now(UTC) - SETTLE_TIME))
        return cached[1]

    async def restore(self, cameras: tuple[str, ...], images: bool, before: datetime | None) -> Background:
        """Return the background of an earlier page, so that all pages of an answer are scored alike."""
        if self._floor and not images:
            return self._floor
        cached = self._cached.get(cameras)
        return cached[1] if cached and cached[1].before == before else await self._sample(cameras, before)

    async def _sample(self, cameras: tuple[str, ...], before: datetime | None) -> Background:
        where = Where(cameras)
        if before is not None:
            sample = await self._store.sample(SAMPLE_SIZE, Where(cameras, ((DISTANT_PAST, before),)))
            if len(sample) >= MIN_SETTLED or len(sample) == await self._store.count(where):
                return Background(await asyncio.to_thread(NullDistribution, self._bank, sample), before)
        sample = await self._store.sample(SAMPLE_SIZE, where)
        return Background(await asyncio.to_thread(NullDistribution, self._bank, sample), None)
