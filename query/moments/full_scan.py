"""The first, the last and how many: moments found by looking at every record of a filter, not at the best ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.query.moments.segmentation import CUTOFF, REACH, Score
from footage.query.moments.streaming import Sweep
from footage.query.scoring.calibration import together
from footage.query.values.batches import batches
from footage.query.values.moment import Moment, Span, merge

AHEAD = 2
"""Batches that are scored at once, while the next is read."""
NEWEST, WIDER = timedelta(minutes=10), 4
"""The last moment is looked for in this much time at the end, then in four times as much, ..."""
_PAST, _FUTURE = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a census came to.

    Attributes:
        moments: in order of (start, camera); empty for a count.
        count: how many moments there are; for ``first`` and ``last`` 1, or 0 when there is none.
        looked: records that were looked at.
    """

    moments: list[Moment]
    count: int
    looked: int


@dataclass(frozen=True, slots=True)
class _Step:
    """What a batch of records brought: moments, and before what time no later one begins."""

    moments: list[Moment]
    since: datetime
    looked: int


class Census:
    """Looks at every record that a filter leaves, in order of time and in bounded memory.

    What it finds depends on no ``k``: these are the moments that all records together make. A moment does not cross
    from one of the filter's spans to the next.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store, self._catalog = store, catalog

    async def count(self, score: Score, where: Where = Where(), cutoff: float = CUTOFF) -> Finding:
        """How many moments there are.

        Raises:
            StoreError: the store cannot do its work; so for all of these.
        """
        count = looked = 0
        async for step in self._spans(score, where, cutoff):
            count, looked = count + len(step.moments), looked + step.looked
        return Finding([], count, looked)

    async def all(self, score: Score, where: Where = Where(), cutoff: float = CUTOFF) -> Finding:
        """Every moment."""
        found: list[Moment] = []
        looked = 0
        async for step in self._spans(score, where, cutoff):
            found, looked = found + step.moments, looked + step.looked
        return Finding(sorted(found, key=_order), len(found), looked)

    async def first(self, score: Score, where: Where = Where(), cutoff: float = CUTOFF) -> Finding:
        """The moment that begins first; stops as soon as it is known."""
        best: Moment | None = None
        looked = 0
        async with aclosing(self._spans(score, where, cutoff)) as steps:
            async for step in steps:
                looked += step.looked
                best = min([*([best] if best else []), *step.moments], key=_order, default=None)
                if best and best.start < step.since:
                    break
        return Finding([best] if best else [], int(best is not None), looked)

    async def last(self, score: Score, where: Where = Where(), cutoff: float = CUTOFF) -> Finding:
        """The moment that begins last, looked for from the end of the time in windows that widen."""
        looked = 0
        for span in reversed(_ordered(where)):
            found, seen = await self._latest(score, where, cutoff, span)
            looked += seen
            if found:
                return Finding([found], 1, looked)
        return Finding([], 0, looked)

    async def _latest(self, score: Score, where: Where, cutoff: float, span: Span) -> tuple[Moment | None, int]:
        held = [c for c in await self._catalog.cameras() if not where.cameras or c.camera in where.cameras]
        earliest = max(span[0], min((c.start for c in held if c.start), default=_PAST))
        newest = min(span[1], max((c.end for c in held if c.end), default=_PAST))
        width, looked = NEWEST, 0
        settled: datetime | None = None  # all that begins after this is known
        while True:
            inner = newest - earliest > width
            begin = newest - width if inner else span[0]
            sweep = Sweep(cutoff, begin if inner else None, span[1])
            found: list[Moment] = []
            async with aclosing(self._sweep(sweep, score, where, (begin, span[1]))) as steps:
                async for step in steps:
                    found, looked = found + step.moments, looked + step.looked
                    if settled and step.since > settled:
                        break
            best = max(found, key=_order, default=None)
            if not inner or (best and (sweep.doubt is None or best.start > sweep.doubt)):
                return best, looked
            settled, width = max(begin, sweep.doubt or begin), width * WIDER

    async def _spans(self, score: Score, where: Where, cutoff: float) -> AsyncGenerator[_Step, None]:
        for span in _ordered(where):
            async with aclosing(self._sweep(Sweep(cutoff, None, span[1]), score, where, span)) as steps:
                async for step in steps:
                    yield step

    async def _sweep(self, sweep: Sweep, score: Score, where: Where, span: Span) -> AsyncGenerator[_Step, None]:
        """Feed the records of one span to a sweep."""
        records = self._store.scan(Where(where.cameras, (span,), where.media))
        async with aclosing(scored(records, score)) as scoring:
            async for batch, p in scoring:
                await self._admit(sweep, where, batch)
                moments, now = sweep.feed(batch, p), batch[-1].time
                yield _Step(moments, min(sweep.since() or now, now), len(batch))
        yield _Step(sweep.flush(), span[1], 0)

    async def _admit(self, sweep: Sweep, where: Where, batch: Sequence[Record]) -> None:
        start, end = batch[0].time - REACH, batch[-1].time + REACH
        sweep.admit([e.media for e in await self._catalog.between(where.cameras, start, end)])
        if missing := sweep.unknown(r.media for r in batch):  # an unrecorded feed has no length to be found by
            entries = (await self._catalog.media(missing)).values()
            sweep.admit(sorted((e.media for e in entries), key=lambda m: (m.start, m.id)))


def judged(records: Sequence[Record], score: Score) -> NDArray[np.float64]:
    """Probability that each record matches, (n,)."""
    return together(records, *score.judge(np.stack([r.vector for r in records])))


async def scored(
    records: AsyncIterator[Record], score: Score
) -> AsyncGenerator[tuple[Sequence[Record], NDArray[np.float64]], None]:
    """Records in batches with their probabilities; while some are scored in threads, the next are read."""
    running: deque[tuple[Sequence[Record], asyncio.Task[NDArray[np.float64]]]] = deque()
    try:
        async for batch in batches(records):
            running.append((batch, asyncio.create_task(asyncio.to_thread(judged, batch, score))))
            if len(running) > AHEAD:
                done, task = running.popleft()
                yield done, await task
        while running:
            done, task = running.popleft()
            yield done, await task
    finally:
        for _, task in running:
            task.cancel()


def _ordered(where: Where) -> list[Span]:
    return merge(where.spans) or [(_PAST, _FUTURE)]


def _order(moment: Moment) -> tuple[datetime, str]:
    return moment.start, moment.camera
