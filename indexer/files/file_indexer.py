"""Files into the index: what is new is decoded, embedded and stored; what is known costs nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from footage.indexer.embed.base import Embedder
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Item, Mark, Pipeline
from footage.indexer.pipeline.retry import Durable, patiently
from footage.indexer.store.base import Catalog, Coverage, Entry, State, Store, StoreUnreachable, Where
from footage.stream import source
from footage.stream.files import decode
from footage.stream.frame import Kind, Media


@dataclass(frozen=True, slots=True)
class Job:
    """One file to index.

    Attributes:
        start: UTC time of its first frame, where the person gave one.
        every: seconds between samples; 0 takes every frame.
    """

    path: Path
    camera: str
    every: float
    start: datetime | None = None


@dataclass(slots=True)
class Report:
    """How indexing went; also read while it goes, for progress.

    Attributes:
        total: seconds of video (a photograph counts as 0) that there were to index in the files opened so far.
        seconds: how much of that is indexed.
        failed: path to what was wrong with it.
        damaged: path to what was wrong; what is good of it is indexed.
    """

    files: int = 0
    done: int = 0
    known: int = 0
    total: float = 0.0
    seconds: float = 0.0
    frames: int = 0
    stopped: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    cameras: set[str] = field(default_factory=set)


class Indexer:
    """Indexes files.

    Threads: ``workers`` capture threads take jobs from one iterator, decode, and put frames into a bounded channel
    (they wait when it is full, so nothing is skipped); the pipeline runs in the event loop. ``stop`` may be called
    from a signal handler: captures end after the frame at hand, what has been captured is embedded and stored, and
    the next run resumes there. While the store cannot be reached it waits.
    """

    def __init__(self, embedder: Embedder, store: Store, catalog: Catalog, *, workers: int = 2) -> None:
        self._embedder, self._store, self._catalog, self._workers = embedder, store, catalog, workers
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.report = Report()
        self.pipeline: Pipeline | None = None

    def stop(self) -> None:
        """Finish what is in flight, then return from ``run``."""
        self._stopping.set()

    async def run(self, jobs: Sequence[Job]) -> Report:
        """Index ``jobs``; a file that cannot be read is reported and the others go on.

        Raises:
            EmbedderError, StoreError: when the work itself cannot go on.
        """
        self.report.files += len(jobs)
        channel: Channel[Item | Mark] = Channel(4 * self._embedder.batch)
        self.pipeline = Pipeline(channel, self._embedder, Durable(self._store))
        capture = asyncio.create_task(self._capture(iter(jobs), channel))
        try:
            await self.pipeline.run()
        except BaseException:
            self._stopping.set()
            raise
        finally:
            channel.close()
            await capture
        self.report.stopped = self._stopping.is_set() and self.report.done < self.report.files
        return self.report

    async def _capture(self, jobs: Iterator[Job], channel: Channel[Item | Mark]) -> None:
        try:
            await asyncio.gather(*(self._work(jobs, channel) for _ in range(self._workers)))
        finally:
            channel.close()

    async def _work(self, jobs: Iterator[Job], channel: Channel[Item | Mark]) -> None:
        for job in jobs:
            if self._stopping.is_set():
                return
            try:
                await self._one(job, channel)
            except (decode.MediaError, source.SourceError) as error:
                self.report.done += 1
                self.report.failed[str(job.path)] = str(error)

    async def _one(self, job: Job, channel: Channel[Item | Mark]) -> None:
        media, _ = await asyncio.to_thread(source.media, job.path, job.camera, job.start)
        self.report.cameras.add(job.camera)
        recipe, given = f"every={job.every:g}", job.start is not None
        entry = await patiently(lambda: self._known(media, recipe, given), StoreUnreachable)
        self.report.total += media.duration
        if entry.done:
            self.report.known += 1
            self.report.done += 1
            self.report.seconds += media.duration
            return
        last = await patiently(lambda: self._store.last(entry.media.id), StoreUnreachable)
        after = (last - entry.media.start).total_seconds() if last else None
        await asyncio.to_thread(self._decode, entry, job.every, after, channel)

    async def _known(self, media: Media, recipe: str, given: bool) -> Entry:
        """The catalogue's entry; what an earlier version of the file or another recipe left is forgotten first."""
        old = (await self._catalog.media([media.id])).get(media.id)
        stale = [
            e.media.id
            for e in await self._catalog.at(media.path)
            if e.media.id != media.id and e.media.camera == media.camera
        ]
        if old and (old.recipe != recipe or (given and abs((old.media.start - media.start).total_seconds()) > 0.5)):
            stale.append(media.id)
            old = None
        if stale:
            await self._store.forget(Where(media=tuple(stale)))
            await self._catalog.remove(stale)
        if old is None:
            return await self._catalog.admit(media, recipe)
        if old.media.path != media.path:
            await self._catalog.amend(replace(old.media, path=media.path))
        return old

    def _decode(self, entry: Entry, every: float, after: float | None, channel: Channel[Item | Mark]) -> None:
        """Capture thread: frames, then the mark behind the last of them."""
        media, note, at = entry.media, "", after
        good = media.duration
        self._advance(at or 0.0)
        try:
            for frame in decode.read(media, every, self._embedder.side, after):
                if self._stopping.is_set() or not channel.put(Item(frame)):
                    return
                self._advance(frame.offset - (at or 0.0), frames=1)
                at = frame.offset
        except decode.MediaError as error:
            if at is None:
                raise
            note, good = error.reason, at if error.good is None else error.good
        if not self._stopping.is_set():
            self._advance(max(0.0, media.duration - (at or 0.0)))
            channel.put(Mark(lambda: patiently(lambda: self._finish(entry, note, good), StoreUnreachable)))

    def _advance(self, seconds: float, frames: int = 0) -> None:
        with self._lock:
            self.report.seconds += seconds
            self.report.frames += frames

    async def _finish(self, entry: Entry, note: str, good: float) -> None:
        """A damaged file covers its camera up to ``good`` seconds; the rest is a gap with its cause."""
        media = entry.media
        if note:
            self.report.damaged[media.path] = note
        if media.kind is Kind.VIDEO:
            if note and media.at(good) < media.end:
                await self._catalog.cover(Coverage(media.camera, media.at(good), media.end, State.GAP, note))
            await self._catalog.cover(
                Coverage(media.camera, media.start, min(media.at(good), media.end), State.WATCHED)
            )
        await self._catalog.finish(media.id, note)
        self.report.done += 1
