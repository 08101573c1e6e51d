"""Records a live stream's packets as segment files, without re-encoding."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from av.error import FFmpegError
from av.video.stream import VideoStream

from footage.stream.frame import Clock, Media
from footage.stream.instants import DISTANT_PAST
from footage.stream.recording import segment
from footage.stream.recording.muxer import AnyPacket, AnyStream, Muxer, choose_format, codec_name
from footage.stream.recording.preroll import Preroll, TimedPacket
from footage.stream.recording.repair import finish_segment, repair_segment

log = logging.getLogger(__name__)

SECOND = timedelta(seconds=1)
MAX_STEP_BACK, MAX_STEP_AHEAD = -SECOND, 10 * SECOND  # between two frames; a larger step ends the segment
MIN_DURATION = timedelta(milliseconds=1)  # of a single frame of unknown duration
RETRY_AFTER = timedelta(minutes=1)  # after the folder could not be written to
WRITE_ERRORS = (OSError, ValueError, FFmpegError)  # what a disk, or a packet that no muxer takes, may raise
NO_SPACE_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_FULL_MESSAGE = "the disk is full: free some of it, or let footage expire earlier"


class RecorderState(StrEnum):
    """The state of a recorder."""

    OFF = "off"  # no connection, or no keyframe yet
    RECORDING = "recording"
    FULL = "disk full"  # recording resumes when there is room
    FAILED = "failed"  # ``Recorder.error`` says why


@dataclass
class _OpenSegment:
    """The segment being written.

    Attributes:
        last: UTC time of the newest frame written to it.
        end: UTC time at which the last of its frames stops being shown.
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
    """Records one camera's stream as segments that begin at keyframes.

    Used by one thread, the camera's reader; other threads may read ``state``, ``error`` and ``media``. Errors of the
    disk are logged and shown there, never raised: indexing goes on.

    Attributes:
        clock: where the times of packets come from; when it changes, the next keyframe begins a segment.
        state: what it does at present.
        error: why it does not record, or "".
    """

    def __init__(
        self,
        folder: Path,
        camera: str,
        *,
        length: float = 10.0,
        on_opened: Callable[[Media], None],
        on_closed: Callable[[Media], None],
        has_room: Callable[[], bool],
    ) -> None:
        """Make a recorder, which writes nothing yet.

        Args:
            folder: of all recordings.
            length: seconds that a segment has at least; it ends at the next keyframe.
            on_opened: called with each segment when it begins.
            on_closed: called with it when it is finished and durable, with its real duration and final path; with a
                duration of 0 when nothing of it could be kept.
            has_room: whether the disk has room to go on; called once a second.
        """
        self.clock = Clock.ARRIVAL
        self.state = RecorderState.OFF
        self.error = ""
        self._folder, self._camera = folder.resolve(), camera
        self._length = timedelta(seconds=length)
        self._on_opened, self._on_closed, self._has_room = on_opened, on_closed, has_room
        self._streams: dict[int, AnyStream] = {}
        self._suffix = ""
        self._preroll: Preroll | None = None
        self._current: _OpenSegment | None = None
        self._checked_room = self._failed_at = DISTANT_PAST

    @property
    def media(self) -> Media | None:
        """The segment being written, which frames decoded now belong to; None where nothing is written.

        Its duration is 0, and its path that of a file which can be read while it grows.
        """
        return self._current.media if self._current else None

    def begin(self, streams: Sequence[AnyStream], clock: Clock) -> None:
        """Start recording a new connection, which may have other codecs than the one before.

        Args:
            streams: of the connection: video, and audio if there is any. They must stay open until ``end``.
            clock: where the times of its packets come from.
        """
        self.end()
        self.clock = clock
        self._checked_room = self._failed_at = DISTANT_PAST
        found = choose_format(streams)
        if found is None:
            self._set_state(
                RecorderState.FAILED,
                f"{self._describe(streams)} cannot be recorded: let the camera send H.264, H.265 or MJPEG",
            )
            return
        self._suffix, carried = found
        self._streams = {s.index: s for s in carried}
        self._preroll = Preroll(next(s for s in carried if isinstance(s, VideoStream)))
        if left := [s for s in streams if s.index not in self._streams]:
            log.warning("camera %s: %s is not recorded: choose AAC in the camera", self._camera, self._describe(left))

    def packet(self, packet: AnyPacket, time: datetime, keyframe: bool) -> None:
        """Write a packet, which is left as it is.

        Args:
            packet: of video or audio, in the order of the stream.
            time: UTC of its presentation time stamp.
            keyframe: whether decoding can begin with it; ignored for audio.
        """
        stream = self._streams.get(packet.stream.index)
        if stream is None or packet.size == 0:
            return
        video = isinstance(stream, VideoStream)
        try:
            if video:
                self._rotate(packet, time, keyframe)
            if self._current is None or time < self._current.media.start:
                return  # frames shown before the keyframe refer to the segment before
            self._current.write(packet, time, video)
        except WRITE_ERRORS as error:
            self._fail(error, time)

    def end(self) -> None:
        """Finish the segment, when the connection ends or recording stops."""
        self._close()
        self._streams = {}
        self._set_state(RecorderState.OFF)

    def _rotate(self, packet: AnyPacket, time: datetime, keyframe: bool) -> None:
        """End the segment, or begin one, where this frame requires it."""
        assert self._preroll is not None  # made with the streams
        ahead = self._preroll.add(packet, time, keyframe)
        if self._current and not MAX_STEP_BACK <= time - self._current.last <= MAX_STEP_AHEAD:
            self._close()
            self._set_state(RecorderState.OFF)
        if abs(time - self._checked_room) >= SECOND:
            self._checked_room = time
            if not self._has_room():
                self._close()
                self._set_state(RecorderState.FULL, DISK_FULL_MESSAGE)
        if keyframe and (ahead is not None or self._current is None) and self._is_due(time):
            self._close(time)
            self._start(time, ahead or [])

    def _is_due(self, time: datetime) -> bool:
        if self._current:
            return time - self._current.media.start >= self._length or self.clock is not self._current.media.clock
        if self.state is RecorderState.FULL and not self._has_room():
            return False
        return abs(time - self._failed_at) >= RETRY_AFTER

    def _start(self, time: datetime, ahead: Sequence[TimedPacket]) -> None:
        media = segment.new_segment(self._folder, self._camera, time, self.clock, self._suffix)
        path = Path(media.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.parent.resolve() != path.parent:
            raise OSError(errno.ELOOP, "leads out of the folder of recordings, where nothing would ever expire")
        self._current = _OpenSegment(media, Muxer(path, list(self._streams.values()), time), time, time + MIN_DURATION)
        for packet, before in ahead:  # at negative times, which players decode and do not show
            self._current.muxer.write(packet, before)
        self._set_state(RecorderState.RECORDING)
        self._on_opened(media)

    def _close(self, next_start: datetime | None = None) -> None:
        """Finish the segment.

        Args:
            next_start: when the next segment begins: the last frame is shown until then.
        """
        if self._current is None:
            return
        closing, self._current = self._current, None
        if next_start and abs(next_start - closing.end) < SECOND and next_start > closing.last:
            closing.end = next_start
        try:
            closing.muxer.close()
            done = finish_segment(closing.media, (closing.end - closing.media.start) / SECOND)
        except WRITE_ERRORS as error:
            log.warning("camera %s: %s was not finished: %s", self._camera, closing.media.path, error)
            self._repair(closing.media)
        else:
            self._on_closed(done)

    def _repair(self, media: Media) -> None:
        """Repair a segment whose writing failed."""
        done = None
        with suppress(OSError):  # then it stays unfinished until the next start
            done = repair_segment(Path(media.path))
        self._on_closed(done or media)

    def _fail(self, error: Exception, time: datetime) -> None:
        if self._current:
            closing, self._current = self._current, None
            with suppress(*WRITE_ERRORS):
                closing.muxer.close()
            self._repair(closing.media)
        self._failed_at = time
        if getattr(error, "errno", None) in NO_SPACE_ERRNOS:
            self._set_state(RecorderState.FULL, DISK_FULL_MESSAGE)
        else:
            self._set_state(RecorderState.FAILED, f"{self._folder / self._camera} cannot be written to: {error}")

    @staticmethod
    def _describe(streams: Sequence[AnyStream]) -> str:
        return ", ".join(f"{codec_name(s)} {s.type}" for s in streams)

    def _set_state(self, state: RecorderState, error: str = "") -> None:
        if error and error != self.error:
            log.error("camera %s is not recorded: %s", self._camera, error)
        if state is RecorderState.RECORDING and self.error:
            log.warning("camera %s is recorded again", self._camera)
        self.state, self.error = state, error
