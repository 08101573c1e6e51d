"""Finds which moments of an answer have no picture, because a service was killed before their footage was written."""

from __future__ import annotations

from footage.indexer.store.base import NOT_WRITTEN, Catalog, CatalogEntry
from footage.query.search.question import Answer
from footage.query.values.moment import Moment
from footage.stream.frame import Kind
from footage.stream.recording.segment import is_unfinished


async def find_missing(catalog: Catalog, answer: Answer) -> dict[Moment, str]:
    """Return why moments have no picture, of those for which the catalog knows it."""
    moments = [*answer.moments, *(m for pair in answer.pairs for m in (pair.first, pair.then))]
    entries = await catalog.media(sorted({m.media for m in moments})) if moments else {}
    return {m: NOT_WRITTEN for m in moments if m.media in entries and _is_unwritten(m, entries[m.media])}


def _is_unwritten(moment: Moment, entry: CatalogEntry) -> bool:
    """Whether the best frame lies behind the end of what was written of its segment."""
    if entry.note == NOT_WRITTEN:
        return True
    media = entry.media
    return media.kind is Kind.SEGMENT and not is_unfinished(media) and moment.best >= media.end
