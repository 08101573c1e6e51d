"""Finds the first, the last, or all moments by scoring every record of a filter, not only the nearest ones."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Vectors
from footage.indexer.store.base import Catalog, Record, Scores, Store, Where
from footage.indexer.store.row_arrays import RowArrays
from footage.query.moments.segmentation import MATCH_CUTOFF, NEIGHBORHOOD
from footage.query.moments.streaming import StreamingSegmenter
from footage.query.scoring.calibration import PartScorer, apply_exclusions, exclude_rows
from footage.query.values.moment import Moment, TimeSpan
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, from_micros
from footage.stream.spans import merge

SCORED_ROWS = 4_096
"""Records that are scored at once."""
LAST_WINDOW, WINDOW_GROWTH = timedelta(minutes=10), 4
"""Length of the first window, at the end, that is scanned for the last moment, and the growth of later windows."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """The result of a full scan.

    Attributes:
        moments: in order of (start, camera); empty for a count.
        count: number of moments; for ``first`` and ``last`` 1, or 0 when there is none.
        looked: number of records scored.
    """

    moments: list[Moment]
    count: int
    looked: int


@dataclass(frozen=True, slots=True)
class _Step:
    """What one batch of records added: moments, and a time before which no later moment begins."""

    moments: list[Moment]
    since: datetime
    looked: int


class FullScan:
    """Scores every record that a filter leaves, in order of time and in bounded memory.

    The result does not depend on a ``k``: it is the moments that all records together make. A moment does not cross
    from one of the filter's spans to the next.
    """

    def __init__(self, store: Store, catalog: Catalog) -> None:
        self._store, self._catalog = store, catalog

    async def count(self, scorer: PartScorer, where: Where = Where(), cutoff: float = MATCH_CUTOFF) -> ScanResult:
        """Count the moments.

        Raises:
            StoreError: the store failed; so for all methods.
        """
        count = looked = 0
        async for step in self._scan(scorer, where, cutoff):
            count, looked = count + len(step.moments), looked + step.looked
        return ScanResult([], count, looked)

    async def all(
        self, scorers: Sequence[PartScorer], where: Where = Where(), cutoff: float = MATCH_CUTOFF
    ) -> list[ScanResult]:
        """Find every moment of each of several queries; the records are read once."""
        found: list[list[Moment]] = [[] for _ in scorers]
        looked = 0
        for span in _merged_spans(where):
            segmenters = [StreamingSegmenter(cutoff, None, span[1]) for _ in scorers]
            async with aclosing(self._scored(scorers, where, span)) as scoring:
                async for batch, scores in scoring:
                    looked += len(batch)
                    await self._add_media(segmenters, where, batch)
                    for moments, segmenter, p in zip(found, segmenters, scores, strict=True):
                        moments += segmenter.feed(batch, p)
            for moments, segmenter in zip(found, segmenters, strict=True):
                moments += segmenter.flush()
        return [ScanResult(sorted(moments, key=_start_order), len(moments), looked) for moments in found]

    async def first(self, scorer: PartScorer, where: Where = Where(), cutoff: float = MATCH_CUTOFF) -> ScanResult:
        """Find the moment that begins first; stop as soon as it is certain."""
        best: Moment | None = None
        looked = 0
        async with aclosing(self._scan(scorer, where, cutoff)) as steps:
            async for step in steps:
                looked += step.looked
                best = min([*([best] if best else []), *step.moments], key=_start_order, default=None)
                if best and best.start < step.since:
                    break
        return ScanResult([best] if best else [], int(best is not None), looked)

    async def last(self, scorer: PartScorer, where: Where = Where(), cutoff: float = MATCH_CUTOFF) -> ScanResult:
        """Find the moment that begins last, from the end of the time backwards in widening windows."""
        looked = 0
        for span in reversed(_merged_spans(where)):
            found, seen = await self._last_in_span(scorer, where, cutoff, span)
            looked += seen
            if found:
                return ScanResult([found], 1, looked)
        return ScanResult([], 0, looked)

    async def _last_in_span(
        self, scorer: PartScorer, where: Where, cutoff: float, span: TimeSpan
    ) -> tuple[Moment | None, int]:
        known = [c for c in await self._catalog.cameras() if not where.cameras or c.camera in where.cameras]
        earliest = max(span[0], min((c.start for c in known if c.start), default=DISTANT_PAST))
        newest = min(span[1], max((c.end for c in known if c.end), default=DISTANT_PAST))
        width, looked = LAST_WINDOW, 0
        certain_after: datetime | None = None  # every moment that begins after this is known
        while True:
            partial = newest - earliest > width
            begin = newest - width if partial else span[0]
            segmenter = StreamingSegmenter(cutoff, begin if partial else None, span[1])
            found: list[Moment] = []
            async with aclosing(self._scan_span(segmenter, scorer, where, (begin, span[1]))) as steps:
                async for step in steps:
                    found, looked = found + step.moments, looked + step.looked
                    if certain_after and step.since > certain_after:
                        break
            best = max(found, key=_start_order, default=None)
            uncertain_until = segmenter.uncertain_until
            if not partial or (best and (uncertain_until is None or best.start > uncertain_until)):
                return best, looked
            certain_after, width = max(begin, uncertain_until or begin), width * WINDOW_GROWTH

    async def _scan(self, scorer: PartScorer, where: Where, cutoff: float) -> AsyncGenerator[_Step, None]:
        for span in _merged_spans(where):
            segmenter = StreamingSegmenter(cutoff, None, span[1])
            async with aclosing(self._scan_span(segmenter, scorer, where, span)) as steps:
                async for step in steps:
                    yield step

    async def _scan_span(
        self, segmenter: StreamingSegmenter, scorer: PartScorer, where: Where, span: TimeSpan
    ) -> AsyncGenerator[_Step, None]:
        """Feed the records of one span to a segmenter."""
        async with aclosing(self._scored([scorer], where, span)) as scoring:
            async for batch, (p,) in scoring:
                await self._add_media([segmenter], where, batch)
                last = from_micros(int(batch.time[-1]))
                moments = segmenter.feed(batch, p)
                yield _Step(moments, min(segmenter.earliest_open() or last, last), len(batch))
        yield _Step(segmenter.flush(), span[1], 0)

    async def _scored(
        self, scorers: Sequence[PartScorer], where: Where, span: TimeSpan
    ) -> AsyncGenerator[tuple[RowArrays, list[NDArray[np.float64]]], None]:
        """The records of one span by batches, with their probabilities for each scorer."""

        def score(vectors: Vectors) -> Scores:
            return np.stack([part for scorer in scorers for part in scorer.score_parts(vectors)], axis=1)

        found = self._store.scores(Where(where.cameras, (span,), where.media), SCORED_ROWS, score)
        async with aclosing(found) as batches:
            async for rows, parts in batches:
                columns = np.ascontiguousarray(parts.T)
                pairs = zip(columns[::2], columns[1::2], strict=True)
                yield rows, [exclude_rows(rows, wanted, clear) for wanted, clear in pairs]

    async def _add_media(self, segmenters: Sequence[StreamingSegmenter], where: Where, batch: RowArrays) -> None:
        start, end = (from_micros(int(batch.time[i])) for i in (0, -1))
        entries = await self._catalog.media_between(where.cameras, start - NEIGHBORHOOD, end + NEIGHBORHOOD)
        used = [batch.medias[i] for i in np.unique(batch.media).tolist()]
        for segmenter in segmenters:
            segmenter.add_media([e.media for e in entries])
            if missing := segmenter.unknown_media(used):  # an unrecorded feed has no length to find it by
                more = (await self._catalog.media(missing)).values()
                segmenter.add_media(sorted((e.media for e in more), key=lambda m: (m.start, m.id)))


def score_records(records: Sequence[Record], scorer: PartScorer) -> NDArray[np.float64]:
    """Return the probability that each record matches, (n,)."""
    return apply_exclusions(records, *scorer.score_parts(np.stack([r.vector for r in records])))


def _merged_spans(where: Where) -> list[TimeSpan]:
    return merge(where.spans) or [(DISTANT_PAST, DISTANT_FUTURE)]


def _start_order(moment: Moment) -> tuple[datetime, str]:
    return moment.start, moment.camera
