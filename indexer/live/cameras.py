"""Runs the reader, gate and recorder of each live camera, and reports the state of all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from footage.indexer.camera import Camera
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.pipeline.pipeline import CROP_SOURCE_SIDE, FrameChannel
from footage.indexer.store.base import Catalog
from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.instants import EPOCH
from footage.stream.live.contracts import ConnectionState, ConnectionStatus
from footage.stream.live.reader import Reader
from footage.stream.recording.archive import SegmentArchive
from footage.stream.recording.recorder import Recorder

if TYPE_CHECKING:
    from footage.indexer.live.capture import CameraCapture, MakeRecorder

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CameraState:
    """One camera now: its reader's status, its recorder's state, frames compared per second, and counts."""

    name: str
    status: ConnectionStatus
    recording: str
    rate: float
    seen: int
    kept: int
    dropped: int


@dataclass(frozen=True, slots=True, eq=False)
class RunningCamera:
    """A camera that is being watched: its reader, and what the reader feeds."""

    reader: Reader
    capture: CameraCapture

    @property
    def name(self) -> str:
        """Name of the camera."""
        return self.capture.camera.name

    async def stop(self) -> None:
        """Stop the reader, however long that takes."""
        while not await asyncio.to_thread(self.reader.stop):
            log.warning("%s: it has not stopped yet", self.name)

    def state(self) -> CameraState:
        """Return what the camera does now."""
        capture = self.capture
        recording = capture.recorder.state.value if capture.recorder else "not recorded"
        counts = (float(capture.rate.fps), capture.seen, capture.kept, capture.dropped)
        return CameraState(self.name, self.reader.snapshot(), recording, *counts)


class LiveCameras:
    """The live cameras that are watched, each with a reader.

    Threads: one reader a camera (demuxing, decoding, gate, recorder), which feeds a ``CameraCapture`` and counts
    dropped frames; everything else happens in the event loop.

    Args:
        channel: where frames go.
        notes: where the captures note media and coverage.
        side: shorter side in pixels of the images that the embedder wants.
        least_free: bytes that must be free on the disk for recording to go on.
        decoder: what decodes.

    Attributes:
        dropped: frames dropped so far because the channel was full.
    """

    def __init__(
        self,
        catalog: Catalog,
        channel: FrameChannel,
        notes: CatalogWriter,
        archive: SegmentArchive,
        side: int,
        least_free: int,
        decoder: Decoder = SOFTWARE,
    ) -> None:
        self.dropped = 0
        self._decoder = decoder
        self._catalog, self._channel, self._notes, self._archive = catalog, channel, notes, archive
        self._side, self._least_free = side, least_free
        self._running: dict[str, RunningCamera] = {}

    async def add(self, camera: Camera) -> None:
        """Begin to watch a camera."""
        known = await self._catalog.coverage([camera.name], EPOCH, datetime.now(UTC))
        last = max((c.end for c in known), default=None)
        make_recorder = self._recorder(camera) if camera.record else None
        make_capture = await asyncio.to_thread(_load_capture)
        capture = make_capture(camera, self._channel, self._notes, make_recorder, last, self._count_drop)
        reader = Reader(
            camera.name,
            camera.url,
            capture,
            every=camera.every,
            side=max(CROP_SOURCE_SIDE, self._side) if camera.regions else self._side,
            transport=camera.transport,
            stall=camera.stall,
            after=last,
            decoder=self._decoder,
        )
        self._running[camera.name] = RunningCamera(reader, capture)
        reader.start()

    def get(self, name: str) -> RunningCamera | None:
        """Return a camera that is being watched, or None."""
        return self._running.get(name)

    def discard(self, camera: RunningCamera) -> None:
        """Forget a camera whose reader was stopped, unless another of its name has been added since."""
        if self._running.get(camera.name) is camera:
            del self._running[camera.name]

    async def stop(self, within: float) -> bool:
        """Stop all readers; returns whether all of them ended within so many seconds."""
        readers = [running.reader for running in self._running.values()]
        return all(await asyncio.gather(*(asyncio.to_thread(reader.stop, within) for reader in readers)))

    def states(self) -> list[CameraState]:
        """Return what every camera does now, by name."""
        return [running.state() for _, running in sorted(self._running.items())]

    def live_count(self) -> int:
        """Return how many cameras deliver images now."""
        return sum(running.reader.snapshot().state is ConnectionState.LIVE for running in self._running.values())

    def note_progress(self, coverage: bool) -> None:
        """Give recorders their reader's clock and, with ``coverage``, note until when each camera was watched."""
        for running in self._running.values():
            if coverage:
                running.capture.note_progress(datetime.now(UTC))
            if running.capture.recorder:
                running.capture.recorder.clock = running.reader.snapshot().clock

    def stop_watching(self, since: Mapping[str, datetime], cause: str) -> None:
        """Note that what cameras capture is lost: from these times on, by name, or from now."""
        for name, running in self._running.items():
            running.capture.stop_watching(since.get(name), cause)

    def _recorder(self, camera: Camera) -> MakeRecorder:
        return lambda opened, closed: Recorder(
            self._archive.folder,
            camera.name,
            on_opened=opened,
            on_closed=closed,
            has_room=lambda: self._archive.has_room(self._least_free),
        )

    def _count_drop(self, camera: str) -> None:
        """Reader's thread: a frame of ``camera`` was dropped."""
        self.dropped += 1
        if running := self._running.get(camera):
            running.capture.dropped += 1


def _load_capture() -> type[CameraCapture]:
    from footage.indexer.live.capture import CameraCapture  # takes half a second to import, and only cameras need it

    return CameraCapture
