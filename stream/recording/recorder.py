"""A live feed's packets, kept as segments without re-encoding."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from av.error import FFmpegError
from av.video.stream import VideoStream

from footage.stream.frame import Clock, Media
from footage.stream.recording import segment
from footage.stream.recording.muxer import AnyPacket, AnyStream, Muxer, codec, fitting
from footage.stream.recording.repair import salvage, settle

log = logging.getLogger(__name__)

SECOND = timedelta(seconds=1)
BACK, AHEAD = -SECOND, 10 * SECOND  # a picture that is further from the one before begins something else
SHORTEST = timedelta(milliseconds=1)  # of a single picture whose length nobody says
NEVER = datetime.min.replace(tzinfo=UTC)
RETRY = timedelta(minutes=1)  # after the folder could not be written to
DAMAGE = (OSError, ValueError, FFmpegError)  # what a disk, or a packet that no muxer takes, may raise
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
FULL_DISK = "the disk is full: free some of it, or let footage expire earlier"


class State(StrEnum):
    """What a recorder does."""

    OFF = "off"  # no connection, or no keyframe yet
    RECORDING = "recording"
    FULL = "disk full"  # goes on by itself when there is room
    FAILED = "failed"  # ``Recorder.trouble`` says why


@dataclass
class _Open:
    """The segment being written.

    Attributes:
        last: UTC time of the newest picture given to it.
        end: UTC time at which the last of its pictures stops being shown.
    """

    media: Media
    muxer: Muxer
    last: datetime
    end: datetime

    def write(self, packet: AnyPacket, time: datetime, video: bool) -> None:
        length = self.muxer.write(packet, time)
        if video:
            self.last, self.end = time, max(self.end, time + length)


class Recorder:
    """Keeps one camera's feed as segments that begin at keyframes.

    Used by one thread, the camera's reader; others may look at ``state``, ``trouble`` and ``media``. What goes wrong
    with the disk is logged and shown there, never raised: the index goes on.

    Attributes:
        clock: where the times of packets come from; when it changes, the next keyframe begins a segment.
        state: what it does.
        trouble: why it does not record, or "".
    """

    def __init__(
        self,
        folder: Path,
        camera: str,
        *,
        length: float = 10.0,
        opened: Callable[[Media], None],
        closed: Callable[[Media], None],
        room: Callable[[], bool],
    ) -> None:
        """Make a recorder, which writes nothing yet.

        Args:
            folder: of all recordings.
            length: seconds that a segment has at least; it ends at the next keyframe.
            opened: told of each segment when it begins.
            closed: told of it when it is finished and durable, with its real duration and last path; with a duration
                of 0 when nothing of it could be kept.
            room: whether the disk has room to go on; asked once a second.
        """
        self.clock = Clock.ARRIVAL
        self.state = State.OFF
        self.trouble = ""
        self._folder, self._camera = folder.resolve(), camera
        self._length = timedelta(seconds=length)
        self._opened, self._closed, self._room = opened, closed, room
        self._streams: dict[int, AnyStream] = {}
        self._suffix = ""
        self._open: _Open | None = None
        self._asked = self._failed = NEVER

    @property
    def media(self) -> Media | None:
        """The segment being written, which frames decoded now belong to; None where nothing is written.

        Its duration is 0, and its path that of a file which can be read while it grows.
        """
        return self._open.media if self._open else None

    def begin(self, streams: Sequence[AnyStream], clock: Clock) -> None:
        """A connection begins, maybe with other codecs than the one before.

        Args:
            streams: of the opened feed: video, and sound if there is any. They must stay open until ``end``.
            clock: where the times of its packets come from.
        """
        self.end()
        self.clock = clock
        self._asked = self._failed = NEVER
        found = fitting(streams)
        if found is None:
            self._to(
                State.FAILED, f"{self._words(streams)} cannot be recorded: let the camera send H.264, H.265 or MJPEG"
            )
            return
        self._suffix, carried = found
        self._streams = {s.index: s for s in carried}
        if left := [s for s in streams if s.index not in self._streams]:
            log.warning("camera %s: %s is not recorded: choose AAC in the camera", self._camera, self._words(left))

    def packet(self, packet: AnyPacket, time: datetime, keyframe: bool) -> None:
        """Keep a packet, which is left as it is.

        Args:
            packet: of the pictures or the sound, in the order of the feed.
            time: UTC of its presentation time stamp.
            keyframe: whether decoding can begin with it; of no meaning for sound.
        """
        stream = self._streams.get(packet.stream.index)
        if stream is None or packet.size == 0:
            return
        video = isinstance(stream, VideoStream)
        try:
            if video:
                self._steer(time, keyframe)
            if self._open is None or time < self._open.media.start:
                return  # what is shown before the keyframe leans on pictures of the segment before
            self._open.write(packet, time, video)
        except DAMAGE as error:
            self._fail(error, time)

    def end(self) -> None:
        """The connection ended, or recording stops: finish the segment."""
        self._close()
        self._streams = {}
        self._to(State.OFF)

    def _steer(self, time: datetime, keyframe: bool) -> None:
        """End the segment, or begin one, where this picture asks for it."""
        if self._open and not BACK <= time - self._open.last <= AHEAD:
            self._close()
            self._to(State.OFF)
        if abs(time - self._asked) >= SECOND:
            self._asked = time
            if not self._room():
                self._close()
                self._to(State.FULL, FULL_DISK)
        if keyframe and self._due(time):
            self._close(time)
            self._start(time)

    def _due(self, time: datetime) -> bool:
        if self._open:
            return time - self._open.media.start >= self._length or self.clock is not self._open.media.clock
        if self.state is State.FULL and not self._room():
            return False
        return abs(time - self._failed) >= RETRY

    def _start(self, time: datetime) -> None:
        media = segment.begun(self._folder, self._camera, time, self.clock, self._suffix)
        path = Path(media.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.resolve() != path.parent:
            raise OSError(errno.ELOOP, "leads out of the folder of recordings, where nothing would ever expire")
        self._open = _Open(media, Muxer(path, list(self._streams.values()), time), time, time + SHORTEST)
        self._to(State.RECORDING)
        self._opened(media)

    def _close(self, follower: datetime | None = None) -> None:
        """Finish the segment.

        Args:
            follower: when the segment after it begins: its last picture is shown until then.
        """
        if self._open is None:
            return
        this, self._open = self._open, None
        if follower and abs(follower - this.end) < SECOND and follower > this.last:
            this.end = follower
        try:
            this.muxer.close()
            done = settle(this.media, (this.end - this.media.start) / SECOND)
        except DAMAGE as error:
            log.warning("camera %s: %s was not finished: %s", self._camera, this.media.path, error)
            self._rescue(this.media)
        else:
            self._closed(done)

    def _rescue(self, media: Media) -> None:
        """Keep what could be written of a segment."""
        done = None
        with suppress(OSError):  # then it stays as it is until the next start
            done = salvage(Path(media.path))
        self._closed(done or media)

    def _fail(self, error: Exception, time: datetime) -> None:
        if self._open:
            this, self._open = self._open, None
            with suppress(*DAMAGE):
                this.muxer.close()
            self._rescue(this.media)
        self._failed = time
        if getattr(error, "errno", None) in NO_SPACE:
            self._to(State.FULL, FULL_DISK)
        else:
            self._to(State.FAILED, f"{self._folder / self._camera} cannot be written to: {error}")

    @staticmethod
    def _words(streams: Sequence[AnyStream]) -> str:
        return ", ".join(f"{codec(s)} {s.type}" for s in streams)

    def _to(self, state: State, trouble: str = "") -> None:
        if trouble and trouble != self.trouble:
            log.error("camera %s is not recorded: %s", self._camera, trouble)
        if state is State.RECORDING and self.trouble:
            log.warning("camera %s is recorded again", self._camera)
        self.state, self.trouble = state, trouble
