"""An index into another model's space: every record's own picture, cut from its media, embedded anew."""

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
from footage.indexer.migration.reconcile import Key, Tally, key
from footage.indexer.migration.reextract import Recut, Unavailable
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Item, Mark, Pipeline
from footage.indexer.store.base import Catalog, Entry, Record, Store, StoreError, Vector, Where
from footage.indexer.store.times import MICROSECOND
from footage.stream.files.video_file import MediaError
from footage.stream.recording import segment

WINDOW = 10_000  # records that are looked up before their pictures are cut
PASSES = 8  # live cameras go on writing: each pass copies what came during the one before
RECENT = timedelta(minutes=1)  # so far may a camera's clock differ from ours
FLUSHED = 1.0  # seconds after which a frame is in the file of a segment that is being recorded
ALIKE = 0.99  # least cosine of a spot check: batches of another size, and pictures decoded another way, differ a little
NOTHING: Vector = np.empty(0, np.float32)
UNDECODED = "its file is damaged there: no picture can be decoded"


class NotMigrated(StoreError):
    """The index cannot be switched to the other space yet; the message says why."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Records of one media that cannot be embedded anew; they stay in the old space.

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
    """How a migration went; also read while it goes, for progress.

    Attributes:
        total: records in the old space.
        present: of these, how many an earlier run had copied.
        copied: how many this run embedded and stored.
        losses: what can no longer be embedded, by media and reason.
        waiting: records of segments being recorded whose picture is not in the file yet; the next run gets them.
        verified: camera to the number of its records in the old space and in the new one.
        checked: vectors of the new space that were compared with a picture embedded once more...
        least: ...and the least cosine found; 1.0 while there is none.
        passes: how often the two spaces were compared.
        complete: everything but what is lost is in the new space, counts agree and so do the vectors.
        problem: why it is not complete.
    """

    total: int = 0
    present: int = 0
    copied: int = 0
    losses: dict[tuple[str, str], Lost] = field(default_factory=dict)
    waiting: int = 0
    verified: dict[str, tuple[int, int]] = field(default_factory=dict)
    checked: int = 0
    least: float = 1.0
    passes: int = 0
    stopped: bool = False
    complete: bool = False
    problem: str = "it has not run"
    seconds: float = 0.0

    @property
    def lost(self) -> list[Lost]:
        """What can no longer be embedded: it stays in the old space."""
        return list(self.losses.values())

    @property
    def done(self) -> int:
        """Records of ``total`` that are dealt with."""
        return self.present + self.copied + sum(lost.count for lost in self.lost)


class Migration:
    """Copies an index into another space, while the old one is searched and live cameras still write to it.

    Both spaces are read side by side in order of key, so that memory stays bounded and a run goes on where another
    was killed. What the new one lacks is cut from media by ``workers`` threads, one file each, and goes through the
    ``Pipeline``; a write is durable before it is counted. Passes repeat until one finds nothing new. ``stop`` may be
    called from a signal handler: what is in flight is stored, and the next run goes on from there.
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
        self._checks, self._workers = spot_checks, workers
        self._recut = Recut(embedder.side)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.report = MigrationReport()

    def stop(self) -> None:
        """Store what is in flight, then return from ``run``."""
        self._stopping.set()

    async def run(self) -> MigrationReport:
        """Copy what the target lacks, then verify.

        Raises:
            EmbedderError, StoreError: when the work itself cannot go on; a later run resumes.
        """
        self.report = report = MigrationReport(problem="its run has not ended; run it again")
        self._began, self._started = datetime.now(UTC) - RECENT, time.monotonic()
        self._undecodable: set[Key] = set()
        tally = await self._pass()
        while (tally.copied or report.waiting) and report.passes < PASSES and not self._stopping.is_set():
            if not tally.copied:
                await asyncio.sleep(FLUSHED)
            tally = await self._pass()
        report.stopped = self._stopping.is_set()
        report.problem = await self._verify(tally)
        report.complete = not report.problem
        report.seconds = time.monotonic() - self._started
        return report

    async def switch(self) -> None:
        """Bind the index to the new space, in one step.

        A service that is running goes on in the old space until it is started anew; run the migration once more
        after that, for what it wrote until then.

        Raises:
            NotMigrated: the last run was not complete.
        """
        if not self.report.complete:
            raise NotMigrated(f"the index stays in the space {self._source.space.name}: {self.report.problem}")
        await self._catalog.repin(self._target.space, await fingerprint(self._embedder))

    async def _pass(self) -> Tally:
        self.report.passes += 1
        self.report.total = await self._source.count()
        self.report.waiting, self.report.losses = 0, {}
        self._tally = tally = Tally(self._checks)
        channel: Channel[Item | Mark] = Channel(4 * self._embedder.batch)
        pipeline = Pipeline(channel, self._embedder, self._target, written=self._written)
        feed = asyncio.create_task(self._feed(channel))
        try:
            await pipeline.run()
        finally:
            channel.close()
            await feed
        return tally

    async def _feed(self, channel: Channel[Item | Mark]) -> None:
        try:
            async with aclosing(self._windows()) as windows:
                async for window in windows:
                    media: dict[str, list[Record]] = defaultdict(list)
                    for record in window:
                        media[record.media].append(record)
                    jobs = iter(media.items())
                    await asyncio.gather(*(self._work(jobs, channel) for _ in range(self._workers)))
                    if self._stopping.is_set():
                        return
                    await self._target.maintain()
        finally:
            channel.close()

    async def _windows(self) -> AsyncGenerator[list[Record], None]:
        window: list[Record] = []
        async with aclosing(self._missing()) as missing:
            async for record in missing:
                window.append(record)
                if len(window) == WINDOW:
                    yield window
                    window = []
        if window:
            yield window

    async def _missing(self) -> AsyncGenerator[Record, None]:
        """Records of the source that the target lacks, without their vectors: the two are read side by side."""
        there, tally = self._target.scan(Where()), self._tally
        other = await anext(there, None)
        async for record in self._source.scan(Where()):
            if self._stopping.is_set():
                return
            tally.held[record.camera] += 1
            while other is not None and key(other) < key(record):
                tally.alone[other.camera] += 1
                other = await anext(there, None)
            if other is None or key(other) != key(record):
                yield replace(record, vector=NOTHING)
                continue
            tally.meet(other)
            self.report.present += self.report.passes == 1
            other = await anext(there, None)
        while other is not None:
            tally.alone[other.camera] += 1
            other = await anext(there, None)

    async def _work(self, jobs: Iterator[tuple[str, list[Record]]], channel: Channel[Item | Mark]) -> None:
        for media, records in jobs:
            if self._stopping.is_set():
                return
            early = [r for r in records if r.offset < 0]
            entry = (await self._catalog.media([media])).get(media)
            await asyncio.to_thread(self._one, entry, [r for r in records if r.offset >= 0], channel)
            for record in early:
                await asyncio.to_thread(self._one, await self._entry(record), [record], channel)

    async def _entry(self, record: Record) -> Entry | None:
        """What shows a record: its media, or the one before.

        A live frame may come out of its decoder when the next segment has begun, of which it is then a record.
        """
        if record.offset >= 0:
            return (await self._catalog.media([record.media])).get(record.media)
        around = await self._catalog.between([record.camera], record.time, record.time + MICROSECOND)
        return around[0] if around else None

    def _one(self, entry: Entry | None, records: Sequence[Record], channel: Channel[Item | Mark]) -> None:
        """Capture thread: one media's pictures, each with the regions of it that are missing."""
        wanted: dict[datetime, list[Record]] = defaultdict(list)
        for record in records:
            if key(record) in self._undecodable:
                self._lose(record, entry, UNDECODED)
            else:
                wanted[record.time].append(record)
        try:
            for frame in self._recut.frames(entry, wanted):
                these = wanted.pop(frame.time)
                with self._lock:
                    self._tally.expected.update(map(key, these))
                regions = tuple(r.region for r in these if r.region)
                if self._stopping.is_set() or not channel.put(Item(frame, regions)):
                    return
            reason = UNDECODED
        except (Unavailable, MediaError) as error:
            reason = error.reason
        for these in wanted.values():
            for record in these:
                self._lose(record, entry, reason)

    def _lose(self, record: Record, entry: Entry | None, reason: str) -> None:
        report, path = self.report, entry.media.path if entry else ""
        with self._lock:
            self._tally.left[record.camera] += 1
            if entry and segment.is_open(entry.media) and record.time >= self._began:
                report.waiting += 1
                return
            if reason == UNDECODED:
                self._undecodable.add(key(record))
            lost = Lost(record.camera, path, 0, record.time, record.time, reason)
            lost = report.losses.get((record.media, reason), lost)
            report.losses[record.media, reason] = replace(lost, count=lost.count + 1, last=record.time)

    async def _written(self, records: Sequence[Record]) -> None:
        with self._lock:
            fresh = [r for r in records if key(r) in self._tally.expected]
            self._tally.expected.difference_update(map(key, fresh))
            self._tally.copied.update(r.camera for r in fresh)
            self._tally.late += sum(r.time < self._began for r in fresh)
        self.report.copied += len(fresh)
        self.report.seconds = time.monotonic() - self._started

    async def _verify(self, tally: Tally) -> str:
        """What is wrong, or nothing."""
        report = self.report
        if report.stopped:
            return "it was stopped; run it again and it goes on from there"
        if tally.late:
            return f"the last pass still found {tally.late} older records to copy; run it again when indexing has ended"
        for camera in sorted(tally.held):
            there = await self._target.count(Where((camera,)))
            report.verified[camera] = (tally.held[camera], there - tally.alone[camera])
            if there != tally.there(camera):
                return f"camera {camera!r} has {there} records in the new space instead of {tally.there(camera)}"
            if missed := tally.missed(camera):
                return f"camera {camera!r} has {missed} records that were neither copied nor found to be lost"
        for record in tally.sample:
            await self._check(record)
        if report.least < ALIKE:
            return (
                f"a picture embedded again differs from its record (cosine {report.least:.3f}): the new space holds "
                "vectors of another model of that name; remove it from the store, then migrate again"
            )
        return ""

    async def _check(self, record: Record) -> None:
        """Compare a vector of the new space with its picture, cut in another way and embedded by itself."""
        try:
            image = await asyncio.to_thread(self._recut.alone, await self._entry(record), record)
        except (Unavailable, MediaError):
            return  # it has expired since it was copied
        vector = (await self._embedder.images([image]))[0]
        self.report.checked += 1
        self.report.least = min(self.report.least, float(vector @ record.vector))
