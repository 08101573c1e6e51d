"""Prepares a question: embeds its terms once, and makes its scorer and filter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from footage.indexer.embed.base import Embedder
from footage.indexer.store.base import CameraSummary, Catalog, Store, Vector, Where
from footage.query.scoring.background import Background, BackgroundCache
from footage.query.scoring.calibration import MatchScorer
from footage.query.scoring.embedding import GetFrame, QueryEmbedder, combine_terms
from footage.query.scoring.noun_bank import NounBank
from footage.query.search.coverage import scheduled_spans
from footage.query.search.cursor import Cursor
from footage.query.search.question import Question
from footage.stream.instants import DISTANT_PAST, MICROSECOND


@dataclass(frozen=True, slots=True)
class PreparedQuestion:
    """A question with everything that is derived from it once.

    Attributes:
        cursor: position of the requested page.
        direction: (dim,) unit vector for a nearest-neighbor search.
        has_unwanted: whether anything must not be there.
        scorer: gives vectors the probability of a match.
        where: the filter of the records that are searched.
        known: what is stored of each camera, as it was read for the first page.
    """

    question: Question
    cursor: Cursor
    direction: Vector
    has_unwanted: bool
    scorer: MatchScorer
    where: Where
    known: Sequence[CameraSummary] | None = None


class QuestionPreparer:
    """Prepares questions.

    Args:
        bank: vectors of everyday nouns in the embedder's space.
        get_frame: loads the image of a frame, for terms that ask for a part of it.
    """

    def __init__(self, embedder: Embedder, store: Store, catalog: Catalog, bank: NounBank, get_frame: GetFrame) -> None:
        self._catalog, self._bank = catalog, bank
        self._embedder = QueryEmbedder(embedder, store, get_frame)
        self._backgrounds = BackgroundCache(store, bank)

    async def prepare(self, question: Question) -> PreparedQuestion:
        """Prepare a question for the page that ``question.after`` names, or for the first one.

        Raises:
            BadCursor: ``question.after`` is not a cursor of this question.
            BadTerms, NotFound: a frame that is asked for is not in the index, or its footage is gone.
            EmbedderError, StoreError: a component failed.
        """
        known = None if question.after else await self._catalog.cameras()
        cursor, background = await (self._next_page(question) if known is None else self._first_page(question, known))
        query = combine_terms(await self._embedder.embed_terms(question.terms), background.null)
        scorer = MatchScorer(query, background.null, self._bank)
        where = await self._make_filter(question, cursor)
        return PreparedQuestion(question, cursor, query.direction, bool(query.unwanted), scorer, where, known)

    async def _first_page(self, question: Question, known: Sequence[CameraSummary]) -> tuple[Cursor, Background]:
        """Return the cursor of the first page; an open end is fixed to what is known now."""
        background = await self._backgrounds.current(question.cameras, question.has_images)
        ends = [c.end for c in known if c.end]
        end = question.end or max([datetime.now(UTC), *ends]) + MICROSECOND
        return Cursor.first_page(question.start or DISTANT_PAST, end, background.before), background

    async def _next_page(self, question: Question) -> tuple[Cursor, Background]:
        cursor = Cursor.decode(question.after, question.identity)
        before = cursor.background_before
        return cursor, await self._backgrounds.restore(question.cameras, question.has_images, before)

    async def _make_filter(self, question: Question, cursor: Cursor) -> Where:
        if not question.schedule:
            unlimited = not (question.after or question.start or question.end)  # unfiltered searches are the fastest
            return Where(question.cameras, () if unlimited else ((cursor.start, cursor.end),))
        spans = await scheduled_spans(self._catalog, question.cameras, question.schedule, cursor.start, cursor.end)
        return Where(question.cameras, tuple(spans) or ((DISTANT_PAST, DISTANT_PAST + MICROSECOND),))
