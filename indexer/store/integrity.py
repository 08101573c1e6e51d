"""Compares what the catalog says is indexed with the records that are stored."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from footage.indexer.store.base import Catalog, CatalogEntry, Store, Where
from footage.stream.frame import Kind
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST

CHECK_INTERVAL = 10.0
"""Seconds for which the result of a check is kept: a check takes a millisecond, searches may come by the hundred."""


class IndexHealth:
    """Says what is wrong with an index, checked at most every few seconds.

    Args:
        check: returns what is wrong, or an empty text.
        changes: returns another number when this process has found anything out, so that it is checked at once.
    """

    def __init__(
        self,
        check: Callable[[], Awaitable[str]],
        seconds: float = CHECK_INTERVAL,
        changes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._check, self._seconds, self._changes = check, seconds, changes
        self._found, self._checked, self._seen = "", float("-inf"), 0

    async def damage(self) -> str:
        """Return what is wrong with the index; empty when nothing is."""
        changes = self._changes()
        if changes != self._seen or time.monotonic() - self._checked > self._seconds:
            self._found = await self._check()
            self._checked, self._seen = time.monotonic(), changes
        return self._found


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the catalog knows and the store lacks, and the other way round.

    Attributes:
        missing: files that are done and have fewer records than they had.
        bare: recorded segments without any record: their records were lost, or the machine was overloaded.
        silent: connections of cameras that are not recorded, without any record.
        unknown: how many records there are of each media that the catalog does not know.
    """

    missing: Sequence[CatalogEntry]
    bare: Sequence[CatalogEntry]
    silent: Sequence[CatalogEntry]
    unknown: Mapping[str, int]

    @property
    def orphans(self) -> int:
        """Number of records of media that the catalog does not know."""
        return sum(self.unknown.values())

    @property
    def bare_seconds(self) -> float:
        """Seconds of the longest run of one camera's recorded segments without any record."""
        longest, run, last = 0.0, 0.0, None
        for media in sorted((e.media for e in self.bare), key=lambda m: (m.camera, m.start)):
            follows = last and last.camera == media.camera and (media.start - last.end).total_seconds() < 1
            run, last = (run if follows else 0.0) + media.duration, media
            longest = max(longest, run)
        return longest


async def compare(catalog: Catalog, counts: Mapping[str, int]) -> Comparison:
    """Compare the whole catalog with the number of records of each media."""
    entries = await catalog.media_between([], DISTANT_PAST, DISTANT_FUTURE)
    missing = [e for e in entries if e.done and counts.get(e.media.id, 0) < (1 if e.records is None else e.records)]
    bare, silent = (
        [e for e in entries if e.media.kind is kind and e.media.id not in counts] for kind in (Kind.SEGMENT, Kind.FEED)
    )
    known = {e.media.id for e in entries}
    return Comparison(missing, bare, silent, {id: n for id, n in counts.items() if id not in known})


async def recount(ids: Sequence[str], store: Store, catalog: Catalog) -> None:
    """Note how many records the files among these media still have, after some were deleted on purpose."""
    for entry in (await catalog.media(ids)).values():
        if entry.records is not None:
            count = await store.count(Where(media=(entry.media.id,)))
            await catalog.finish_media(entry.media.id, entry.note, records=count)
