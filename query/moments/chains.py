"""Finds the chains of continuous footage that windows of time lie in, with few reads of the catalog."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from footage.indexer.store.base import Catalog, CatalogEntry
from footage.query.values.timeline import media_chains
from footage.stream.frame import Media
from footage.stream.instants import from_micros, to_micros

MAX_GAP = 6 * 3_600_000_000
"""Microseconds between two windows of a camera that are looked up by one read: the media in between are read, too."""

Span = tuple[int, int]


class ChainFinder:
    """Looks up media by camera and time, for many windows at once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def find(self, windows: Sequence[tuple[str, Span]]) -> list[list[list[Media]]]:
        """Return the chains that the media of each window (camera and span, in microseconds) form.

        Raises:
            StoreError: the catalog failed.
        """
        entries = await self._read(windows)
        found = []
        for camera, (start, end) in windows:
            media = [m for since, until, m in entries[camera] if since < end and (until > start or since >= start)]
            found.append(media_chains(media))
        return found

    async def _read(self, windows: Sequence[tuple[str, Span]]) -> dict[str, list[tuple[int, int, Media]]]:
        """Read the media around windows, by camera."""
        spans: dict[str, list[Span]] = defaultdict(list)
        for camera, (start, end) in sorted(windows):
            last = spans[camera][-1] if spans[camera] else None
            if last and start - last[1] <= MAX_GAP:
                spans[camera][-1] = (last[0], max(last[1], end))
            else:
                spans[camera].append((start, end))
        entries: dict[str, dict[str, CatalogEntry]] = defaultdict(dict)
        for camera, merged in spans.items():
            for start, end in merged:
                found = await self._catalog.media_between([camera], from_micros(start), from_micros(end))
                entries[camera].update((entry.media.id, entry) for entry in found)
        return {
            camera: [(to_micros(e.media.start), to_micros(e.media.end), e.media) for e in known.values()]
            for camera, known in entries.items()
        } | {camera: [] for camera, _ in windows if camera not in entries}
