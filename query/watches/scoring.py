"""What the watches ask, against what their cameras usually show."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Record, Store, StoreError, Where
from footage.query.scoring.background import SAMPLE
from footage.query.scoring.calibration import Matcher, Null, together
from footage.query.scoring.embedding import Part, aim
from footage.query.scoring.expression import said
from footage.query.scoring.noun_bank import Bank
from footage.query.scoring.prompts import embedded
from footage.query.watches.watch import Watch, WatchError

log = logging.getLogger(__name__)

Cameras = tuple[str, ...]

REFRESH = 600.0
"""Seconds after which the cameras' background is sampled anew; earlier while it is small and grows."""
FEW = 16
"""So many frames come before a background that was learnt from fewer is sampled anew."""


class Scorer:
    """Scores frames for all watches, and keeps the backgrounds fresh, off the way of the frames.

    Args:
        bank: nouns in the embedder's space.
        refresh: seconds after which a background is sampled anew.
    """

    def __init__(self, embedder: Embedder, store: Store, bank: Bank, refresh: float = REFRESH) -> None:
        self._embedder, self._store, self._bank, self._refresh = embedder, store, bank, refresh
        self._texts: dict[str, tuple[Part, ...]] = {}
        self._queries: list[tuple[tuple[Part, ...], Cameras]] = []
        self._nulls: dict[Cameras, _Known] = {}
        self._matcher: Matcher | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def query(self, watch: Watch) -> tuple[Part, ...]:
        """What the watch asks: its picture, or its words, of which some may say what must not be there.

        Raises:
            EmbedderError: the model cannot be run or reached.
            WatchError: its picture was embedded by another model.
        """
        if watch.vector:
            if watch.space != self._embedder.space.name:
                raise WatchError(f"watch '{watch.name}': its picture was embedded by {watch.space}; add it anew")
            return (Part(1.0, watch.query(), picture=True),)
        if watch.text not in self._texts:
            terms = said(watch.text)
            rows = await embedded(self._embedder, [one.text for one in terms])
            self._texts[watch.text] = tuple(Part(t.weight, row) for t, row in zip(terms, rows, strict=True))
        return self._texts[watch.text]

    async def ask(self, watches: Sequence[Watch]) -> list[Watch]:
        """From now on score for these; returns those that can be scored, in the order of the scores' columns."""
        queries, able = [], []
        for watch in watches:
            try:
                queries.append((await self.query(watch), watch.cameras))
                able.append(watch)
            except WatchError as error:
                log.error("%s", error)
        wanted = {cameras for _, cameras in queries}
        await self._learn(wanted - self._nulls.keys())
        self._queries, self._nulls = queries, {c: k for c, k in self._nulls.items() if c in wanted}
        self._stack()
        return able

    async def score(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """Probability that each record matches each watch, (n, watches)."""
        if self._matcher is None:
            return np.empty((len(records), 0))
        judged = await asyncio.to_thread(self._matcher.judge, np.stack([r.vector for r in records]))
        return together(records, *judged)

    async def arrived(self, records: Sequence[Record]) -> None:
        """These are stored now: sample anew what is old or was learnt from few frames; at once where nothing was."""
        arrived = Counter(r.camera for r in records)
        for cameras, known in self._nulls.items():
            known.since += sum(n for camera, n in arrived.items() if not cameras or camera in cameras)
        if empty := {c for c, known in self._nulls.items() if not known.size and known.since}:
            await self._learn(empty)
            self._stack()
        now = asyncio.get_running_loop().time()
        due = {c for c, known in self._nulls.items() if known.due(now, self._refresh)}
        if due and (self._refreshing is None or self._refreshing.done()):
            self._refreshing = asyncio.create_task(self._again(due))

    def stop(self) -> None:
        """Stop sampling."""
        if self._refreshing:
            self._refreshing.cancel()

    async def _learn(self, wanted: set[Cameras]) -> None:
        for cameras in wanted:
            background = await self._store.sample(SAMPLE, Where(cameras))
            null = await asyncio.to_thread(Null, self._bank, background)
            self._nulls[cameras] = _Known(null, len(background), asyncio.get_running_loop().time())

    def _stack(self) -> None:
        aims = [(aim(parts, self._nulls[c].null), self._nulls[c].null) for parts, c in self._queries]
        self._matcher = Matcher(aims, self._bank) if aims else None

    async def _again(self, due: set[Cameras]) -> None:
        try:
            await self._learn(due)
            self._stack()
        except StoreError:
            log.exception("the cameras' background could not be sampled anew")


class _Known:
    """What chance comes to, how many frames it was learnt from, when, and how many have come since."""

    def __init__(self, null: Null, size: int, at: float) -> None:
        self.null, self.size, self.at, self.since = null, size, at, 0

    def due(self, now: float, refresh: float) -> bool:
        """Whether it is old, or has doubled while it was small."""
        small = self.size < SAMPLE and self.since >= max(self.size, FEW)
        return bool(self.since) and (small or now - self.at >= refresh)
