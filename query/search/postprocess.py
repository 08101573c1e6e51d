"""Post-processes answers: full scans, grouping of duplicates, refined boundaries, and pairs of two questions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Catalog, Store
from footage.query.moments.deduplicate import Deduplicator
from footage.query.moments.full_scan import FullScan
from footage.query.moments.sequence import Pair, find_pairs, make_pair
from footage.query.search.coverage import load_coverage
from footage.query.search.prepare import PreparedQuestion
from footage.query.search.question import Answer
from footage.query.values.moment import Moment


class PostProcessor:
    """Does what ``PostProcessing`` asks for, with questions whose terms are embedded already.

    Full scans run one at a time, so that searches stay fast meanwhile. All methods raise EmbedderError and StoreError
    when a component fails.
    """

    def __init__(self, embedder: Embedder, store: Store, catalog: Catalog) -> None:
        self._embedder, self._store, self._catalog = embedder, store, catalog
        self._full_scan = FullScan(store, catalog)
        self._deduplicator: Deduplicator | None = None
        self._scan_lock = asyncio.Lock()

    async def scan(self, prepared: PreparedQuestion) -> Answer:
        """Find the first, the last, or the number of moments, by scoring every record."""
        question = prepared.question
        scans = {"first": self._full_scan.first, "last": self._full_scan.last, "count": self._full_scan.count}
        async with self._scan_lock:
            found = await scans[question.postprocessing.only](prepared.scorer, prepared.where)
        coverage = await load_coverage(self._catalog, question)
        return Answer(found.moments, [], coverage, count=found.count, looked=found.looked)

    async def deduplicate(self, answer: Answer) -> Answer:
        """Group moments that look alike."""
        if self._deduplicator is None:
            self._deduplicator = await Deduplicator.calibrate(self._store, self._embedder)
        groups = await self._deduplicator.deduplicate(answer.moments)
        return replace(answer, moments=[g.moment for g in groups], others={g.moment: g.others for g in groups})

    async def refine(self, prepared: PreparedQuestion, answer: Answer) -> Answer:
        """Refine the boundaries of an answer's moments."""
        moments, refined = await self._refine(prepared, answer.moments)
        others = {new: answer.others.get(old, ()) for old, new in zip(answer.moments, moments, strict=True)}
        return replace(answer, moments=moments, refined=refined, others=others)

    async def find_sequence(self, first: PreparedQuestion, then: PreparedQuestion) -> Answer:
        """Find pairs among all moments of both questions: a weak moment before a strong one counts too."""
        question = first.question
        async with self._scan_lock:
            if then.question.cameras == question.cameras:  # and all other filters are the same: read once
                firsts, thens = await self._full_scan.all([first.scorer, then.scorer], first.where)
            else:
                (firsts,) = await self._full_scan.all([first.scorer], first.where)
                (thens,) = await self._full_scan.all([then.scorer], then.where)
        pairs = find_pairs(firsts.moments, thens.moments, question.postprocessing.within, question.limit)
        refined: frozenset[Moment] = frozenset()
        if question.postprocessing.refine and pairs:
            pairs, refined = await self._refine_pairs(first, then, pairs)
        coverage = await load_coverage(self._catalog, question)
        return Answer([], [], coverage, pairs=pairs, refined=refined, looked=firsts.looked + thens.looked)

    async def _refine_pairs(
        self, first: PreparedQuestion, then: PreparedQuestion, pairs: Sequence[Pair]
    ) -> tuple[list[Pair], frozenset[Moment]]:
        firsts, refined_firsts = await self._refine(first, [p.first for p in pairs])
        thens, refined_thens = await self._refine(then, [p.then for p in pairs])
        return [make_pair(a, b) for a, b in zip(firsts, thens, strict=True)], refined_firsts | refined_thens

    async def _refine(
        self, prepared: PreparedQuestion, moments: Sequence[Moment]
    ) -> tuple[list[Moment], frozenset[Moment]]:
        from footage.query.moments.refine import BoundaryRefiner  # loads PyAV, which other questions do not need

        refiner = BoundaryRefiner(self._embedder, self._store, self._catalog)
        found = await refiner.refine(moments, prepared.scorer, prepared.where.spans)
        return [r.moment for r in found], frozenset(r.moment for r in found if r.refined)
