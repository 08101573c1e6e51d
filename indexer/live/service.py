"""Indexes live cameras: composes readers, a pipeline and catalog notes, and starts and stops them together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import count

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence, FencedWriter
from footage.indexer.embed.base import Embedder
from footage.indexer.live.cameras import CameraState, LiveCameras
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.live.clock_notes import ClockNotes
from footage.indexer.live.load import Load, LoadMeter, Reading
from footage.indexer.live.progress import OnWritten, WrittenProgress
from footage.indexer.live.recovery import recover_segments, remove_missing_segments
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Barrier, FrameChannel, Pipeline
from footage.indexer.pipeline.refused import RefusedRecords
from footage.indexer.pipeline.retry import RetryingEmbedder, SpoolingWriter
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.errors import PASSING, StoreError
from footage.indexer.supervisor import Supervisor
from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.processors import read_processor_time
from footage.stream.recording.archive import SegmentArchive

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0
"""Seconds between notes of what was watched."""
CLUSTER_TICKS = 5
"""A cluster gets only every fifth note, besides the one with each new record: 1,000 cameras note there."""


class LiveService:
    """Indexes live cameras from ``start`` until ``stop``.

    Threads: one reader a camera (demuxing, decoding, gate, recorder), the embedder's own, and the event loop, where
    three stages of the supervisor run: the pipeline writes records, ``CatalogWriter`` writes media and coverage, each
    camera's in the order in which they happened, and a ticker notes coverage as it grows. The latter two are restarted
    when they die. The pipeline is not, because the frames in it are lost; from the oldest of them on the cameras were
    not watched, and the service must end. ``stop`` stops the readers, lets what is in flight be embedded and written,
    closes segments and notes the coverage; what takes longer than ``within`` seconds is given up. In between cameras
    come and go by ``add`` and ``remove``, in the event loop.

    Attributes:
        archive: the recorded segments.
    """

    def __init__(
        self,
        cameras: LiveCameras,
        notes: CatalogWriter,
        channel: FrameChannel,
        pipeline: Pipeline,
        writer: SpoolingWriter,
        *,
        archive: SegmentArchive,
        spool: Spool | None,
        fence: Fence | None,
        clock_notes: ClockNotes,
        supervisor: Supervisor,
    ) -> None:
        """Run composed parts, as stages of the supervisor; ``start`` composes them."""
        self.archive = archive
        self._cameras, self._notes, self._channel, self._pipeline = cameras, notes, channel, pipeline
        self._writer, self._spool, self._fence = writer, spool, fence
        self._meter, self._clock_notes = LoadMeter(), clock_notes
        self._loop = asyncio.get_running_loop()
        self._embedding = supervisor.start("pipeline", pipeline.run, restart=False, on_failed=self._note_lost)
        self._noting = supervisor.start("catalog", notes.run)
        self._ticking = supervisor.start("coverage", self._tick)

    @classmethod
    async def start(
        cls,
        embedder: Embedder,
        store: Store,
        catalog: Catalog,
        cameras: Sequence[Camera],
        *,
        archive: SegmentArchive,
        supervisor: Supervisor,
        least_free: int = 1 << 30,
        spool: Spool | None = None,
        fence: Fence | None = None,
        refused: RefusedRecords | None = None,
        on_written: OnWritten | None = None,
        decoder: Decoder = SOFTWARE,
    ) -> LiveService:
        """Recover what a killed service left, then start every camera.

        Args:
            supervisor: runs the stages; it must end after ``stop``.
            least_free: bytes that must be free on the disk for recording to go on.
            spool: where records wait while the store cannot be reached; without one they wait in memory.
            refused: where records are set aside that the store refuses for good; without it they are tried for ever.
            fence: keeps out what may not be written any more, where cameras are shared with other workers.
            on_written: awaited with records once they are durable.
            decoder: what decodes the cameras' video.
        """
        await recover_segments(catalog, archive, store)
        if fence is None and cameras:  # else a segment whose file is not here may be another worker's
            await remove_missing_segments(catalog, archive, store, [camera.name for camera in cameras])
        channel: FrameChannel = Channel(max(8 * embedder.batch, 2 * len(cameras)))
        notes = CatalogWriter(catalog, fence)
        running = LiveCameras(catalog, channel, notes, archive, embedder.side, least_free, decoder)
        errors = PASSING if refused else StoreError
        fenced = FencedWriter(store, fence) if fence else store
        writer = SpoolingWriter(fenced, spool, refused, errors, supervisor=supervisor)
        progress = WrittenProgress(running, notes, fence, on_written)
        pipeline = Pipeline(channel, RetryingEmbedder(embedder), writer, wait=0.1, seconds=0.5, on_written=progress)
        service = cls(
            *(running, notes, channel, pipeline, writer),
            archive=archive,
            spool=spool,
            fence=fence,
            clock_notes=ClockNotes(catalog, notes),
            supervisor=supervisor,
        )
        for camera in cameras:
            await service.add(camera)
        return service

    async def add(self, camera: Camera) -> None:
        """Begin to watch a camera."""
        await self._cameras.add(camera)

    async def remove(self, name: str, *, lost: bool = False) -> None:
        """Stop watching a camera.

        When it returns, everything of the camera is written, also what waited in the spool; if the camera is ``lost``
        to another worker, nothing is waited for, because the fence lets nothing pass. Twice does no harm.
        """
        camera = self._cameras.get(name)
        if camera is None:
            return
        await camera.stop()
        if not lost:
            await self._flush()
        self._cameras.discard(camera)

    async def _flush(self) -> None:
        """Return when all that has been captured and noted until now is written."""
        written = asyncio.Event()

        async def on_reached() -> None:
            self._notes.call_when_written(written.set)

        if await asyncio.to_thread(self._channel.put, Barrier(on_reached)):
            waiting = asyncio.ensure_future(written.wait())
            try:
                await asyncio.wait([waiting, self._embedding.task], return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        while self._spool and self._spool.pending:  # noqa: ASYNC110 - nothing signals that the file is empty
            await asyncio.sleep(0.2)

    async def stop(self, within: float = 10.0) -> bool:
        """Stop cleanly; returns whether everything in flight was finished within ``within`` seconds."""
        deadline = self._loop.time() + within
        await self._ticking.cancel()
        self._notes.lift_limit()
        ended = await self._cameras.stop(within / 2)
        self._channel.close()
        embedded = await self._embedding.finish(max(0.1, deadline - self._loop.time()))
        self._notes.close()
        noted = await self._noting.finish(max(0.5, deadline - self._loop.time()))
        await self._writer.close()
        return ended and embedded and noted

    def cameras(self) -> list[CameraState]:
        """Return what every camera does now, by name."""
        return self._cameras.states()

    def backlog(self) -> dict[str, int]:
        """Return how much waits: frames to be embedded, notes for the catalog, bytes of records for the store."""
        spooled = self._spool.pending if self._spool else 0
        return {"frames": len(self._channel), "notes": self._notes.backlog, "spool_bytes": spooled}

    @property
    def fenced_records(self) -> int:
        """Records that were dropped because another worker watches their camera now."""
        return self._fence.dropped if self._fence else 0

    @property
    def problem(self) -> str:
        """Why records cannot be written now; empty when they can."""
        return self._writer.problem

    def load(self) -> Load:
        """Return how busy this machine was over the last minute."""
        return self._meter.load(self._cameras.live_count())

    def _note_lost(self, cause: str) -> None:
        """The pipeline has died: note that what it had not written, and what comes after that, is not indexed."""
        oldest = self._pipeline.unwritten()
        log.error("frames of %d cameras are lost with the pipeline: their coverage has a gap", len(oldest))
        self._cameras.stop_watching(oldest, f"indexing failed ({cause})")

    async def _tick(self) -> None:
        every = CLUSTER_TICKS if self._spool else 1
        for tick in count(1):
            await asyncio.sleep(TICK_SECONDS)
            self._cameras.note_progress(coverage=tick % every == 0)
            own, others = read_processor_time()
            embed, dropped = self._pipeline.stats.embed_seconds, self._cameras.dropped
            self._meter.add(Reading(self._loop.time(), embed, own, others, dropped))
            with suppress(StoreError):  # it is read again at the next tick; that the catalog is away is told elsewhere
                await self._clock_notes.look([camera.name for camera in self._cameras.states()])
