"""Refines the boundaries of moments: decodes the footage around them densely, and scores the frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.pipeline.pipeline import CROP_SOURCE_SIDE, crop
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.query.moments.boundaries import (
    BoundaryBracket,
    FrameScore,
    Refinement,
    bracket_end,
    bracket_start,
    span_around_best,
)
from footage.query.moments.dense_decode import decode_frames
from footage.query.moments.full_scan import score_records
from footage.query.moments.segmentation import MAX_EXTENSION, NEIGHBORHOOD
from footage.query.scoring.calibration import PartScorer
from footage.query.values.moment import Moment, TimeSpan
from footage.query.values.timeline import find_chain
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Frame, Image, Kind, Media, Region
from footage.stream.instants import MICROSECOND
from footage.stream.spans import merge

FRAMES_PER_SPAN = 8
"""Frames decoded in one bracket of a boundary; afterwards the boundary lies between two of them."""
MIN_INTERVAL = 0.05
"""Fewest seconds between decoded frames."""
MAX_ROUNDS = 4
"""Number of times a boundary is narrowed at most."""
MAX_FRAMES = 64
"""Frames decoded for one moment at most."""
MAX_SECONDS = 20.0
"""Seconds that all moments of an answer may take."""


@dataclass(frozen=True, slots=True)
class RefinedMoment:
    """A moment, and whether both its boundaries are as sharp as the footage allows (0.2 s).

    If not, they are as sharp as time allowed; where the footage is gone or damaged the moment is unchanged.
    """

    moment: Moment
    refined: bool


@dataclass(slots=True)
class _Request:
    """A span to decode for a moment: for one of its boundaries, or, if ``bracket`` is None, for its best frame."""

    refinement: Refinement
    bracket: BoundaryBracket | None
    span: TimeSpan
    region: Region | None


class BoundaryRefiner:
    """Refines the boundaries of moments in the footage.

    An index holds about a frame a second, so a moment's boundaries are known to a second. Between the last frame
    outside and the first inside a few more are decoded and scored, then a few more between two of those, until they are
    0.2 s apart.

    Args:
        max_frames: most frames decoded for one moment.
        max_seconds: how long all moments of one call may take; boundaries not refined by then stay as they are.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        catalog: Catalog,
        *,
        max_frames: int = MAX_FRAMES,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._embedder, self._store, self._catalog = embedder, store, catalog
        self._max_frames, self._max_seconds = max_frames, max_seconds

    async def refine(
        self, moments: Sequence[Moment], scorer: PartScorer, spans: Sequence[TimeSpan] = ()
    ) -> list[RefinedMoment]:
        """Refine moments; the results are in the same order.

        Args:
            scorer: the one that scored the moments; a boundary is where the score crosses the moment's edge level.
            spans: those of the question; no moment leaves them.

        Raises:
            EmbedderError, StoreError: a component failed.
        """
        deadline = time.monotonic() + self._max_seconds
        refinements = [await self._begin(moment, scorer, spans) for moment in moments]
        requests = [_Request(r, None, r.around_best, r.moment.region) for r in refinements if r.around_best]
        for _ in range(MAX_ROUNDS):
            requests += [_Request(r, b, b.span, b.region) for r in refinements for b in r.open_brackets()]
            requests = [request for request in requests if _may_continue(request.refinement)]
            if not requests or time.monotonic() >= deadline:
                break
            await self._process(requests, scorer, deadline)
            requests = []
        return [RefinedMoment(r.result(), not r.failed and not r.open_brackets()) for r in refinements]

    async def _begin(self, moment: Moment, scorer: PartScorer, spans: Sequence[TimeSpan]) -> Refinement:
        """Load a moment's chain of media and the records around its boundaries, and bracket them."""
        for distance in (NEIGHBORHOOD, MAX_EXTENSION):  # an hour where records are far apart
            near = merge((at - distance, at + distance) for at in (moment.start, moment.best, moment.end))
            media = [e.media for e in await self._catalog.media_between([moment.camera], near[0][0], near[-1][1])]
            chain = find_chain(media, moment.media)
            frames = await self._score_stored(moment.camera, near, chain, scorer) if chain else []
            if not chain or chain[0].start >= near[0][0] or (frames and frames[0].time < moment.start):
                break
        if not chain or any(m.kind is Kind.FEED for m in chain):  # an unrecorded feed
            return Refinement(moment, [], None, None, None, (), 0, failed=True)
        earliest = next((a for a, b in spans if a <= moment.start < b), None)
        return Refinement(
            moment,
            chain,
            bracket_start(moment, frames, chain, earliest),
            bracket_end(moment, frames),
            span_around_best(moment, frames),
            tuple((m.start, m.end) for m in media if m not in chain),
            self._max_frames,
        )

    async def _score_stored(
        self, camera: str, near: Sequence[TimeSpan], chain: Sequence[Media], scorer: PartScorer
    ) -> list[FrameScore]:
        """Read and score the records of a chain; return the best of each time, in order of time."""
        ids = {m.id for m in chain}
        scan = self._store.scan(Where((camera,), tuple((a, b + MICROSECOND) for a, b in near)))
        records: list[Record] = [r async for r in scan if r.media in ids]
        if not records:
            return []
        p = (await asyncio.to_thread(score_records, records, scorer)).tolist()
        frames = [FrameScore(r.time, v, r.region, r.media) for r, v in zip(records, p, strict=True)]
        return [max(same, key=lambda f: f.p) for _, same in groupby(frames, key=lambda f: f.time)]

    async def _process(self, requests: Sequence[_Request], scorer: PartScorer, deadline: float) -> None:
        """Decodes, embeds and scores the requested spans, and narrows the brackets with the results."""
        found: list[list[FrameScore]] = [[] for _ in requests]
        stream = _decode(requests, self._embedder.side, deadline)
        while batch := await asyncio.to_thread(list, islice(stream, max(1, self._embedder.batch))):
            images = [image for _, frame, regions in batch for image in _images(frame, regions)]
            wanted, clear = await asyncio.to_thread(scorer.score_parts, await self._embedder.images(images))
            at = 0
            for i, frame, regions in batch:
                rows = slice(at, at := at + len(regions))
                top = int(np.argmax(wanted[rows]))
                p = float(wanted[rows][top] * clear[rows].min())  # nothing unwanted may be in any part of the frame
                found[i].append(FrameScore(frame.time, p, regions[top], frame.media.id))
        for request, frames in zip(requests, found, strict=True):
            refinement = request.refinement
            refinement.frames_left -= len(frames)
            refinement.update_best(frames)
            if request.bracket and not refinement.failed and (frames or time.monotonic() < deadline):
                request.bracket.narrow(frames, refinement.level)


def _may_continue(refinement: Refinement) -> bool:
    return not refinement.failed and refinement.frames_left > FRAMES_PER_SPAN


def _decode(
    requests: Sequence[_Request], side: int, deadline: float
) -> Iterator[tuple[int, Frame, tuple[Region | None, ...]]]:
    """Yield each frame with the index of its request and the regions to score. Runs in a thread."""
    for i, request in enumerate(requests):
        start, end = request.span
        every = max(MIN_INTERVAL, (end - start).total_seconds() / FRAMES_PER_SPAN)
        regions = (None, request.region) if request.region else (None,)
        size = max(CROP_SOURCE_SIDE, side) if request.region else side
        try:
            for frame in decode_frames(request.refinement.chain, start, end, every, size):
                yield i, frame, regions
                if time.monotonic() >= deadline:
                    return
        except MediaError:
            request.refinement.failed = True


def _images(frame: Frame, regions: Sequence[Region | None]) -> Iterator[Image]:
    return (crop(frame.image, region) if region else frame.image for region in regions)
