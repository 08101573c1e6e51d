"""Finds partitions of vectors that should hold records and do not, and notes what was lost."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from footage.indexer.store.base import CatalogEntry, CoverageState
from footage.indexer.store.cassandra.buckets import BucketIndex, BucketSlice, Partition
from footage.indexer.store.cassandra.catalog import CassandraCatalog
from footage.indexer.store.cassandra.session import CassandraSession, gather_all
from footage.indexer.store.errors import StoreError
from footage.indexer.store.lost_vectors import Span, Spans, note_loss, read_losses
from footage.stream.frame import Kind, Media
from footage.stream.instants import MICROSECOND, from_micros
from footage.stream.spans import merge

log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

CONFIRM_SECONDS = 2.0
"""Seconds after which an empty partition is looked at again: ``forget`` empties it a moment before it unlists it."""
LOOKED_SECONDS = 60.0
"""Seconds for which a partition that was looked at is not looked at again by searches."""
LOOKED_MOST = 20_000
"""Partitions of which a process remembers when it looked at them."""
READ_AT_ONCE = 16
"""Partitions that are read at once."""
SUSPECTS = 16
"""Partitions that one search looks at, at most."""
CAMERAS_A_STEP = 20
"""Cameras of which a step of the round looks at some partitions."""
PARTITIONS_A_STEP = 4
"""Partitions of a camera that a step looks at, besides the newest; each time others."""


@dataclass(slots=True)
class Examination:
    """What was found by looking at every partition: which were lost, and how many records each media has, if read."""

    partitions: int = 0
    lost: dict[str, list[Span]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)


class LossFinder:
    """Compares the lists of partitions with the partitions.

    A partition is listed after its first records were written, and unlisted after the last ones were forgotten. So one
    that is listed and empty has lost its records, if the catalog says that any of its time was watched; and so has a
    media that is listed for a partition in which it has no record, for what of its time was watched: what is forgotten
    is not, though a file that reaches beyond it stays. The first is one read of a row, made when a search found nothing
    where something is listed, and in turn for all partitions, some each minute. The second reads the keys of a
    partition: of the newest one of a camera, which a live camera fills again, and of those of which a loss is noted.

    Attributes:
        changes: how often this process has changed what is noted.
    """

    def __init__(self, session: CassandraSession, table: str, buckets: BucketIndex, bucket: int) -> None:
        self._session, self._table, self._buckets, self._bucket = session, table, buckets, bucket
        self._catalog = CassandraCatalog(session)
        self._looked: OrderedDict[Partition, float] = OrderedDict()
        self._round: list[str] = []
        self._rounds = self._steps = 0
        self.changes = 0

    async def suspect(self, slices: Iterable[BucketSlice]) -> None:
        """Look at the partitions in which a search found nothing, and note what was lost."""
        before = time.monotonic() - LOOKED_SECONDS
        suspects = dict.fromkeys(part[:2] for part in slices)
        unsure = [each for each in suspects if self._looked.get(each, float("-inf")) < before][:SUSPECTS]
        try:
            noted = await read_losses(self._catalog) if unsure else {}
            unsure = [one for one in unsure if not self._is_noted(one, noted)]
            if found := await self._find_lost(unsure):
                await self._add(found)
        except StoreError as error:  # the search has its answer
            log.debug("it is not known whether records were lost: %s", error)

    async def step(self) -> None:
        """Look at some partitions of the next cameras, and again at one camera of which a loss is noted."""
        if not self._round:
            self._round, self._rounds = await self._buckets.cameras(), self._rounds + 1
        self._steps += 1
        cameras, self._round = self._round[:CAMERAS_A_STEP], self._round[CAMERAS_A_STEP:]
        listed = await gather_all(self._buckets.of_camera(camera) for camera in cameras)
        lost = await self._find_lost([one for each in listed for one in _some(each, self._rounds)])
        noted = sorted(await read_losses(self._catalog))
        again = {noted[self._steps % len(noted)]} if noted else set()
        if cameras := sorted(again | {camera for camera, _ in lost}):
            await self.examine(cameras)

    async def examine(self, cameras: Sequence[str] = (), *, deep: bool = False) -> Examination:
        """Look at every partition of these cameras (none named: all), and note anew what was lost of them.

        Args:
            deep: read the keys of every partition.
        """
        noted, found = await read_losses(self._catalog), Examination()
        names = sorted(cameras or {*await self._buckets.cameras(), *noted})
        listed = await _each(self._buckets.of_camera, names)
        empty = await self._find_lost([one for each in listed for one in each])
        newest = {each[-1] for each in listed if each}
        filled = sorted({one for each in listed for one in each} - set(empty))
        found.partitions = len(filled) + len(empty)
        spans: dict[str, list[Span]] = {camera: [] for camera in names}
        for one in empty:
            spans[one[0]].append(self._span(one))
        wanted = [one for one in filled if deep or one in newest or self._is_noted(one, noted)]
        for one, lost in zip(wanted, await _each(lambda one: self._lost_media(one, found.counts), wanted), strict=True):
            spans[one[0]] += lost
        for camera in names:
            await self._renote(camera, merge(spans[camera]), noted)
        found.lost = {camera: merge(each) for camera, each in spans.items() if each}
        return found

    async def lost_media(self) -> list[tuple[CatalogEntry, Spans]]:
        """Return the media of the times that are noted as lost, and what of each is to be indexed again.

        That is what was watched and not forgotten since; of the rest of a media nothing is to come back.
        """
        entries: dict[str, CatalogEntry] = {}
        lost: dict[str, list[Span]] = {}
        for camera, spans in (await read_losses(self._catalog)).items():
            for span in spans:
                known, watched = await self._in_catalog(camera, *span)
                for entry in known:
                    if part := _known_part(entry.media, watched):
                        entries[entry.media.id] = entry
                        lost[entry.media.id] = merge([*lost.get(entry.media.id, ()), *part])
        return [(entry, lost[id]) for id, entry in entries.items()]

    async def _find_lost(self, partitions: Sequence[Partition]) -> list[Partition]:
        """Return which of the partitions are listed and empty, although footage of their time was indexed."""
        if not (empty := await self._empty(partitions)):
            return []
        await asyncio.sleep(CONFIRM_SECONDS)
        listed = await _each(self._buckets.is_listed, empty)
        empty = await self._empty([one for one, there in zip(empty, listed, strict=True) if there])
        lost: list[Partition] = []
        for one, (known, watched) in zip(empty, await _each(self._footage, empty), strict=True):
            if watched or any(entry.media.kind is Kind.PHOTO for entry in known):
                lost.append(one)
            elif not known:  # what was forgotten by media, after it was lost; a file may still be read, and count later
                await self._buckets.remove_if_empty(BucketSlice(*one, *self._edges(one)), self._table, ())
        return lost

    async def _footage(self, partition: Partition) -> tuple[list[CatalogEntry], list[Span]]:
        return await self._in_catalog(partition[0], *self._span(partition))

    async def _in_catalog(self, camera: str, start: datetime, end: datetime) -> tuple[list[CatalogEntry], list[Span]]:
        """Return the media of a time, and what of the time was watched, and not forgotten since."""
        coverage = await self._catalog.coverage([camera], start, end)
        watched = [(each.start, each.end) for each in coverage if each.state is CoverageState.WATCHED]
        return await self._catalog.media_between([camera], start, end), watched

    async def _empty(self, partitions: Sequence[Partition]) -> list[Partition]:
        any_row = f"SELECT time FROM @{self._table} WHERE camera = ? AND bucket = ? LIMIT 1"
        rows = await _each(lambda one: self._session.select(any_row, *one), partitions)
        now = time.monotonic()
        for one in partitions:
            self._looked[one] = now
            self._looked.move_to_end(one)
        while len(self._looked) > LOOKED_MOST:
            self._looked.popitem(last=False)
        return [one for one, found in zip(partitions, rows, strict=True) if not found]

    async def _lost_media(self, partition: Partition, counts: Counter[str]) -> list[Span]:
        """Return the times of media that are listed for a partition in which they have no record."""
        here = await self._buckets.count_media(partition, self._table)
        counts.update(here)
        known, watched = await self._footage(partition)
        media = [entry.media for entry in known if _known_part(entry.media, watched)]
        lost = await self._listed_only([one for one in media if one.id not in here], partition)
        if lost:  # unless they are being forgotten: see ``CONFIRM_SECONDS``
            await asyncio.sleep(CONFIRM_SECONDS)
            here = await self._buckets.count_media(partition, self._table)
            lost = await self._listed_only([one for one in lost if one.id not in here], partition)
            _, watched = await self._footage(partition)
        return [span for one in lost for span in _known_part(one, watched)]

    async def _listed_only(self, media: Sequence[Media], partition: Partition) -> list[Media]:
        holding = await _each(lambda one: self._buckets.holds(one.id, partition), media)
        return [one for one, held in zip(media, holding, strict=True) if held]

    async def _add(self, partitions: Sequence[Partition]) -> None:
        """Note that these partitions were lost, besides what is noted."""
        noted = await read_losses(self._catalog)
        for camera in sorted({camera for camera, _ in partitions}):
            spans = [*noted.get(camera, ()), *(self._span(one) for one in partitions if one[0] == camera)]
            await self._renote(camera, merge(spans), noted)

    def _is_noted(self, partition: Partition, noted: Mapping[str, Spans]) -> bool:
        since, until = self._span(partition)
        return any(start < until and end > since for start, end in noted.get(partition[0], ()))

    async def _renote(self, camera: str, spans: Spans, noted: Mapping[str, Spans]) -> None:
        """Note what was lost of a camera, where that is not what is noted."""
        if list(spans) != list(noted.get(camera, ())):
            await note_loss(self._catalog, camera, spans)
            self.changes += 1
            if not spans:
                await self._correct_count(camera)

    async def _correct_count(self, camera: str) -> None:
        """Count a camera's records anew: those that were lost and written again are counted twice."""
        counted, records = (await self._buckets.counts([camera])).get(camera, 0), 0
        rows = f"SELECT count(*) FROM @{self._table} WHERE camera = ? AND bucket = ?"
        listed = await self._buckets.of_camera(camera)
        for ((found,),) in await _each(lambda one: self._session.select(rows, *one), listed):
            records += found
        await self._buckets.count({camera: records - counted})

    def _edges(self, partition: Partition) -> tuple[int, int]:
        return partition[1] * self._bucket, (partition[1] + 1) * self._bucket

    def _span(self, partition: Partition) -> Span:
        since, until = self._edges(partition)
        return from_micros(since), from_micros(until)


async def _each(read: Callable[[T], Awaitable[R]], items: Sequence[T]) -> list[R]:
    """Return what is read of each, a few at a time, so that it does not pile up."""
    found: list[R] = []
    for i in range(0, len(items), READ_AT_ONCE):
        found += await gather_all(read(one) for one in items[i : i + READ_AT_ONCE])
    return found


def _known_part(media: Media, watched: Iterable[Span]) -> list[Span]:
    """Return the parts of a media that were watched; a photograph has no coverage, and is forgotten as a whole."""
    begin, close = media.start, max(media.end, media.start + MICROSECOND)
    if media.kind is Kind.PHOTO:
        return [(begin, close)]
    return [(max(start, begin), min(end, close)) for start, end in watched if start < close and end > begin]


def _some(listed: Sequence[Partition], turn: int) -> list[Partition]:
    """Return the newest partition and a few others, each time others, so that in turn all are returned."""
    stride = max(1, len(listed) // PARTITIONS_A_STEP)
    return list({*listed[-1:], *listed[turn % stride :: stride]})
