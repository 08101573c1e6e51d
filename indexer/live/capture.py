"""One live camera on its way into the index: gate, recorder, and what was watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

import supervision as sv
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from footage.indexer.camera import Camera
from footage.indexer.pipeline.channel import Channel
from footage.indexer.pipeline.pipeline import Item, Mark
from footage.indexer.store.base import Coverage, State
from footage.stream.frame import Clock, Frame, Image, Kind, Media
from footage.stream.live.contracts import LivePacket, LiveState
from footage.stream.motion.gate import Gate
from footage.stream.recording import segment
from footage.stream.recording.recorder import Recorder

NOT_RUNNING = "footage was not running"


class Books(Protocol):
    """Takes notes for the catalogue, from any thread, in order."""

    def admit(self, media: Media) -> None:
        """A media has begun."""

    def amend(self, media: Media) -> None:
        """A media has ended: its last path and duration."""

    def cover(self, coverage: Coverage) -> None:
        """A span was watched, or not and why."""


class Capture:
    """What a reader feeds (a ``stream.live.contracts.Sink``).

    Threads: the reader's thread calls ``opened``, ``packet``, ``frame`` and ``closed``; the event loop calls
    ``progress``. They share only ``_watch``, a tuple that is replaced as a whole.
    """

    def __init__(
        self,
        camera: Camera,
        channel: Channel[Item | Mark],
        books: Books,
        recorder: Callable[[Callable[[Media], None], Callable[[Media], None]], Recorder] | None,
        last: datetime | None,
    ) -> None:
        """Nothing is captured yet.

        Args:
            recorder: makes the recorder from what is to be called when a segment begins and ends.
            last: when the camera was last watched, in an earlier run.
        """
        self.camera = camera
        self.seen = self.kept = self.dropped = 0
        self.rate = sv.FPSMonitor(sample_size=60)  # of the frames looked at
        self._channel, self._books = channel, books
        self.recorder = recorder(self._begun, books.amend) if recorder else None
        self._gate = Gate(max_gap=camera.max_gap, ignore=camera.ignore, regions=camera.regions)
        self._feed: Media | None = None
        # Watched since and until; or, when there is no "until", not watched since, and why not.
        self._watch: tuple[datetime, datetime | None, str] | None = (last, None, NOT_RUNNING) if last else None

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        """Reader's thread: a connection has begun."""
        if self._watch and self._watch[1] is None:
            self._cover(State.GAP, self._watch[0], start, self._watch[2])
        self._watch = (start, start, "")
        self._feed = None
        self._clock, self._start = clock, start
        if self.recorder:
            self.recorder.begin([s for s in (video, audio) if s], clock)

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        """Reader's thread: every packet."""
        if self._watch and self._watch[1] and time > self._watch[1]:
            self._watch = (self._watch[0], time, "")
        if self.recorder:
            self.recorder.packet(packet, time, keyframe)

    def frame(self, image: Image, time: datetime) -> None:
        """Reader's thread: a sampled frame; the oldest frames waiting are dropped when there is no room."""
        self.seen += 1
        self.rate.tick()
        sight = self._gate.look(image, time)
        if sight is None:
            return
        self.kept += 1
        media = (self.recorder.media if self.recorder else None) or self._unrecorded()
        frame = Frame(self.camera.name, time, media, (time - media.start).total_seconds(), image)
        for lost in self._channel.offer(Item(frame, sight.regions), lambda item: isinstance(item, Item)):
            assert isinstance(lost, Item)
            self.on_drop(lost.frame.camera)

    def on_drop(self, camera: str) -> None:
        """A frame of ``camera`` was dropped for want of room; replaced by whoever counts for all cameras."""
        del camera
        self.dropped += 1

    def closed(self, cause: str, at: datetime) -> None:
        """Reader's thread: the connection has ended."""
        if self.recorder:
            self.recorder.end()
        if self._feed:
            self._books.amend(replace(self._feed, duration=max(self.camera.every, (at - self._start).total_seconds())))
        if self._watch and self._watch[1]:
            self._cover(State.WATCHED, self._watch[0], at, "")
        self._watch = (at, None, NOT_RUNNING if cause == LiveState.STOPPED else cause)

    def progress(self, now: datetime | None = None) -> None:
        """Event loop: note what was watched so far; or, when ``now`` is given, for how long it has not been."""
        watch = self._watch
        if watch and watch[1]:
            self._cover(State.WATCHED, watch[0], watch[1], "")
        elif watch and now:
            self._cover(State.GAP, watch[0], now, watch[2])

    def _cover(self, state: State, start: datetime, end: datetime, cause: str) -> None:
        if start < end:
            self._books.cover(Coverage(self.camera.name, start, end, state, cause))

    def _begun(self, media: Media) -> None:
        self._books.admit(media)

    def _unrecorded(self) -> Media:
        """The media of frames that are not recorded: one a connection, from which nothing can be cut."""
        if self._feed is None:
            name = segment.identity(f"{self.camera.name}~feed", self._start)
            self._feed = Media(name, self.camera.name, "", Kind.FEED, self._start, self._clock, 0.0)
            self._books.admit(self._feed)
        return self._feed
