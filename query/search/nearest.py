"""Finds the best moments of a question around the records nearest to it, page by page."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import inf

from footage.indexer.store.base import Catalog, Hit, Store
from footage.query.moments.reviews import ReviewLog
from footage.query.moments.segmentation import MATCH_CUTOFF, Segmenter
from footage.query.scoring.embedding import load_vector
from footage.query.search import cursor as tiers
from footage.query.search.coverage import load_coverage
from footage.query.search.cursor import Cursor, SortKey, oldest_key, score_key, time_key
from footage.query.search.prepare import PreparedQuestion
from footage.query.search.question import Answer
from footage.query.values.ids import FrameId
from footage.query.values.moment import Moment

NEAR_MISSES = 3
"""Near misses offered when nothing matches."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """The moments from which a page is taken.

    Attributes:
        cursor: the tier that was searched last.
        hits: its hits.
        earlier: moments of the tiers before, in order.
        current: moments of this tier, in order.
        beyond: whether hits beyond the last one may match.
    """

    cursor: Cursor
    hits: Sequence[Hit]
    earlier: list[Moment]
    current: list[Moment]
    beyond: bool

    @property
    def more(self) -> bool:
        """Whether a further tier may find more."""
        return self.beyond and not self.cursor.is_last_tier


class NearestSearch:
    """Searches for the moments around the nearest records."""

    def __init__(self, store: Store, catalog: Catalog, reviews: ReviewLog) -> None:
        self._store, self._catalog, self._reviews = store, catalog, reviews

    async def search(self, prepared: PreparedQuestion) -> Answer:
        """Find the moments of one page, at most ``question.limit``.

        Raises:
            BadTerms: a hit was removed from the index meanwhile.
            StoreError: the store failed.
        """
        question = prepared.question
        order = {"score": score_key, "time": time_key, "oldest": oldest_key}[question.sort]
        segmenter = Segmenter(self._store, self._catalog, prepared.scorer, prepared.where)
        found = await self._collect(prepared, segmenter, order)
        moments = [*found.earlier, *found.current]
        shown = moments[: question.limit]
        following = ""
        if len(moments) > len(shown) or found.more:
            last = order(shown[-1]) if len(shown) > len(found.earlier) else found.cursor.after
            following = replace(found.cursor, after=last).encode(question.identity)
        near = [] if question.after or shown or question.mark else await _near_misses(segmenter, found.hits)
        coverage = await load_coverage(self._catalog, question, prepared.known)
        return Answer(shown, near, coverage, following, complete=found.more or not found.beyond)

    async def _collect(
        self, prepared: PreparedQuestion, segmenter: Segmenter, order: Callable[[Moment], SortKey]
    ) -> _Candidates:
        """Search tier after tier until there are enough moments for a page."""
        question, cursor = prepared.question, prepared.cursor
        nearest = _NearestHits(self._store, prepared)
        needs_all = question.limit > tiers.FIRST_HITS or question.sort != "score"
        if needs_all and (found := await self._search_from_last_tier(prepared, nearest, segmenter, order)):
            return found
        earlier: list[Moment] = []
        while True:
            found = await self._search_tier(prepared, cursor, nearest, segmenter, order, earlier)
            enough = question.sort == "score" and len(earlier) + len(found.current) >= question.limit
            if not found.more or enough:
                return found
            if not cursor.nothing_shown:
                earlier = earlier + found.current
            cursor = cursor.next_tier()

    async def _search_from_last_tier(
        self,
        prepared: PreparedQuestion,
        nearest: _NearestHits,
        segmenter: Segmenter,
        order: Callable[[Moment], SortKey],
    ) -> _Candidates | None:
        """Search the tier that leaves nothing, and by score those before it while they have enough moments for a page.

        What is found is what tier after tier would find, since no tier has more moments than the next. None where
        the cosine alone does not tell which tier is the last.
        """
        question, tried = prepared.question, []
        cursor, least = prepared.cursor, prepared.scorer.least_cosine
        if least is None or not cursor.nothing_shown:
            return None
        while not cursor.is_last_tier and len(hits := await nearest.first(cursor.k)) == cursor.k:
            if hits[-1].score < least:
                break
            if self._store.heeds_least:
                await nearest.first(tiers.MAX_HITS)
            tried.append(cursor)
            cursor = cursor.next_tier()
        found = await self._search_tier(prepared, cursor, nearest, segmenter, order, [])
        while tried and question.sort == "score" and len(found.current) >= question.limit:
            earlier = await self._search_tier(prepared, tried.pop(), nearest, segmenter, order, [])
            if len(earlier.current) < question.limit:
                break
            found = earlier
        return found

    async def _search_tier(
        self,
        prepared: PreparedQuestion,
        cursor: Cursor,
        nearest: _NearestHits,
        segmenter: Segmenter,
        order: Callable[[Moment], SortKey],
        earlier: list[Moment],
    ) -> _Candidates:
        hits = await nearest.first(cursor.k)
        seen = _HitTimes(hits[: cursor.seen])
        may_match = _may_match(hits, prepared.scorer.least_cosine)
        moments = [m for m in await segmenter.find_moments(_by_camera(may_match)) if not seen.in_moment(m)]
        current = sorted(await self._reviews.keep_only(moments, prepared.question.mark), key=order)
        if cursor.after is not None:
            current = [m for m in current if order(m) > cursor.after]
        beyond = len(hits) == cursor.k and await self._may_match_beyond(prepared, moments, hits[-1])
        return _Candidates(cursor, hits, earlier, current, beyond)

    async def _may_match_beyond(self, prepared: PreparedQuestion, moments: Sequence[Moment], last: Hit) -> bool:
        """Whether hits beyond the last may match: it may itself, so far as that can be known.

        Where it cannot: it lies in a moment, or only something unwanted excludes it.
        """
        if prepared.scorer.least_cosine is not None:
            return last.score >= prepared.scorer.least_cosine
        if any(m.camera == last.camera and m.start <= last.time <= m.end for m in moments):
            return True
        if not prepared.has_unwanted:
            return False
        vector = await load_vector(self._store, FrameId(last.camera, last.time, last.region))
        return bool(prepared.scorer.score_parts(vector[None])[0][0] >= MATCH_CUTOFF)


class _NearestHits:
    """The hits of a question. Beyond the first tier those that cannot match are left out, where the store does that."""

    def __init__(self, store: Store, prepared: PreparedQuestion) -> None:
        self._store, self._prepared = store, prepared
        self._hits: Sequence[Hit] = ()
        self._asked = 0

    async def first(self, k: int) -> Sequence[Hit]:
        """Return so many, or all that there are; more are read only where fewer were."""
        if k > self._asked:
            prepared, least = self._prepared, self._prepared.scorer.least_cosine
            useful = -inf if least is None or k <= tiers.FIRST_HITS else least
            self._hits = await self._store.nearest(prepared.direction, k, prepared.where, useful)
            self._asked = k
        return self._hits[:k]


async def _near_misses(segmenter: Segmenter, hits: Sequence[Hit]) -> list[Moment]:
    """Find the best moments below the cutoff, so that a user can judge 'nothing found' by eye."""
    lenient = segmenter.with_limits(cutoff=0.0, max_extension=timedelta())
    moments = await lenient.find_moments(_by_camera(hits[: 4 * NEAR_MISSES]))
    return sorted(moments, key=score_key)[:NEAR_MISSES]


def _may_match(hits: Sequence[Hit], least_cosine: float | None) -> Sequence[Hit]:
    """Return the hits that may match: none around the others needs to be read. They are in order of score."""
    if least_cosine is None or not hits or hits[-1].score >= least_cosine:
        return hits
    return hits[: bisect_right(hits, -least_cosine, key=lambda hit: -hit.score)]


def _by_camera(hits: Sequence[Hit]) -> dict[str, list[datetime]]:
    times: dict[str, list[datetime]] = defaultdict(list)
    for hit in hits:
        times[hit.camera].append(hit.time)
    return times


class _HitTimes:
    """Says which moments contain any of some hits."""

    def __init__(self, hits: Sequence[Hit]) -> None:
        self._times = {camera: sorted(times) for camera, times in _by_camera(hits).items()}

    def in_moment(self, moment: Moment) -> bool:
        """Whether one of the hits lies in the moment."""
        times = self._times.get(moment.camera, [])
        place = bisect_left(times, moment.start)
        return place < len(times) and times[place] <= moment.end
