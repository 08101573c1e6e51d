"""Migrates an index to another model: extracts every record's image from its media again and embeds it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from footage.indexer.embed.base import Embedder
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.migration.reconcile import RecordKey, SpaceComparison, find_difference, record_key
from footage.indexer.migration.reextract import ImageReextractor, MediaUnavailable
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import FrameChannel, Pipeline, PipelineItem
from footage.indexer.store.base import Catalog, CatalogEntry, Record, Store, Vector, Where
from footage.indexer.store.batching import in_batches
from footage.indexer.store.errors import StoreError
from footage.stream.files.unreadable import MediaError
from footage.stream.instants import MICROSECOND
from footage.stream.recording import segment

SCAN_WINDOW = 10_000  # records that are looked up before their images are extracted
MAX_PASSES = 8  # live cameras go on writing: each pass copies what came during the one before
MAX_CLOCK_SKEW = timedelta(minutes=1)  # between a camera and this machine
FLUSH_SECONDS = 1.0  # after which a frame is in the file of a segment that is being recorded
SPOT_CHECK_COSINE = 0.99  # at least: batches of another size, and images decoded another way, differ a little
NO_VECTOR: Vector = np.empty(0, np.float32)
UNDECODED = "its file is damaged there: no image can be decoded"


class NotMigrated(StoreError):
    """The index cannot be switched to the other space yet; the message says why."""


@dataclass(frozen=True, slots=True)
class LostRecords:
    """Records of one media that cannot be embedded again; they stay in the old space.

    Attributes:
        path: of the media; empty when it is not known any more, or was never recorded.
        first, last: UTC times of the first and the last of them.
        reason: why, and what to do if anything can be done.
    """

    camera: str
    path: str
    count: int
    first: datetime
    last: datetime
    reason: str


@dataclass(slots=True)
class MigrationReport:
    """Result of a migration; also read while it runs, for progress.

    Attributes:
        total: records in the old space.
        present: of same_time, how many an earlier run had copied.
        copied: how many this run embedded and stored.
        losses: records that can no longer be embedded, by media and reason.
        waiting: records of segments being recorded whose image is not in the file yet; the next run gets them.
        verified: camera to the number of its records in the old space and in the new one.
        checked: vectors of the new space that were compared with an image embedded once more...
        min_cosine: ...and the smallest cosine found; 1.0 while there is none.
        passes: how often the two spaces were compared.
        complete: everything but what is lost is in the new space, counts agree and so do the vectors.
        problem: why it is not complete.
    """

    total: int = 0
    present: int = 0
    copied: int = 0
    losses: dict[tuple[str, str], LostRecords] = field(default_factory=dict)
    waiting: int = 0
    verified: dict[str, tuple[int, int]] = field(default_factory=dict)
    checked: int = 0
    min_cosine: float = 1.0
    passes: int = 0
    stopped: bool = False
    complete: bool = False
    problem: str = "it has not run"
    seconds: float = 0.0

    @property
    def lost(self) -> list[LostRecords]:
        """Records that can no longer be embedded; they stay in the old space."""
        return list(self.losses.values())

    @property
    def done(self) -> int:
        """How many records of ``total`` are copied or known to be lost."""
        return self.present + self.copied + sum(lost.count for lost in self.lost)


class Migration:
    """Copies an index into another space, while the old one is searched and live cameras still write to it.

    Both spaces are scanned side by side in order of key, so that memory stays bounded and a run continues where another
    was killed. ``workers`` threads extract images of missing records from media, one file each, into a ``Pipeline``; a
    write is durable before it is counted. Passes repeat until one finds nothing new. ``stop`` may be
    called from a signal handler: what is in flight is stored, and the next run continues from there.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        catalog: Catalog,
        embedder: Embedder,
        *,
        spot_checks: int = 50,
        workers: int = 2,
    ) -> None:
        """Nothing is copied yet.

        Args:
            embedder: of the target's space.

        Raises:
            NotMigrated: the target is not of the embedder's space, or is the source's own.
        """
        if source.space == target.space:
            raise NotMigrated(f"the index is in the space {source.space.name} already")
        if target.space != embedder.space:
            raise NotMigrated(f"{embedder.space.name} cannot embed for an index in the space {target.space.name}")
        self._source, self._target, self._catalog, self._embedder = source, target, catalog, embedder
        self._spot_checks, self._workers = spot_checks, workers
        self._images = ImageReextractor(embedder.side)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._comparison = SpaceComparison(spot_checks)
        self._undecodable: set[RecordKey] = set()
        self._cutoff, self._started = datetime.now(UTC), time.monotonic()
        self.report = MigrationReport()

    def stop(self) -> None:
        """Have ``run`` store what is in flight and return."""
        self._stopping.set()

    async def run(self) -> MigrationReport:
        """Copy what the target lacks, then verify.

        Raises:
            EmbedderError, StoreError: the migration cannot go on; a later run resumes.
        """
        self.report = report = MigrationReport(problem="its run has not ended; run it again")
        self._cutoff, self._started = datetime.now(UTC) - MAX_CLOCK_SKEW, time.monotonic()
        self._undecodable = set()
        comparison = await self._run_pass()
        while (comparison.copied or report.waiting) and report.passes < MAX_PASSES and not self._stopping.is_set():
            if not comparison.copied:
                await asyncio.sleep(FLUSH_SECONDS)
            comparison = await self._run_pass()
        report.stopped = self._stopping.is_set()
        report.problem = await self._verify(comparison)
        report.complete = not report.problem
        report.seconds = time.monotonic() - self._started
        return report

    async def switch(self) -> None:
        """Bind the index to the new space, in one step.

        A running service continues in the old space until it is restarted; run the migration again after that,
        for what the service wrote until then.

        Raises:
            NotMigrated: the last run was not complete.
        """
        if not self.report.complete:
            raise NotMigrated(f"the index stays in the space {self._source.space.name}: {self.report.problem}")
        await self._catalog.rebind_space(self._target.space, await fingerprint(self._embedder))

    async def _run_pass(self) -> SpaceComparison:
        self.report.passes += 1
        self.report.total = await self._source.count()
        self.report.waiting, self.report.losses = 0, {}
        self._comparison = comparison = SpaceComparison(self._spot_checks)
        channel: FrameChannel = Channel(4 * self._embedder.batch)
        pipeline = Pipeline(channel, self._embedder, self._target, on_written=self._on_written)
        feeding = asyncio.create_task(self._feed(channel))
        try:
            await pipeline.run()
        finally:
            channel.close()
            await feeding
        return comparison

    async def _feed(self, channel: FrameChannel) -> None:
        try:
            async with aclosing(self._scan_missing()) as missing, aclosing(in_batches(missing, SCAN_WINDOW)) as windows:
                async for window in windows:
                    media: dict[str, list[Record]] = defaultdict(list)
                    for record in window:
                        media[record.media].append(record)
                    jobs = iter(media.items())
                    await asyncio.gather(*(self._run_worker(jobs, channel) for _ in range(self._workers)))
                    if self._stopping.is_set():
                        return
                    await self._target.maintain()
        finally:
            channel.close()

    async def _scan_missing(self) -> AsyncGenerator[Record, None]:
        """Yield records of the source that the target lacks, without vectors; both are scanned side by side."""
        target, comparison = self._target.scan(Where()), self._comparison
        other = await anext(target, None)
        async for record in self._source.scan(Where()):
            if self._stopping.is_set():
                return
            comparison.in_source[record.camera] += 1
            while other is not None and record_key(other) < record_key(record):
                comparison.target_only[other.camera] += 1
                other = await anext(target, None)
            if other is None or record_key(other) != record_key(record):
                yield replace(record, vector=NO_VECTOR)
                continue
            comparison.add_common(other)
            self.report.present += self.report.passes == 1
            other = await anext(target, None)
        while other is not None:
            comparison.target_only[other.camera] += 1
            other = await anext(target, None)

    async def _run_worker(self, jobs: Iterator[tuple[str, list[Record]]], channel: FrameChannel) -> None:
        for media, records in jobs:
            if self._stopping.is_set():
                return
            early = [r for r in records if r.offset < 0]
            entry = (await self._catalog.media([media])).get(media)
            await asyncio.to_thread(self._reextract, entry, [r for r in records if r.offset >= 0], channel)
            for record in early:
                await asyncio.to_thread(self._reextract, await self._find_entry(record), [record], channel)

    async def _find_entry(self, record: Record) -> CatalogEntry | None:
        """Return the entry of the media that shows a record: its own, or the one before.

        A live frame may come out of its decoder when the next segment has begun, of which it is then a record.
        """
        if record.offset >= 0:
            return (await self._catalog.media([record.media])).get(record.media)
        around = await self._catalog.media_between([record.camera], record.time, record.time + MICROSECOND)
        return around[0] if around else None

    def _reextract(self, entry: CatalogEntry | None, records: Sequence[Record], channel: FrameChannel) -> None:
        """Worker thread: put one media's images into the channel, each with its missing regions."""
        wanted: dict[datetime, list[Record]] = defaultdict(list)
        for record in records:
            if record_key(record) in self._undecodable:
                self._note_lost(record, entry, UNDECODED)
            else:
                wanted[record.time].append(record)
        try:
            for frame in self._images.frames(entry, wanted):
                same_time = wanted.pop(frame.time)
                with self._lock:
                    self._comparison.in_flight.update(map(record_key, same_time))
                regions = tuple(r.region for r in same_time if r.region)
                if self._stopping.is_set() or not channel.put(PipelineItem(frame, regions)):
                    return
            reason = UNDECODED
        except (MediaUnavailable, MediaError) as error:
            reason = error.reason
        for same_time in wanted.values():
            for record in same_time:
                self._note_lost(record, entry, reason)

    def _note_lost(self, record: Record, entry: CatalogEntry | None, reason: str) -> None:
        report, path = self.report, entry.media.path if entry else ""
        with self._lock:
            self._comparison.not_copied[record.camera] += 1
            if record.time < self._cutoff:
                self._comparison.missing[record.camera].add(record)
            if entry and segment.is_unfinished(entry.media) and record.time >= self._cutoff:
                report.waiting += 1
                return
            if reason == UNDECODED:
                self._undecodable.add(record_key(record))
            lost = LostRecords(record.camera, path, 0, record.time, record.time, reason)
            lost = report.losses.get((record.media, reason), lost)
            report.losses[record.media, reason] = replace(lost, count=lost.count + 1, last=record.time)

    async def _on_written(self, records: Sequence[Record]) -> None:
        with self._lock:
            fresh = [r for r in records if record_key(r) in self._comparison.in_flight]
            self._comparison.in_flight.difference_update(map(record_key, fresh))
            self._comparison.copied.update(r.camera for r in fresh)
            self._comparison.late += sum(r.time < self._cutoff for r in fresh)
        self.report.copied += len(fresh)
        self.report.seconds = time.monotonic() - self._started

    async def _verify(self, comparison: SpaceComparison) -> str:
        """Compare counts, read both spaces again, and spot-check vectors; returns what is wrong, or an empty string."""
        report = self.report
        if report.stopped:
            return "it was stopped; run it again and it goes on from there"
        if comparison.late:
            return (
                f"the last pass still found {comparison.late} older records to copy; "
                "run it again when indexing has ended"
            )
        for camera in sorted(comparison.in_source):
            count = await self._target.count(Where((camera,)))
            report.verified[camera] = (comparison.in_source[camera], count - comparison.target_only[camera])
            if count != (expected := comparison.expected_count(camera)):
                return f"camera {camera!r} has {count} records in the new space instead of {expected}"
            if missing := comparison.unaccounted(camera):
                return f"camera {camera!r} has {missing} records that were neither copied nor found to be lost"
        if difference := await find_difference(self._source, self._target, self._cutoff, comparison.missing):
            return f"{difference}; run it again, and if it says so again, something is wrong with one of them"
        for record in comparison.sample:
            await self._spot_check(record)
        if report.min_cosine < SPOT_CHECK_COSINE:
            return (
                f"an image embedded again differs from its record (cosine {report.min_cosine:.3f}): the new space "
                "holds vectors of another model of that name; remove it from the store, then migrate again"
            )
        return ""

    async def _spot_check(self, record: Record) -> None:
        """Compare a vector of the new space with its image, extracted in another way and embedded on its own."""
        try:
            image = await asyncio.to_thread(self._images.image, await self._find_entry(record), record)
        except (MediaUnavailable, MediaError):
            return  # it has expired since it was copied
        vector = (await self._embedder.images([image]))[0]
        self.report.checked += 1
        self.report.min_cosine = min(self.report.min_cosine, float(vector @ record.vector))
