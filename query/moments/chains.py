"""Finds the chains of continuous footage that windows of time lie in, with few reads of the catalog."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from footage.indexer.store.base import Catalog
from footage.query.values.timeline import media_chains
from footage.stream.frame import Media
from footage.stream.instants import MicroSpan, from_micros, to_micros
from footage.stream.spans import merge

MAX_GAP = 6 * 3_600_000_000
"""Microseconds between two windows of a camera that are looked up by one read: the media in between are read, too."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Continuous footage.

    Attributes:
        media: in order.
        start, end: of the first and of the last, microseconds.
    """

    media: Sequence[Media]
    start: int
    end: int


class _CameraMedia:
    """The media of one camera that were read, in order of start, and their chains."""

    def __init__(self) -> None:
        self.read: list[MicroSpan] = []
        self._media: dict[str, Media] = {}
        self._ordered: tuple[list[Media], NDArray[np.int64], NDArray[np.int64]] | None = None
        self._chains: dict[bytes, list[Chain]] = {}

    def add(self, media: Sequence[Media]) -> None:
        """Take over what was read."""
        self._media |= {one.id: one for one in media}
        self._ordered, self._chains = None, {}

    def chains(self, start: int, end: int) -> list[Chain]:
        """Return the chains that the media of a window form."""
        if self._ordered is None:
            media = sorted(self._media.values(), key=lambda one: (one.start, one.id))
            edges = [(to_micros(one.start), to_micros(one.end)) for one in media]
            self._ordered = media, *np.array(edges, np.int64).reshape(-1, 2).T
        media, starts, ends = self._ordered
        inside = np.flatnonzero((starts < end) & ((ends > start) | (starts >= start)))
        key = inside.tobytes()
        if key not in self._chains:
            found = media_chains([media[i] for i in inside.tolist()])
            self._chains[key] = [Chain(c, to_micros(c[0].start), to_micros(c[-1].end)) for c in found]
        return self._chains[key]


class ChainFinder:
    """Looks up media by camera and time, for many windows at once; what it has read it does not read again."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._cameras: defaultdict[str, _CameraMedia] = defaultdict(_CameraMedia)

    async def find(self, windows: Sequence[tuple[str, MicroSpan]]) -> list[list[Chain]]:
        """Return the chains that the media of each window (camera and span, in microseconds) form.

        Raises:
            StoreError: the catalog failed.
        """
        spans: dict[str, list[MicroSpan]] = defaultdict(list)
        for camera, span in sorted(windows):
            last = spans[camera][-1] if spans[camera] else None
            if last and span[0] - last[1] <= MAX_GAP:
                spans[camera][-1] = (last[0], max(last[1], span[1]))
            else:
                spans[camera].append(span)
        await asyncio.gather(*(self._read(c, *span) for c, merged in spans.items() for span in merged))
        return [self._cameras[camera].chains(*span) for camera, span in windows]

    async def _read(self, camera: str, start: int, end: int) -> None:
        known = self._cameras[camera]
        if not any(a <= start and end <= b for a, b in known.read):
            found = await self._catalog.media_between([camera], from_micros(start), from_micros(end))
            known.add([entry.media for entry in found])
            known.read = merge([*known.read, (start, end)])
