"""Finds the time span of a question and which parts of it were watched."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from footage.indexer.store.base import CameraSummary, Catalog, Coverage
from footage.indexer.store.lost_vectors import shown_coverage
from footage.query.search.question import Question
from footage.query.values.schedule import Schedule
from footage.stream.instants import DISTANT_PAST, MICROSECOND


async def load_coverage(
    catalog: Catalog, question: Question, known: Sequence[CameraSummary] | None = None
) -> list[Coverage]:
    """Read which parts of the requested time range were watched, and are not lost.

    Args:
        known: what the catalog says of its cameras, where that was read before.
    """
    start, end = await known_span(catalog, question.cameras, question.start, question.end, known)
    if start is None or end is None or start >= end:
        return []
    return await shown_coverage(catalog, question.cameras, start, end)


async def known_span(
    catalog: Catalog,
    cameras: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    known: Sequence[CameraSummary] | None = None,
) -> tuple[datetime | None, datetime | None]:
    """Return the requested time range; an open end is that of the cameras' footage; None without any footage."""
    if start in (None, DISTANT_PAST) or end is None:
        every = await catalog.cameras() if known is None else known
        known = [c for c in every if not cameras or c.camera in cameras]
        first = min((c.start for c in known if c.start), default=None)
        last = max((c.end for c in known if c.end), default=None)
        start = first if start in (None, DISTANT_PAST) else start
        end = end or (last + MICROSECOND if last else None)
    return start, end


async def scheduled_spans(
    catalog: Catalog, cameras: tuple[str, ...], schedule: Schedule, start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    """Return what a schedule allows of the requested time, as far as there is footage: nobody counts 10,000 years."""
    known = [c for c in await catalog.cameras() if not cameras or c.camera in cameras]
    first = min((c.start for c in known if c.start), default=None)
    if first is None:
        return []
    last = max([datetime.now(UTC), *(c.end for c in known if c.end)]) + MICROSECOND  # a live camera's end may be newer
    start, end = max(start, first), min(end, last)
    return schedule.spans(start, end) if start < end else []
