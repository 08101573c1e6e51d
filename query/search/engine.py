"""Answers questions: prepares each question once, searches, and post-processes what was found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import Catalog, Store
from footage.query.moments.reviews import ReviewLog
from footage.query.scoring.embedding import GetFrame
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.missing import find_missing
from footage.query.search.nearest import NearestSearch
from footage.query.search.postprocess import PostProcessor
from footage.query.search.prepare import QuestionPreparer
from footage.query.search.question import Answer, Question


class SearchEngine:
    """Answers questions from one index.

    Args:
        bank: vectors of everyday nouns in the embedder's space, to which every query is compared.
        get_frame: loads the image of a frame, for terms that ask for a part of it.
        find_damage: says what is wrong with the index; empty when nothing is.
        at_once: how many questions look for their moments at a time. Where this process computes, more of them are not
            faster, and keep the interpreter from what answers other requests.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        catalog: Catalog,
        bank: NounBank,
        get_frame: GetFrame,
        find_damage: Callable[[], Awaitable[str]] | None = None,
        at_once: int = 4,
    ) -> None:
        self._preparer = QuestionPreparer(embedder, store, catalog, bank, get_frame)
        self.reviews = ReviewLog(catalog)
        """Marks and exports; whoever writes them through this is read at once."""
        self._nearest = NearestSearch(store, catalog, self.reviews)
        self._postprocessor = PostProcessor(embedder, store, catalog)
        self._catalog, self._find_damage = catalog, find_damage
        self._turns = asyncio.Semaphore(at_once)

    async def search(self, question: Question) -> Answer:
        """Answer any question. Its terms are embedded once. From a damaged index no answer is complete.

        Raises:
            BadCursor: ``question.after`` is not a cursor of this question.
            BadTerms, NotFound: a frame that is asked for is not in the index, or its footage is gone.
            EmbedderError, StoreError: a component failed.
        """
        answer = await self._search(question)
        shown = [*answer.moments, *answer.near, *(m for pair in answer.pairs for m in (pair.first, pair.then))]
        reviews, missing = await asyncio.gather(self.reviews.of(shown), find_missing(self._catalog, answer))
        answer = replace(answer, missing=missing, reviews=reviews)
        damage = await self._find_damage() if self._find_damage else ""
        return replace(answer, complete=False, problem=damage) if damage else answer

    async def _search(self, question: Question) -> Answer:
        post = question.postprocessing
        if post.then:
            return await self._search_sequence(question)
        if post.only:
            prepared = await self._preparer.prepare(replace(question, after=""))
            answer = await self._postprocessor.scan(prepared)
        else:
            prepared = await self._preparer.prepare(question)
            async with self._turns:
                answer = await self._nearest.search(prepared)
        if post.fold:
            answer = await self._postprocessor.deduplicate(answer)
        if post.refine and answer.moments:
            answer = await self._postprocessor.refine(prepared, answer)
        return answer

    async def _search_sequence(self, question: Question) -> Answer:
        """Answer a question in which something must follow."""
        post = question.postprocessing
        first = replace(question, after="")
        then = replace(first, terms=post.then, cameras=post.then_cameras or question.cameras)
        return await self._postprocessor.find_sequence(
            await self._preparer.prepare(first), await self._preparer.prepare(then)
        )
