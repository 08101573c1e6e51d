"""Passes what a live camera's reader delivers to gate, recorder and pipeline, and notes what was watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import supervision as sv
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from footage.indexer.camera import Camera
from footage.indexer.live.catalog_writer import CatalogWriter
from footage.indexer.pipeline.pipeline import FrameChannel, PipelineItem
from footage.indexer.store.base import Coverage, CoverageState
from footage.stream.frame import Clock, Frame, Image, Kind, Media
from footage.stream.instants import EPOCH
from footage.stream.live.contracts import ConnectionState, LivePacket
from footage.stream.motion.gate import Gate
from footage.stream.recording import segment
from footage.stream.recording.recorder import MIN_DURATION, Recorder

NOT_RUNNING = "footage was not running"

MakeRecorder = Callable[[Callable[[Media], None], Callable[[Media], None]], Recorder]
"""Makes a recorder from two callbacks: for the beginning and for the end of a segment."""


@dataclass(frozen=True, slots=True)
class _Span:
    """Watched from ``since`` to ``until``; where ``until`` is None, not watched from ``since`` on, due to ``cause``."""

    since: datetime
    until: datetime | None
    cause: str = ""


class CameraCapture:
    """What a reader feeds (a ``stream.live.contracts.Sink``).

    Threads: the reader's thread calls ``opened``, ``packet``, ``frame`` and ``closed``; the event loop calls
    ``note_progress`` and ``stop_watching``. They share only ``_span``, ``_noted`` and ``_lost``, which are immutable
    and replaced as a whole.

    Attributes:
        seen, kept: frames that the gate compared, and those of them that were embedded.
        dropped: frames dropped because the channel was full; whoever gets ``on_drop`` counts them.
        rate: frames compared per second.
    """

    def __init__(
        self,
        camera: Camera,
        channel: FrameChannel,
        catalog: CatalogWriter,
        make_recorder: MakeRecorder | None,
        last: datetime | None,
        on_drop: Callable[[str], None],
    ) -> None:
        """Nothing is captured yet.

        Args:
            make_recorder: None for a camera that is not recorded.
            last: when the camera was last watched, in an earlier run.
            on_drop: called, from the reader's thread, with the camera of each frame that was dropped for space in
                the channel; it may be another camera's.
        """
        self.camera = camera
        self.seen = self.kept = self.dropped = 0
        self.rate = sv.FPSMonitor(sample_size=60)
        self._channel, self._catalog, self._on_drop = channel, catalog, on_drop
        self.recorder = make_recorder(catalog.add_media, catalog.close_media) if make_recorder else None
        self._gate = Gate(max_gap=camera.max_gap, ignore=camera.ignore, regions=camera.regions)
        self._feed: Media | None = None
        self._start, self._clock = EPOCH, Clock.ARRIVAL  # of the connection
        self._span = _Span(last, None, NOT_RUNNING) if last else None
        self._lost: _Span | None = None
        self._noted: tuple[datetime, CoverageState, datetime] | None = None  # the span that was noted last

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        """Reader's thread: a connection has begun."""
        if self._span and self._span.until is None:
            self._cover(CoverageState.GAP, self._span.since, start, self._span.cause)
        self._span = _Span(start, start)
        if self._lost and start < self._lost.since:  # the clock was set back, and this is lost too
            self._lost = replace(self._lost, since=start)
        self._feed = None
        self._start, self._clock = start, clock
        if self.recorder:
            self.recorder.begin([s for s in (video, audio) if s], clock)

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        """Reader's thread: every packet."""
        if self._span and self._span.until and time > self._span.until:
            self._span = _Span(self._span.since, time)
        if self.recorder:
            self.recorder.packet(packet, time, keyframe)

    def frame(self, image: Image, time: datetime) -> None:
        """Reader's thread: a sampled frame; the oldest waiting frames are dropped when the channel is full."""
        self.seen += 1
        self.rate.tick()
        decision = self._gate.decide(image, time)
        if decision is None:
            return
        self.kept += 1
        media = (self.recorder.media if self.recorder else None) or self._unrecorded()
        frame = Frame(self.camera.name, time, media, (time - media.start).total_seconds(), image)
        item = PipelineItem(frame, decision.regions)
        for dropped in self._channel.offer(item, lambda item: isinstance(item, PipelineItem)):
            assert isinstance(dropped, PipelineItem)
            self._on_drop(dropped.frame.camera)

    def closed(self, cause: str, at: datetime) -> None:
        """Reader's thread: the connection has ended."""
        try:
            if self.recorder:
                self.recorder.end()
            if self._feed:
                end = at + MIN_DURATION  # ``at`` is the time of the last frame, which is part of it
                duration = max(self.camera.every, (end - self._start).total_seconds())
                self._catalog.close_media(replace(self._feed, duration=duration))
        finally:  # a recorder that fails must not let the gap that begins here look watched
            if self._span and self._span.until:
                self._cover(CoverageState.WATCHED, self._span.since, at, "")
            self._span = _Span(at, None, NOT_RUNNING if cause == ConnectionState.STOPPED else cause)

    def note_progress(self, now: datetime | None = None) -> None:
        """Event loop: note what was watched so far; with ``now`` also for how long the camera has not been watched."""
        span = self._span
        if span and span.until:
            self._cover(CoverageState.WATCHED, span.since, span.until, "")
        elif span and now:
            self._cover(CoverageState.GAP, span.since, now, span.cause)

    def stop_watching(self, since: datetime | None, cause: str) -> None:
        """Event loop: what was captured after ``since``, or from now on, is lost and was not watched."""
        span = self._span
        until = span.until if span and span.until else datetime.now(UTC)
        self._lost = _Span(min(since or until, until), None, cause)
        self._cover(CoverageState.GAP, self._lost.since, until, cause)

    def _cover(self, state: CoverageState, start: datetime, end: datetime, cause: str) -> None:
        """Note what of a span was not noted before: what was noted may have expired since."""
        lost = self._lost
        if lost and state is CoverageState.WATCHED and end > lost.since:
            self._cover(CoverageState.GAP, max(start, lost.since), end, lost.cause)
            end = lost.since
        noted = self._noted
        new = max(start, noted[2]) if noted and noted[:2] == (start, state) else start
        if new < end:
            self._noted = (start, state, end)
            self._catalog.set_coverage(Coverage(self.camera.name, new, end, state, cause))

    def _unrecorded(self) -> Media:
        """Return the media of frames that are not recorded: one a connection, from which nothing can be cut."""
        if self._feed is None:
            name = segment.segment_id(f"{self.camera.name}~feed", self._start)
            self._feed = Media(name, self.camera.name, "", Kind.FEED, self._start, self._clock, 0.0)
            self._catalog.add_media(self._feed)
        return self._feed
