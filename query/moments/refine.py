"""Moments with sharper edges: the footage around them is decoded anew, densely, and scored exactly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.pipeline.pipeline import CROPPED, crop
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.query.moments.boundaries import TICK, Closer, Edge, Shot, end_edge, start_edge, surroundings
from footage.query.moments.dense_decode import frames
from footage.query.moments.full_scan import judged
from footage.query.moments.segmentation import FARTHEST, REACH, Score
from footage.query.values.moment import Moment, Span, merge
from footage.query.values.timeline import chain
from footage.stream.files.decode import MediaError
from footage.stream.frame import Frame, Image, Kind, Media, Region

SHOTS = 8
"""Frames looked at between the two that hold an edge; then the edge lies between two of those."""
LEAST = 0.05
"""Seconds between frames at the least."""
ROUNDS = 4
"""How often an edge is narrowed at most."""
FRAMES = 64
"""Frames that a moment may cost."""
SECONDS = 20.0
"""Time that all moments of an answer may take."""


@dataclass(frozen=True, slots=True)
class Refined:
    """A moment, and whether both its edges are as sharp as the footage allows (0.2 s).

    If not, they are as sharp as there was time for; where the footage is gone or damaged the moment is as it was.
    """

    moment: Moment
    refined: bool


@dataclass(slots=True)
class _Look:
    """A stretch to look at: which moment it is for, and which of its edges, or None for its best frame."""

    closer: Closer
    edge: Edge | None
    span: Span
    region: Region | None


class Refiner:
    """Looks at the footage around moments.

    An index holds a frame a second, so a moment's edges are known to a second. Between the last frame outside and
    the first inside a few more are decoded and scored, then a few more between those two, until they are 0.2 s apart.

    Args:
        frames: how many a moment may cost.
        seconds: how long all moments of one call may take; what is not done by then stays as it is.
    """

    def __init__(
        self, embedder: Embedder, store: Store, catalog: Catalog, *, frames: int = FRAMES, seconds: float = SECONDS
    ) -> None:
        self._embedder, self._store, self._catalog = embedder, store, catalog
        self._frames, self._seconds = frames, seconds

    async def refine(self, moments: Sequence[Moment], score: Score, spans: Sequence[Span] = ()) -> list[Refined]:
        """The same moments in the same order, with sharper edges.

        Args:
            score: as the moments were scored; an edge is where it crosses ``EDGE`` times the moment's score.
            spans: the question's own; no moment leaves them.

        Raises:
            EmbedderError, StoreError: a part cannot do its work.
        """
        deadline = time.monotonic() + self._seconds
        closers = [await self._closer(moment, score, spans) for moment in moments]
        looks = [_Look(c, None, c.around, c.moment.region) for c in closers if c.around]
        for _ in range(ROUNDS):
            looks += [_Look(c, e, e.span, e.region) for c in closers for e in c.edges()]
            looks = [look for look in looks if self._affordable(look.closer)]
            if not looks or time.monotonic() >= deadline:
                break
            await self._look(looks, score, deadline)
            looks = []
        return [Refined(c.result(), not c.failed and not c.edges()) for c in closers]

    def _affordable(self, closer: Closer) -> bool:
        return not closer.failed and closer.left > SHOTS

    async def _closer(self, moment: Moment, score: Score, spans: Sequence[Span]) -> Closer:
        """What is known of a moment's surroundings: its chain of media, and the records around its edges."""
        for back in (REACH, FARTHEST):  # an hour where records are far apart
            near = merge([(at - back, at + back) for at in (moment.start, moment.best, moment.end)])
            media = [e.media for e in await self._catalog.between([moment.camera], near[0][0], near[-1][1])]
            line = chain(media, moment.media)
            shots = await self._shots(moment.camera, near, line, score) if line else []
            if not line or line[0].start >= near[0][0] or (shots and shots[0].time < moment.start):
                break
        if not line or any(m.kind is Kind.FEED for m in line):  # a feed was not recorded
            return Closer(moment, [], None, None, None, (), 0, failed=True)
        floor = next((a for a, b in spans if a <= moment.start < b), None)
        return Closer(
            moment,
            line,
            start_edge(moment, shots, line, floor),
            end_edge(moment, shots),
            surroundings(moment, shots),
            tuple((m.start, m.end) for m in media if m not in line),
            self._frames,
        )

    async def _shots(self, camera: str, near: Sequence[Span], line: Sequence[Media], score: Score) -> list[Shot]:
        """The records of a chain with their probabilities, one a time, in order of time."""
        ids = {m.id for m in line}
        found = self._store.scan(Where((camera,), tuple((a, b + TICK) for a, b in near)))
        records: list[Record] = [r async for r in found if r.media in ids]
        if not records:
            return []
        p = (await asyncio.to_thread(judged, records, score)).tolist()
        shots = [Shot(r.time, v, r.region, r.media) for r, v in zip(records, p, strict=True)]
        return [max(same, key=lambda s: s.p) for _, same in groupby(shots, key=lambda s: s.time)]

    async def _look(self, looks: Sequence[_Look], score: Score, deadline: float) -> None:
        """Decode, embed and score what these stretches show, and learn from it."""
        found: list[list[Shot]] = [[] for _ in looks]
        stream = _decoded(looks, self._embedder.side, deadline)
        while taken := await asyncio.to_thread(list, islice(stream, max(1, self._embedder.batch))):
            images = [image for _, frame, parts in taken for image in _pictures(frame, parts)]
            there, free = await asyncio.to_thread(score.judge, await self._embedder.images(images))
            at = 0
            for place, frame, parts in taken:
                rows = slice(at, at := at + len(parts))
                top = int(np.argmax(there[rows]))
                p = float(there[rows][top] * free[rows].min())  # what must not be there is in no part of the frame
                found[place].append(Shot(frame.time, p, parts[top], frame.media.id))
        for look, shots in zip(looks, found, strict=True):
            look.closer.left -= len(shots)
            look.closer.offer(shots)
            if look.edge and not look.closer.failed and (shots or time.monotonic() < deadline):
                look.edge.narrow(shots, look.closer.level)


def _decoded(
    looks: Sequence[_Look], side: int, deadline: float
) -> Iterator[tuple[int, Frame, tuple[Region | None, ...]]]:
    """For each frame: the place of its look, and which parts of it are scored. Runs in a thread."""
    for place, look in enumerate(looks):
        start, end = look.span
        every = max(LEAST, (end - start).total_seconds() / SHOTS)
        parts = (None, look.region) if look.region else (None,)
        try:
            for frame in frames(look.closer.line, start, end, every, max(CROPPED, side) if look.region else side):
                yield place, frame, parts
                if time.monotonic() >= deadline:
                    return
        except MediaError:
            look.closer.failed = True


def _pictures(frame: Frame, parts: Sequence[Region | None]) -> Iterator[Image]:
    return (crop(frame.image, part) if part else frame.image for part in parts)
