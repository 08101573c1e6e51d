"""All live cameras of one service: readers in, one pipeline, records and coverage out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence, Fenced
from footage.indexer.embed.base import Embedder
from footage.indexer.live.capture import Capture
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import CROPPED, Item, Mark, Pipeline
from footage.indexer.pipeline.retry import Durable, Patient, patiently
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Catalog, Coverage, Record, State, Store, StoreError, StoreUnreachable
from footage.stream.frame import Kind, Media
from footage.stream.live.contracts import LiveState, Status
from footage.stream.live.reader import Reader
from footage.stream.recording.archive import Shelf
from footage.stream.recording.recorder import Recorder

T = TypeVar("T")
log = logging.getLogger(__name__)

BEHIND = 1000  # notes that wait
TICK = 2.0  # seconds between notes of what was watched
PAST = datetime(1970, 1, 1, tzinfo=UTC)
RECIPE = "live"
SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class CameraState:
    """One camera now: its reader's status, its recorder's state, frames looked at a second, and counts."""

    name: str
    status: Status
    recording: str
    rate: float
    seen: int
    kept: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Load:
    """How busy this machine is with embedding.

    Attributes:
        busy: share of the last minute in which something was being embedded, 0..1.
        sustained: how many cameras like the present ones it could serve; None while nothing was embedded.
        dropped: frames dropped in the last minute for want of room.
    """

    busy: float
    sustained: int | None
    dropped: int


class Live:
    """Indexes live cameras until it is stopped.

    Threads: one reader a camera (demuxing, decoding, gate, recorder), the embedder's own, and the event loop, where the
    pipeline writes, ``_books`` notes media and coverage in the order in which they happened, and a ticker notes
    coverage as it grows. ``stop`` stops the readers, lets what is in flight be embedded and written, closes segments
    and notes the coverage; what that takes longer than ``within`` seconds is given up. Between ``start`` and ``stop``
    cameras come and go by ``add`` and ``drop``, in the event loop.

    Args:
        fence: keeps out what may not be written any more, where cameras are shared with other workers.
    """

    def __init__(
        self,
        embedder: Embedder,
        store: Store,
        catalog: Catalog,
        cameras: Sequence[Camera],
        *,
        shelf: Shelf,
        least_free: int = 1 << 30,
        spool: Spool | None = None,
        fence: Fence | None = None,
        written: Callable[[Sequence[Record]], Awaitable[None]] | None = None,
    ) -> None:
        self.shelf = shelf
        self._embedder, self._store, self._catalog, self._cameras = embedder, store, catalog, cameras
        self._least_free, self._spool, self._fence, self._written = least_free, spool, fence, written
        self._readers: dict[str, Reader] = {}
        self._captures: dict[str, Capture] = {}
        self._open: dict[str, Media] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._meter = Meter()
        self._drops = 0

    async def start(self) -> None:
        """Recover what a killed service left, then start every camera."""
        self._loop = asyncio.get_running_loop()
        self._notes: asyncio.Queue[Callable[[], Awaitable[Any]] | None] = asyncio.Queue()
        await self._recover()
        self._channel: Channel[Item | Mark] = Channel(max(8 * self._embedder.batch, 2 * len(self._cameras)))
        store = Fenced(self._store, self._fence) if self._fence else self._store
        self._writer = Durable(store, self._spool, StoreError)
        self.pipeline = Pipeline(
            self._channel, Patient(self._embedder), self._writer, wait=0.1, seconds=0.5, written=self._durable
        )
        work = (self.pipeline.run(), self._book(), self._tick())
        self._tasks = [asyncio.create_task(one) for one in work]
        for camera in self._cameras:
            await self.add(camera)

    async def _recover(self) -> None:
        """Segments that a killed service left open get their real end; rows of those that held nothing go."""
        for media in await asyncio.to_thread(self.shelf.recover):
            await self._catalog.admit(media, RECIPE)
            await self._catalog.amend(media)
            await self._catalog.cover(Coverage(media.camera, media.start, media.end, State.WATCHED))
        if self._fence:  # a segment whose file is not here may be another worker's
            return
        for entry in await self._catalog.between([c.name for c in self._cameras], PAST, datetime.now(UTC)):
            media, path = entry.media, Path(entry.media.path)
            mine = media.kind is Kind.SEGMENT and path.is_relative_to(self.shelf.folder)
            if mine and not await asyncio.to_thread(path.exists):
                same = await asyncio.to_thread(self._shelved, media)
                await (self._catalog.amend(same) if same else self._catalog.remove([media.id]))

    def _shelved(self, media: Media) -> Media | None:
        """The finished segment with this id."""
        around = self.shelf.segments(media.camera, media.start - SECOND, media.start + SECOND)
        return next((one for one in around if one.id == media.id), None)

    async def add(self, camera: Camera) -> None:
        """Begin to watch a camera."""
        known = await self._catalog.coverage([camera.name], PAST, datetime.now(UTC))
        last = max((c.end for c in known), default=None)
        capture = Capture(camera, self._channel, self, self._recorder(camera) if camera.record else None, last)
        capture.on_drop = self._dropped  # type: ignore[method-assign]
        reader = Reader(
            camera.name,
            camera.url,
            capture,
            every=camera.every,
            side=max(CROPPED, self._embedder.side) if camera.regions else self._embedder.side,
            transport=camera.transport,
            stall=camera.stall,
            after=last,
        )
        self._captures[camera.name], self._readers[camera.name] = capture, reader
        reader.start()

    async def drop(self, name: str, *, lost: bool = False) -> None:
        """Stop watching a camera.

        When it returns, everything of the camera is written, also what waited in the spool; if the camera is ``lost``
        to another worker, nothing is waited for, because the fence lets nothing pass. Twice does no harm.
        """
        reader = self._readers.get(name)
        if reader is None:
            return
        while not await asyncio.to_thread(reader.stop):
            log.warning("%s: it has not stopped yet", name)
        if not lost:
            await self._settled()
        if self._readers.get(name) is reader:
            self._readers.pop(name, None)
            self._captures.pop(name, None)

    async def _settled(self) -> None:
        """Return when all that has been captured and noted until now is written."""
        noted = asyncio.Event()

        async def note() -> None:
            noted.set()

        async def written() -> None:
            self._notes.put_nowait(note)

        if await asyncio.to_thread(self._channel.put, Mark(written)):
            await noted.wait()
        while self._spool and self._spool.waiting:  # noqa: ASYNC110 - a file tells nobody when it is empty
            await asyncio.sleep(0.2)

    def _recorder(self, camera: Camera) -> Callable[[Callable[[Media], None], Callable[[Media], None]], Recorder]:
        return lambda opened, closed: Recorder(
            self.shelf.folder,
            camera.name,
            opened=opened,
            closed=closed,
            room=lambda: self.shelf.room(self._least_free),
        )

    async def stop(self, within: float = 10.0) -> bool:
        """Stop cleanly; returns whether everything in flight was finished in time."""
        deadline = self._loop.time() + within
        pipeline, books, ticker = self._tasks
        ticker.cancel()
        readers = self._readers.values()
        ended = await asyncio.gather(*(asyncio.to_thread(r.stop, within / 2) for r in readers))
        self._channel.close()
        done, _ = await asyncio.wait([pipeline], timeout=max(0.1, deadline - self._loop.time()))
        self._notes.put_nowait(None)
        noted, _ = await asyncio.wait([books], timeout=max(0.5, deadline - self._loop.time()))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._writer.close()
        return all(ended) and bool(done) and bool(noted)

    def cameras(self) -> list[CameraState]:
        """Every camera now, by name."""
        return [self._state(name) for name in sorted(self._readers)]

    def _state(self, name: str) -> CameraState:
        capture = self._captures[name]
        recording = capture.recorder.state.value if capture.recorder else "not recorded"
        counts = (float(capture.rate.fps), capture.seen, capture.kept, capture.dropped)
        return CameraState(name, self._readers[name].snapshot(), recording, *counts)

    @property
    def fenced(self) -> int:
        """Records that were dropped because another worker watches their camera now."""
        return self._fence.dropped if self._fence else 0

    def load(self) -> Load:
        """How busy this machine is, over the last minute."""
        live = sum(s.status.state is LiveState.LIVE for s in self.cameras())
        return self._meter.load(live)

    # What the captures note, from their threads (``indexer.live.capture.Books``).

    def admit(self, media: Media) -> None:
        """A media has begun."""
        self._open[media.id] = media
        self._note(media.camera, media.start, lambda: self._catalog.admit(media, RECIPE))

    def amend(self, media: Media) -> None:
        """A media has ended; one without duration holds nothing."""
        self._open.pop(media.id, None)
        kept = media.duration > 0
        work = (lambda: self._catalog.amend(media)) if kept else (lambda: self._catalog.remove([media.id]))
        self._note(media.camera, media.end, work)

    def cover(self, coverage: Coverage) -> None:
        """A span was watched, or not."""
        self._note(coverage.camera, coverage.end, lambda: self._catalog.cover(coverage))

    def _note(self, camera: str, time: datetime, work: Callable[[], Awaitable[Any]]) -> None:
        """Have ``work`` done, in order, if what happened at this time may be written."""

        async def note() -> None:
            if self._fence is None or self._fence.passes(camera, time):
                await work()

        self._loop.call_soon_threadsafe(self._notes.put_nowait, note)

    def _dropped(self, camera: str) -> None:
        self._drops += 1
        if capture := self._captures.get(camera):
            capture.dropped += 1

    async def _book(self) -> None:
        while (work := await self._notes.get()) is not None:
            try:
                await patiently(work, StoreUnreachable)
            except StoreError:
                log.exception("the catalogue could not take a note")

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            behind = self._notes.qsize() > BEHIND  # the catalogue is away: what is noted later covers this too
            for name, capture in self._captures.items():
                if not behind:
                    capture.progress(datetime.now(UTC))
                if capture.recorder:
                    capture.recorder.clock = self._readers[name].snapshot().clock
            self._meter.note(self._loop.time(), self.pipeline.flow.embedding, self._drops)

    async def _durable(self, records: Sequence[Record]) -> None:
        """Coverage and open segments reach as far as the newest record, so that its picture can be cut at once."""
        if self._fence:
            records = [r for r in records if not self._fence.void(r.camera, r.time)]
        newest: dict[str, datetime] = {}
        for record in records:
            newest[record.media] = max(newest.get(record.media, record.time), record.time)
        for camera in {r.camera for r in records}:
            if capture := self._captures.get(camera):
                capture.progress()
        for name, time in newest.items():
            media = self._open.get(name)
            capture = self._captures.get(media.camera) if media else None
            if media and capture:
                length = (time - media.start).total_seconds() + capture.camera.every
                await self._grown(replace(media, duration=length))
        if self._written and records:
            await self._written(records)

    async def _grown(self, media: Media) -> None:
        try:
            if self._fence is None or self._fence.passes(media.camera, media.end):
                await self._catalog.amend(media)
        except StoreUnreachable:
            self._note(media.camera, media.end, lambda: self._catalog.amend(media))


class Meter:
    """Load over the last minute, from readings."""

    SPAN = 60.0

    def __init__(self) -> None:
        self._readings: list[tuple[float, float, int]] = []

    def note(self, at: float, embedding: float, dropped: int) -> None:
        """A reading: when, seconds spent embedding so far, frames dropped so far."""
        self._readings.append((at, embedding, dropped))
        while self._readings[0][0] < at - self.SPAN:
            del self._readings[0]

    def load(self, cameras: int) -> Load:
        """The load that ``cameras`` live cameras made."""
        if len(self._readings) < 2:
            return Load(0.0, None, 0)
        (t0, e0, d0), (t1, e1, d1) = self._readings[0], self._readings[-1]
        busy = min(1.0, (e1 - e0) / (t1 - t0))
        return Load(busy, int(cameras / busy) if busy > 0.001 else None, d1 - d0)
