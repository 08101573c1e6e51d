"""What a question asks for beyond the best moments: the first, the last, how many, what follows, and sharper edges."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from footage.query.moments.deduplicate import Folder
from footage.query.moments.full_scan import Census
from footage.query.moments.refine import Refiner
from footage.query.moments.sequence import pairs, spaced
from footage.query.search.engine import Searcher
from footage.query.search.question import Answer, Question
from footage.query.values.moment import Moment


class Finisher:
    """Answers questions: searches, and does with the moments what ``Question.finish`` says.

    Questions that look at every record take turns, so that searches stay quick meanwhile.
    """

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self._census = Census(searcher.store, searcher.catalog)
        self._refiner = Refiner(searcher.embedder, searcher.store, searcher.catalog)
        self._folder: Folder | None = None
        self._turn = asyncio.Lock()

    async def answer(self, question: Question) -> Answer:
        """The answer. Raises as ``Searcher.search`` does."""
        finish = question.finish
        if finish.then:
            return await self._sequence(question)
        answer = await (self._counted(question) if finish.only else self._searcher.search(question))
        if finish.fold:
            answer = await self._folded(answer)
        if finish.refine and answer.moments:
            moments, refined = await self._refined(question, answer.moments)
            others = {new: answer.others.get(old, ()) for old, new in zip(answer.moments, moments, strict=True)}
            answer = replace(answer, moments=moments, refined=refined, others=others)
        return answer

    async def _counted(self, question: Question) -> Answer:
        """The first, the last, or how many: by looking at every record."""
        judge, where = await self._searcher.judged(question)
        ask = {"first": self._census.first, "last": self._census.last, "count": self._census.count}
        async with self._turn:
            found = await ask[question.finish.only](judge, where)
        coverage = await self._searcher.coverage(question)
        return Answer(found.moments, [], coverage, count=found.count, looked=found.looked)

    async def _folded(self, answer: Answer) -> Answer:
        if self._folder is None:
            self._folder = await Folder.of(self._searcher.store, self._searcher.embedder)
        folds = await self._folder.fold(answer.moments)
        return replace(answer, moments=[f.moment for f in folds], others={f.moment: f.others for f in folds})

    async def _refined(self, question: Question, moments: Sequence[Moment]) -> tuple[list[Moment], frozenset[Moment]]:
        judge, where = await self._searcher.judged(question)
        found = await self._refiner.refine(moments, judge, where.spans)
        return [r.moment for r in found], frozenset(r.moment for r in found if r.refined)

    async def _sequence(self, question: Question) -> Answer:
        """Pairs of all moments of both questions: the weak one before a strong one counts too."""
        finish = question.finish
        then = replace(question, terms=finish.then, cameras=finish.then_cameras or question.cameras)
        async with self._turn:
            firsts = await self._census.all(*await self._searcher.judged(question))
            thens = await self._census.all(*await self._searcher.judged(then))
        found = pairs(firsts.moments, thens.moments, finish.within, question.limit)
        refined: frozenset[Moment] = frozenset()
        if finish.refine and found:
            a, sure_a = await self._refined(question, [p.first for p in found])
            b, sure_b = await self._refined(then, [p.then for p in found])
            found = [spaced(x, y) for x, y in zip(a, b, strict=True)]
            refined = sure_a | sure_b
        coverage = await self._searcher.coverage(question)
        return Answer([], [], coverage, pairs=found, refined=refined, looked=firsts.looked + thens.looked)
