"""Scores new records against the queries of all watches, calibrated on what their cameras usually show."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Record, Store, Where
from footage.indexer.store.errors import StoreError
from footage.indexer.supervisor import Stage, Supervisor
from footage.query.scoring.background import SAMPLE_SIZE
from footage.query.scoring.calibration import MultiQueryScorer, NullDistribution, apply_exclusions
from footage.query.scoring.embedding import TermEmbedding, combine_terms
from footage.query.scoring.expression import parse_query
from footage.query.scoring.noun_bank import NounBank
from footage.query.scoring.prompts import embed_phrases
from footage.query.watches.watch import Watch, WatchError

log = logging.getLogger(__name__)

CameraNames = tuple[str, ...]
"""Names of cameras; empty means all."""

REFRESH = 600.0
"""Seconds after which the cameras' background is sampled again; earlier while it is small and grows."""
MIN_NEW_FRAMES = 16
"""Frames that must arrive before a background of fewer frames is sampled again."""


class WatchScorer:
    """Scores records for all watches, and refreshes the backgrounds in a stage of its own.

    Args:
        bank: nouns in the embedder's space.
        refresh: seconds after which a background is sampled again.
        supervisor: runs that stage; without one, ``count_new`` waits for the sample.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        bank: NounBank,
        refresh: float = REFRESH,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._embedder, self._store, self._bank, self._refresh = embedder, store, bank, refresh
        self._supervisor = supervisor
        self._embedded: dict[str, tuple[TermEmbedding, ...]] = {}
        self._queries: list[tuple[tuple[TermEmbedding, ...], CameraNames]] = []
        self._backgrounds: dict[CameraNames, _SampledBackground] = {}
        self._scorer: MultiQueryScorer | None = None
        self._refreshing: Stage | None = None

    async def embed_query(self, watch: Watch) -> tuple[TermEmbedding, ...]:
        """Returns the embedding of the watch's picture, or of its terms, some of which may be exclusions.

        Raises:
            EmbedderError: the model cannot be run or reached.
            WatchError: its picture was embedded by another model.
        """
        if watch.vector:
            if watch.space != self._embedder.space.name:
                raise WatchError(f"watch '{watch.name}': its picture was embedded by {watch.space}; add it again")
            return (TermEmbedding(1.0, watch.decode_vector(), is_image=True),)
        if watch.text not in self._embedded:
            terms = parse_query(watch.text)
            rows = await embed_phrases(self._embedder, [term.text for term in terms])
            self._embedded[watch.text] = tuple(TermEmbedding(t.weight, row) for t, row in zip(terms, rows, strict=True))
        return self._embedded[watch.text]

    async def set_watches(self, watches: Sequence[Watch]) -> list[Watch]:
        """Sets the watches to score from now on; returns the scorable ones, in order of the scores' columns."""
        queries, scored = [], []
        for watch in watches:
            try:
                queries.append((await self.embed_query(watch), watch.cameras))
                scored.append(watch)
            except WatchError as error:
                log.error("%s", error)
        wanted = {cameras for _, cameras in queries}
        await self._sample(wanted - self._backgrounds.keys())
        self._queries = queries
        self._backgrounds = {c: known for c, known in self._backgrounds.items() if c in wanted}
        self._build_scorer()
        return scored

    async def score(self, records: Sequence[Record]) -> NDArray[np.float64]:
        """Returns the probability that each record matches each watch, (n, watches)."""
        if self._scorer is None:
            return np.empty((len(records), 0))
        parts = await asyncio.to_thread(self._scorer.score_parts, np.stack([r.vector for r in records]))
        return apply_exclusions(records, *parts)

    async def count_new(self, records: Sequence[Record]) -> None:
        """Counts records that are stored now, and samples backgrounds again where that is due.

        Waits for the sample of cameras that had no background at all; the others are sampled in a stage.
        """
        new = Counter(r.camera for r in records)
        for cameras, known in self._backgrounds.items():
            known.new_frames += sum(n for camera, n in new.items() if not cameras or camera in cameras)
        if empty := {c for c, known in self._backgrounds.items() if not known.size and known.new_frames}:
            await self._sample(empty)
            self._build_scorer()
        now = asyncio.get_running_loop().time()
        due = {c for c, known in self._backgrounds.items() if known.is_due(now, self._refresh)}
        if due and self._supervisor is None:
            await self._sample_again(due)
        elif due and self._supervisor and (self._refreshing is None or self._refreshing.task.done()):
            self._refreshing = self._supervisor.start("background", partial(self._sample_again, due))

    async def stop(self) -> None:
        """Stops sampling backgrounds."""
        if self._refreshing:
            await self._refreshing.cancel()

    async def _sample(self, wanted: set[CameraNames]) -> None:
        for cameras in wanted:
            background = await self._store.sample(SAMPLE_SIZE, Where(cameras))
            null = await asyncio.to_thread(NullDistribution, self._bank, background)
            now = asyncio.get_running_loop().time()
            self._backgrounds[cameras] = _SampledBackground(null, len(background), now)

    def _build_scorer(self) -> None:
        nulls = [(parts, self._backgrounds[cameras].null) for parts, cameras in self._queries]
        queries = [(combine_terms(parts, null), null) for parts, null in nulls]
        self._scorer = MultiQueryScorer(queries, self._bank) if queries else None

    async def _sample_again(self, due: set[CameraNames]) -> None:
        try:
            await self._sample(due)
            self._build_scorer()
        except StoreError:
            log.exception("the cameras' background could not be sampled again")


class _SampledBackground:
    """The null distribution of some cameras, with its sample's size and time, and the frames that arrived since."""

    def __init__(self, null: NullDistribution, size: int, sampled_at: float) -> None:
        self.null, self.size, self.sampled_at, self.new_frames = null, size, sampled_at, 0

    def is_due(self, now: float, refresh: float) -> bool:
        """Tells whether it is old, or has doubled while it was small."""
        small = self.size < SAMPLE_SIZE and self.new_frames >= max(self.size, MIN_NEW_FRAMES)
        return bool(self.new_frames) and (small or now - self.sampled_at >= refresh)
