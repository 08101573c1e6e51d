"""One connection to a live source: opened and read so that stopping never waits for the network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Generic, Protocol, TypeVar

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import ExitError, FFmpegError
from av.video.stream import VideoStream

from footage.stream.av_options import LENIENT
from footage.stream.live.contracts import LivePacket
from footage.stream.live.url import words

OPEN = 10.0  # seconds, in each of FFmpeg's two steps
SLICE = 2.0  # seconds that a read of RTSP may block: stopping waits this long at most
POLL = 0.05  # seconds between looks at whether to stop
UNTIMED = {"mpjpeg", "mjpeg", "h264", "hevc"}  # formats without time stamps: FFmpeg makes up 25 frames a second
BURSTS = 30.0  # seconds; HLS gives a segment at once, then nothing until the next
WEBCAMS = {"linux": "v4l2", "darwin": "avfoundation"}

T = TypeVar("T")


class LostError(Exception):
    """There is no connection, or no longer; the message is for the person and holds no credentials."""


class StoppedError(Exception):
    """The reader is to stop."""


class Feed(Protocol):
    """What a reader reads: an FFmpeg input, or in tests a list of packets.

    Attributes:
        patience: seconds of silence that are normal.
        stamped: the stream has time stamps of its own.
    """

    video: VideoStream
    audio: AudioStream | None
    patience: float
    stamped: bool

    def read(self) -> LivePacket | None:
        """The next packet; None when nothing came for a while.

        Raises:
            LostError: the connection or the stream has ended.
        """

    def sender(self, packet: LivePacket) -> float | None:
        """UTC seconds at which the sender says that a packet was taken (RTCP), or None."""

    def close(self) -> None:
        """End the connection."""


def connect(url: str, transport: str, options: dict[str, str], stopped: Event) -> Feed:
    """Open a source.

    Raises:
        LostError: it cannot be opened.
        StoppedError: ``stopped`` was set meanwhile.
    """
    name, form, given = _input(url, transport)
    timeout = (OPEN, SLICE if is_rtsp(url) else BURSTS)
    try:
        container = aside(
            lambda: av.open(name, format=form, options={**given, **options}, timeout=timeout, **LENIENT),
            stopped,
            lambda opened: opened.close(),
        )
    except (FFmpegError, OSError, ValueError, EOFError) as error:
        raise LostError(words(error)) from None  # its text holds the address
    try:
        return Input(container)
    except LostError:
        container.close()
        raise


def aside(work: Callable[[], T], stopped: Event, discard: Callable[[T], None]) -> T:
    """The result of something that blocks and cannot be interrupted, done in a thread of its own.

    When ``stopped`` is set first, that thread is left behind: it ends when its work ends, and discards the result.

    Raises:
        StoppedError: ``stopped`` was set.
    """
    task = _Task(work, discard)
    Thread(target=task.run, name="aside", daemon=True).start()
    while not task.done.wait(POLL):
        if stopped.is_set() and task.abandon():
            raise StoppedError
    if task.error is not None:
        raise task.error
    return task.result[0]


@dataclass
class _Task(Generic[T]):
    work: Callable[[], T]
    discard: Callable[[T], None]
    done: Event = field(default_factory=Event)
    result: list[T] = field(default_factory=list)
    error: BaseException | None = None
    abandoned: bool = False
    lock: Lock = field(default_factory=Lock)

    def run(self) -> None:
        try:
            value = self.work()
        except BaseException as error:  # for the thread that waits
            self.error = error
        else:
            with self.lock:
                if self.abandoned:
                    self.discard(value)
                self.result.append(value)
        self.done.set()

    def abandon(self) -> bool:
        """True when there is no result yet; then there will be none."""
        with self.lock:
            self.abandoned = not self.result
            return self.abandoned


class Input:
    """An open FFmpeg input. Used by one thread."""

    def __init__(self, container: InputContainer) -> None:
        if not container.streams.video:
            raise LostError("sends no video; check the address")
        self._container = container
        self.video = container.streams.video[0]
        if self.video.codec_context is None:
            raise LostError("sends video of a kind that is unknown here; set the camera to H.264")
        self.audio = container.streams.audio[0] if container.streams.audio else None
        self.patience = BURSTS if container.format.name == "hls" else 0.0
        self.stamped = container.format.name not in UNTIMED
        self._streams = [self.video, *([self.audio] if self.audio else [])]
        self._packets = iter(container.demux(self._streams))

    def read(self) -> LivePacket | None:
        try:
            packet = next(self._packets)
        except ExitError:  # nothing came in time; a generator that raised has ended
            self._packets = iter(self._container.demux(self._streams))
            return None
        except StopIteration:
            raise LostError("ended the stream") from None
        except (FFmpegError, OSError, EOFError) as error:
            raise LostError(words(error)) from None
        if packet.size == 0:  # what demux gives at the end to empty decoders
            raise LostError("ended the stream")
        return packet  # type: ignore[return-value]  # only streams of these two kinds were asked for

    def sender(self, packet: LivePacket) -> float | None:
        if packet.stream is not self.video or packet.pts is None:
            return None
        if hasattr(packet, "get_sidedata") and packet.has_sidedata("prft"):
            # struct AVProducerReferenceTime: Unix time in microseconds, by the newest report; then flags
            return int.from_bytes(bytes(packet.get_sidedata("prft"))[:8], sys.byteorder, signed=True) / 1e6
        begin: int | None = getattr(self._container, "start_time_realtime", None)  # av 18: by the first report
        return None if begin is None else begin / 1e6 + float(packet.pts * packet.time_base)

    def close(self) -> None:
        with suppress(FFmpegError, OSError):
            self._container.close()


def _input(url: str, transport: str) -> tuple[str, str | None, dict[str, str]]:
    """File name, format and options for FFmpeg."""
    if url.isdigit() or url.startswith("/dev/"):
        form = WEBCAMS.get(sys.platform)
        if form is None:
            raise LostError(f"webcams cannot be read on {sys.platform}; use an RTSP server for it")
        return (f"/dev/video{url}" if url.isdigit() and form == "v4l2" else url), form, {}
    quick = {"fpsprobesize": "0"}  # opening need not wait until the frame rate is known
    if is_rtsp(url):
        return url, None, {**quick, "rtsp_transport": transport}
    return url, None, quick


def is_rtsp(url: str) -> bool:
    """RTSP, whose reads may be interrupted and continued; FFmpeg takes that for the end of any other input."""
    return url.lower().startswith(("rtsp://", "rtsps://"))
