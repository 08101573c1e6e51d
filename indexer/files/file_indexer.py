"""Indexes files: decodes, embeds and stores what is new, and skips what is indexed already."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from footage.indexer.embed.base import Embedder
from footage.indexer.files.growing import GrowingFiles
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Barrier, FrameChannel, Pipeline, PipelineItem, PipelineStats
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.pipeline.retry import SpoolingWriter, retry_forever
from footage.indexer.store.base import Catalog, CatalogEntry, Coverage, CoverageState, Store, Where
from footage.indexer.store.errors import StoreUnreachable
from footage.stream import source
from footage.stream.errors import FootageError
from footage.stream.files import decode
from footage.stream.files.unreadable import MediaError
from footage.stream.files.unsampled import Gap
from footage.stream.frame import Kind, Media
from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.printable import printable

log = logging.getLogger(__name__)

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Job:
    """One file to index.

    Attributes:
        start: UTC time of its first frame, where the user gave one.
        every: seconds between samples; 0 takes every frame.
        again: the catalog's entry of a media whose records were lost: it is read from its start, whatever is known.
        within: only frames of these half-open spans are indexed again, and only their coverage is noted; what else
            there was of the media may have been forgotten on purpose. None: all.
    """

    path: Path
    camera: str
    every: float
    start: datetime | None = None
    again: CatalogEntry | None = None
    within: Sequence[Span] | None = None


@dataclass(slots=True)
class IndexReport:
    """Result of indexing; also read while it runs, for progress.

    Attributes:
        files, done, known: files to index, finished, and of these indexed already by an earlier run.
        total: seconds of video (a photograph counts as 0) in the files opened so far.
        seconds: how much of that is indexed.
        frames: how many were embedded.
        stopped: it was stopped before all files were done.
        refused: records that the store refused for good; they are set aside.
        failed: path to the reason, of files that could not be read.
        damaged: path to what was wrong, of files of which only the readable part is indexed.
        notes: path to what is left out of a file that is not damaged.
    """

    files: int = 0
    done: int = 0
    known: int = 0
    total: float = 0.0
    seconds: float = 0.0
    frames: int = 0
    stopped: bool = False
    refused: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    cameras: set[str] = field(default_factory=set)


class FileIndexer:
    """Indexes files.

    Threads: ``workers`` capture threads take jobs from one iterator, decode, and put frames into a bounded channel
    (they wait when it is full, so nothing is skipped); the pipeline runs in the event loop. ``stop`` may be called
    from a signal handler: threads end after their current frame, what has been decoded is embedded and stored, and
    the next run resumes there. While the store cannot be reached, everything waits.

    Attributes:
        report: what has been indexed so far.
        stats: of the pipeline of the last run.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        catalog: Catalog,
        *,
        workers: int = 2,
        refused: RefusedRecords | None = None,
        decoder: Decoder = SOFTWARE,
    ) -> None:
        self._embedder, self._store, self._catalog, self._workers = embedder, store, catalog, workers
        self._decoder = decoder
        self._writer = SpoolingWriter(store, refused=refused)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._growing = GrowingFiles(catalog)
        self._identities: dict[str, tuple[str, int]] = {}  # of the files being read, by media, with their sizes
        self.report = IndexReport()
        self.stats = PipelineStats()

    def stop(self) -> None:
        """Have ``run`` finish what is in flight and return."""
        self._stopping.set()

    async def run(self, jobs: Sequence[Job]) -> IndexReport:
        """Index files; one that cannot be read is reported, and the others go on.

        Raises:
            EmbedderError, StoreError: indexing cannot go on.
        """
        self.report.files += len(jobs)
        channel: FrameChannel = Channel(4 * self._embedder.batch)
        pipeline = Pipeline(channel, self._embedder, self._writer)
        self.stats = pipeline.stats
        decoding = asyncio.create_task(self._decode_jobs(iter(jobs), channel))
        try:
            await pipeline.run()
        except BaseException:
            self._stopping.set()
            raise
        finally:
            channel.close()
            await decoding
        self.report.refused = self._writer.refused_count
        self.report.stopped = self._stopping.is_set() and self.report.done < self.report.files
        return self.report

    async def _decode_jobs(self, jobs: Iterator[Job], channel: FrameChannel) -> None:
        try:
            await asyncio.gather(*(self._run_worker(jobs, channel) for _ in range(self._workers)))
        finally:
            channel.close()

    async def _run_worker(self, jobs: Iterator[Job], channel: FrameChannel) -> None:
        for job in jobs:
            if self._stopping.is_set():
                return
            try:
                await self._index_file(job, channel)
            except (MediaError, source.SourceError) as error:
                self._set_failed(job, str(error))
            except FootageError:  # of the store or the model: no file can be indexed
                raise
            except Exception as error:  # a fault of ours, which this file shows: it must not take the others along
                log.exception("%s: reading it failed", printable(job.path))
                self._set_failed(
                    job,
                    f"{printable(job.path)}: reading it failed in a way that was not foreseen ({error!r}); the "
                    "log has the details, please report them with the file",
                )

    def _set_failed(self, job: Job, reason: str) -> None:
        self.report.done += 1
        self.report.failed[str(job.path)] = reason

    async def _index_file(self, job: Job, channel: FrameChannel) -> None:
        if job.again:
            await self._growing.load()
            await asyncio.to_thread(self._decode_again, job, job.again, channel)
            return
        media, _ = await asyncio.to_thread(source.identify_media, job.path, job.camera, job.start)
        self.report.cameras.add(job.camera)
        recipe, start_given = f"every={job.every:g}", job.start is not None
        entry = await retry_forever(lambda: self._admit(media, recipe, start_given), StoreUnreachable)
        self.report.total += media.duration
        if entry.done:
            self.report.known += 1
            self.report.done += 1
            self.report.seconds += media.duration
            return
        last = await retry_forever(lambda: self._store.last_time(entry.media.id), StoreUnreachable)
        after = (last - entry.media.start).total_seconds() if last else None
        taken = await retry_forever(lambda: self._taken(entry.media), StoreUnreachable) if last else []
        await asyncio.to_thread(self._decode, entry, job.every, after, decode.ReadReport(taken), channel)

    async def _taken(self, media: Media) -> list[float]:
        """Offsets of the frames that an earlier run stored, in order."""
        return sorted({record.offset async for record in self._store.scan(Where((media.camera,), media=(media.id,)))})

    async def _admit(self, media: Media, recipe: str, start_given: bool) -> CatalogEntry:
        """Return the catalog's entry; forget first what an earlier version of the file or another recipe left."""
        old = (await self._catalog.media([media.id])).get(media.id)
        at_path = [e for e in await self._catalog.media_at_path(media.path) if e.media.camera == media.camera]
        if old is None and not start_given and (growth := await self._growing.find(media, recipe, at_path)):
            if not growth.entry.done:
                await self._catalog.update_media(growth.entry.media)
            self._identities[growth.entry.media.id] = media.id, growth.size
            return growth.entry
        stale = [e.media.id for e in at_path if e.media.id != media.id]
        if old and (
            old.recipe != recipe or (start_given and abs((old.media.start - media.start).total_seconds()) > 0.5)
        ):
            stale.append(media.id)
            old = None
        if stale:
            await self._store.forget(Where(media=tuple(stale)))
            await self._catalog.remove_media(stale)
            await self._growing.forget(stale)
        if old is None:
            size = await asyncio.to_thread(lambda: Path(media.path).stat().st_size)
            self._identities[media.id] = media.id, size
            return await self._catalog.add_media(media, recipe)
        if old.media.path != media.path:
            await self._catalog.update_media(replace(old.media, path=media.path))
        return old

    def _decode_again(self, job: Job, entry: CatalogEntry, channel: FrameChannel) -> None:
        """Capture thread: read a media from its start, whose records were lost.

        Raises:
            MediaError: it cannot be read, or another file is in its place.
        """
        media = entry.media
        if media.kind is not Kind.SEGMENT and (
            source.identify_media(Path(media.path), media.camera)[0].id != self._growing.identity(media.id)
        ):
            raise MediaError(Path(media.path), "is another file than the one that was indexed; index it anew")
        self.report.cameras.add(media.camera)
        self.report.total += media.duration
        self._decode(entry, job.every, None, decode.ReadReport(), channel, job.within)

    def _decode(
        self,
        entry: CatalogEntry,
        every: float,
        after: float | None,
        read: decode.ReadReport,
        channel: FrameChannel,
        within: Sequence[Span] | None = None,
    ) -> None:
        """Capture thread: put the file's frames into the channel, then a barrier behind the last of them."""
        media, note, position, records = entry.media, "", after, len(read.earlier)
        readable = media.duration
        self._advance(position or 0.0)
        try:
            for frame in decode.read_frames(media, every, self._embedder.side, after, read, self._decoder):
                wanted = within is None or any(start <= frame.time < end for start, end in within)
                if self._stopping.is_set() or (wanted and not channel.put(PipelineItem(frame))):
                    return
                self._advance(frame.offset - (position or 0.0), frames=int(wanted))
                position = frame.offset
                records += wanted
        except OSError as error:  # the file was deleted, or its disk is gone
            if position is None:
                raise MediaError(media.path, f"cannot be read: {error.strerror or error}") from error
            note, readable = f"cannot be read to its end: {error.strerror or error}", position
        except MediaError as error:
            if position is None:
                raise
            note, readable = error.reason, position if error.readable_until is None else error.readable_until
        if not self._stopping.is_set():
            self._advance(max(0.0, media.duration - (position or 0.0)))
            finish = partial(self._finish, entry, note, readable, read, records, within)
            channel.put(Barrier(lambda: retry_forever(finish, StoreUnreachable)))

    def _advance(self, seconds: float, frames: int = 0) -> None:
        with self._lock:
            self.report.seconds += seconds
            self.report.frames += frames

    async def _finish(
        self,
        entry: CatalogEntry,
        note: str,
        readable: float,
        read: decode.ReadReport,
        records: int,
        within: Sequence[Span] | None,
    ) -> None:
        """Note coverage: ``readable`` seconds were watched but for the gaps in them, and the rest is a gap too."""
        media = entry.media
        spans = [(media.start, media.end)] if within is None else within
        if note:
            self.report.damaged[media.path] = note
        if media.kind is Kind.VIDEO:
            if note and media.at(readable) < media.end:
                await self._set_gap(media, readable, media.duration, note, spans)
            end = min(media.at(readable), media.end)
            for since, until in spans:
                watched = Coverage(media.camera, since, max(since, min(until, end)), CoverageState.WATCHED)
                await self._catalog.set_coverage(watched)
            for gap in read.gaps:
                await self._set_gap(media, gap.start, min(gap.end, readable), gap.cause, spans)
        if notes := [*read.notes, *_describe_gaps(read.gaps)]:
            self.report.notes[media.path] = "; ".join(notes)
        if media.kind in (Kind.VIDEO, Kind.PHOTO):  # a recorded segment loses records by retention, so none are counted
            await self._catalog.finish_media(media.id, note or "; ".join(read.notes), records=records)
        if (seen := self._identities.pop(media.id, None)) and media.kind is Kind.VIDEO:
            await self._growing.remember(media.id, Path(media.path), *seen)
        self.report.done += 1

    async def _set_gap(self, media: Media, start: float, end: float, cause: str, within: Sequence[Span]) -> None:
        """Note a gap from ``start`` to ``end`` (seconds of the media), inside the spans."""
        for since, until in within:
            begin, close = max(media.at(start), since), min(media.at(end), until)
            if begin < close:
                await self._catalog.set_coverage(Coverage(media.camera, begin, close, CoverageState.GAP, cause))


def _describe_gaps(gaps: Sequence[Gap]) -> list[str]:
    by_cause: dict[str, float] = {}
    for gap in gaps:
        by_cause[gap.cause] = by_cause.get(gap.cause, 0.0) + gap.end - gap.start
    return [f"{seconds:.1f} s were not looked at: {cause}" for cause, seconds in by_cause.items()]
