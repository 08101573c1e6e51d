"""A question to moments: embed it, find where to look, weigh what is there against the background."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from indexer.embed.base import Embedder, Vectors
from indexer.store.base import Catalog, Coverage, Hit, Store, Where
from query.answers import Question
from query.match import Bank, Matcher
from query.moments import Grower, Moment

FIRST, MOST = 128, 4096
"""Hits asked for at first; four times as many each time one long moment took the places of others."""
BACKGROUND = 2048
"""Vectors of the same cameras that stand for what these cameras usually show."""
FRESH = 60.0
"""Seconds for which such a sample is kept."""
NEAR = 3
"""Near misses offered when nothing matches."""

_PAST, _FUTURE = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Answer:
    """Moments best first, what came nearest when there are none, and what of the asked time was watched."""

    moments: list[Moment]
    near: list[Moment]
    coverage: list[Coverage]


class Searcher:
    """Answers questions from one index.

    Args:
        bank: vectors of everyday nouns in the embedder's space, the contrast for every query.
    """

    def __init__(self, embedder: Embedder, store: Store, catalog: Catalog, bank: Bank) -> None:
        self._embedder, self._store, self._catalog, self._bank = embedder, store, catalog, bank
        self._samples: dict[tuple[str, ...], tuple[float, Vectors]] = {}

    async def search(self, question: Question) -> Answer:
        """The moments that match, at most ``question.limit``.

        Raises:
            EmbedderError, StoreError: when a part cannot do its work.
        """
        where = self._where(question)
        query = (await self._embedder.texts([question.text]))[0]
        background = await self._background(question.cameras)
        matcher = Matcher(query, self._bank, background)
        grower = Grower(self._store, self._catalog, matcher, where)
        k = FIRST
        while True:
            hits = await self._store.nearest(query, k, where)
            moments = await self._grow(grower, hits)
            if len(moments) >= question.limit or len(hits) < k or k >= MOST or not _more(moments, hits):
                break
            k *= 4
        near = [] if moments else await self._near(matcher, hits, where)
        ranked = sorted(moments, key=lambda m: (-m.score, m.start, m.camera))
        return Answer(ranked[: question.limit], near, await self._coverage(question))

    async def _background(self, cameras: tuple[str, ...]) -> Vectors:
        """What these cameras usually show; read anew once a minute, since that costs more than the search itself."""
        known, now = self._samples.get(cameras), time.monotonic()
        if known is None or now - known[0] > FRESH:
            self._samples = {c: s for c, s in self._samples.items() if now - s[0] <= FRESH}
            self._samples[cameras] = known = (now, await self._store.sample(BACKGROUND, Where(cameras)))
        return known[1]

    def _where(self, question: Question) -> Where:
        spans = ((question.start or _PAST, question.end or _FUTURE),) if question.start or question.end else ()
        return Where(question.cameras, spans)

    async def _grow(self, grower: Grower, hits: Sequence[Hit]) -> list[Moment]:
        times: dict[str, list[datetime]] = defaultdict(list)
        for hit in hits:
            times[hit.camera].append(hit.time)
        grown = await asyncio.gather(*(grower.grow(camera, at) for camera, at in times.items()))
        return [moment for moments in grown for moment in moments]

    async def _near(self, matcher: Matcher, hits: Sequence[Hit], where: Where) -> list[Moment]:
        """The best of what is below the cutoff, so that 'nothing found' can be judged by eye."""
        grower = Grower(self._store, self._catalog, matcher, where, cutoff=0.0, farthest=timedelta())
        moments = await self._grow(grower, hits[: 4 * NEAR])
        return sorted(moments, key=lambda m: -m.score)[:NEAR]

    async def _coverage(self, question: Question) -> list[Coverage]:
        start, end = question.start, question.end
        if start is None or end is None:
            known = [c for c in await self._catalog.cameras() if not question.cameras or c.camera in question.cameras]
            first = min((c.start for c in known if c.start), default=None)
            last = max((c.end for c in known if c.end), default=None)
            start, end = start or first, end or (last + timedelta(microseconds=1) if last else None)
        if start is None or end is None or start >= end:
            return []
        return await self._catalog.coverage(question.cameras, start, end)


def _more(moments: Sequence[Moment], hits: Sequence[Hit]) -> bool:
    """Whether hits beyond the last one may still match: it lies in a moment itself."""
    last = hits[-1]
    return any(m.camera == last.camera and m.start <= last.time <= m.end for m in moments)
