"""A question to moments: embed it, find where to look, weigh what is there against the background."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Catalog, Coverage, Hit, Store, Vector, Where
from footage.query.moments.segmentation import CUTOFF, Grower
from footage.query.scoring.background import PAST, Background, Backgrounds
from footage.query.scoring.calibration import Judge
from footage.query.scoring.embedding import Asker, Show, aim, stored
from footage.query.scoring.noun_bank import Bank
from footage.query.search.cursor import Page, by_score, by_time
from footage.query.search.question import Answer, Question
from footage.query.values.ids import FrameId
from footage.query.values.moment import Moment

FIRST, MOST = 128, 8192
"""Hits asked for at first, and at most; four times as many each time one long moment took the places of others."""
NEAR = 3
"""Near misses offered when nothing matches."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Look:
    """One question on its way: where it looks and how it judges."""

    query: Vector
    judge: Judge
    where: Where
    grower: Grower
    avoids: bool


class Searcher:
    """Answers questions from one index.

    Args:
        bank: vectors of everyday nouns in the embedder's space, the contrast for every query.
        show: where pictures of frames come from, of which a part is asked for.
    """

    def __init__(self, embedder: Embedder, store: Store, catalog: Catalog, bank: Bank, show: Show) -> None:
        self.embedder, self.store, self.catalog, self._bank = embedder, store, catalog, bank
        self._asker = Asker(embedder, store, show)
        self._backgrounds = Backgrounds(store, bank)

    async def search(self, question: Question) -> Answer:
        """The moments that match, at most ``question.limit``.

        Raises:
            BadPage: ``question.after`` is not a place in this question's answer.
            BadTerms, Gone: a frame that is asked for is not in the index, or its footage is gone.
            EmbedderError, StoreError: when a part cannot do its work.
        """
        first = not question.after
        page, background = await (self._first(question) if first else self._on(question))
        look = await self._look(question, page, background)
        order = by_score if question.sort == "score" else by_time
        earlier: list[Moment] = []
        while True:
            hits = await self.store.nearest(look.query, page.k, look.where)
            moments = [m for m in await self._grow(look.grower, hits) if not _touched(m, hits[: page.base])]
            rest = sorted(moments, key=order)
            if page.after is not None:
                rest = [m for m in rest if order(m) > page.after]
            beyond = len(hits) == page.k and await self._more(look, moments, hits)
            more = beyond and page.k < MOST
            if not more or (question.sort == "score" and len(earlier) + len(rest) >= question.limit):
                break
            if page == replace(page, base=0, after=None):  # the first tier grows before anything of it is shown
                page = replace(page, k=4 * page.k)
            else:
                earlier += rest
                page = replace(page, base=page.k, k=4 * page.k, after=None)
        found = [*earlier, *rest]
        shown = found[: question.limit]
        following = ""
        if len(found) > len(shown) or more:
            last = order(shown[-1]) if len(shown) > len(earlier) else page.after
            following = replace(page, after=last).written(question.mark)
        near = await self._near(look, hits) if first and not shown else []
        return Answer(shown, near, await self.coverage(question), following, complete=more or not beyond)

    async def judged(self, question: Question) -> tuple[Judge, Where]:
        """How a question judges frames, and where: for who looks at all of them. Raises as ``search``."""
        look = await self._look(question, *await self._first(question))
        return look.judge, look.where

    async def _first(self, question: Question) -> tuple[Page, Background]:
        """The beginning of an answer: what is open in its time ends with what is known now."""
        background = await self._backgrounds.now(question.cameras, question.pictures)
        ends = [c.end for c in await self.catalog.cameras() if c.end]
        end = question.end or max([datetime.now(UTC), *ends]) + _TICK
        return Page(0, FIRST, None, question.start or PAST, end, background.before), background

    async def _on(self, question: Question) -> tuple[Page, Background]:
        page = Page.read(question.after, question.mark, MOST)
        return page, await self._backgrounds.again(question.cameras, question.pictures, page.before)

    async def _look(self, question: Question, page: Page, background: Background) -> _Look:
        parts = await self._asker.parts(question.terms)
        aimed = aim(parts, background.null)
        judge = Judge(aimed, background.null, self._bank)
        where = await self._where(question, page)
        grower = Grower(self.store, self.catalog, judge, where)
        return _Look(aimed.direction, judge, where, grower, bool(aimed.against))

    async def _where(self, question: Question, page: Page) -> Where:
        if not question.schedule:
            open_ended = not (question.after or question.start or question.end)  # unfiltered searches are the fastest
            return Where(question.cameras, () if open_ended else ((page.start, page.end),))
        start, end = await self._known(question, page.start, page.end)
        spans = question.schedule.spans(start, end) if start and end else []
        return Where(question.cameras, tuple(spans) or ((PAST, PAST + _TICK),))

    async def _grow(self, grower: Grower, hits: Sequence[Hit]) -> list[Moment]:
        times: dict[str, list[datetime]] = defaultdict(list)
        for hit in hits:
            times[hit.camera].append(hit.time)
        grown = await asyncio.gather(*(grower.grow(camera, at) for camera, at in times.items()))
        return [moment for moments in grown for moment in moments]

    async def _more(self, look: _Look, moments: Sequence[Moment], hits: Sequence[Hit]) -> bool:
        """Whether hits beyond the last one may match: it lies in a moment, or something unwanted alone keeps it out."""
        last = hits[-1]
        if any(m.camera == last.camera and m.start <= last.time <= m.end for m in moments):
            return True
        if not look.avoids:
            return False
        vector = await stored(self.store, FrameId(last.camera, last.time, last.region))
        return bool(look.judge.judge(vector[None])[0][0] >= CUTOFF)

    async def _near(self, look: _Look, hits: Sequence[Hit]) -> list[Moment]:
        """The best of what is below the cutoff, so that 'nothing found' can be judged by eye."""
        grower = Grower(self.store, self.catalog, look.judge, look.where, cutoff=0.0, farthest=timedelta())
        moments = await self._grow(grower, hits[: 4 * NEAR])
        return sorted(moments, key=by_score)[:NEAR]

    async def coverage(self, question: Question) -> list[Coverage]:
        """What of the asked time was watched."""
        start, end = await self._known(question, question.start, question.end)
        if start is None or end is None or start >= end:
            return []
        return await self.catalog.coverage(question.cameras, start, end)

    async def _known(
        self, question: Question, start: datetime | None, end: datetime | None
    ) -> tuple[datetime | None, datetime | None]:
        """The asked time, where it is open as far as anything is known."""
        if start in (None, PAST) or end is None:
            known = [c for c in await self.catalog.cameras() if not question.cameras or c.camera in question.cameras]
            first = min((c.start for c in known if c.start), default=None)
            last = max((c.end for c in known if c.end), default=None)
            start = first if start in (None, PAST) else start
            end = end or (last + _TICK if last else None)
        return start, end


def _touched(moment: Moment, hits: Sequence[Hit]) -> bool:
    """Whether one of the hits lies in the moment."""
    return any(h.camera == moment.camera and moment.start <= h.time <= moment.end for h in hits)
