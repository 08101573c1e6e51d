"""Connects to a live source and reads its packets so that stopping never waits for the network."""

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

from footage.stream.av_options import DECODER_OPTIONS, input_options
from footage.stream.demux import demux
from footage.stream.errors import FootageError
from footage.stream.hardware import SOFTWARE, Decoder
from footage.stream.live.contracts import LivePacket
from footage.stream.live.url import describe_error, encode_login

OPEN_TIMEOUT = 10.0  # seconds, in each of FFmpeg's two steps
READ_TIMEOUT = 2.0  # seconds that a read of RTSP may block: stopping waits this long at most
STOP_POLL = 0.05  # seconds between checks whether to stop
FORMATS_WITHOUT_TIMESTAMPS = {"mpjpeg", "mjpeg", "h264", "hevc"}  # for these FFmpeg invents 25 frames a second
SEGMENT_SILENCE = 30.0  # seconds; HLS delivers a whole segment at once, then nothing until the next
WEBCAM_FORMATS = {"linux": "v4l2", "darwin": "avfoundation"}

T = TypeVar("T")


class ConnectionLostError(FootageError):
    """The connection was lost or could not be made; the message is for users and holds no credentials."""


class StoppedError(Exception):
    """The reader was told to stop."""


class Connection(Protocol):
    """What a reader reads packets from: an FFmpeg input, or in tests a list.

    Attributes:
        normal_silence: seconds without packets that are normal.
        has_timestamps: whether the stream has time stamps of its own.
    """

    video: VideoStream
    audio: AudioStream | None
    normal_silence: float
    has_timestamps: bool

    def read(self) -> LivePacket | None:
        """The next packet; None when nothing came for a while.

        Raises:
            ConnectionLostError: the connection or the stream has ended.
        """

    def sender_time(self, packet: LivePacket) -> float | None:
        """UTC seconds at which the sender says that a packet was taken (RTCP), or None."""

    def close(self) -> None:
        """End the connection."""


def connect(
    url: str, transport: str, options: dict[str, str], stopped: Event, decoder: Decoder = SOFTWARE
) -> Connection:
    """Open a source, whose video is to be decoded by ``decoder``.

    Raises:
        ConnectionLostError: it cannot be opened.
        StoppedError: ``stopped`` was set meanwhile.
    """
    name, format_, given = _ffmpeg_input(url, transport)
    all_options = {**DECODER_OPTIONS, **given, **options}
    keywords = input_options(all_options) | decoder.open_keywords()
    timeout = (OPEN_TIMEOUT, READ_TIMEOUT if is_rtsp(url) else SEGMENT_SILENCE)
    try:
        container = run_until_stopped(
            lambda: av.open(name, format=format_, timeout=timeout, **keywords),
            stopped,
            lambda opened: opened.close(),
        )
    except (FFmpegError, OSError, ValueError, EOFError) as error:
        raise ConnectionLostError(describe_error(error)) from None  # its text holds the URL
    try:
        return FFmpegConnection(container)
    except ConnectionLostError:
        container.close()
        raise


def run_until_stopped(function: Callable[[], T], stopped: Event, discard: Callable[[T], None]) -> T:
    """Run a function that blocks and cannot be interrupted in its own thread; returns its result.

    When ``stopped`` is set first, that thread is abandoned: it ends when the function returns, and discards the result.

    Raises:
        StoppedError: ``stopped`` was set.
    """
    call = _BackgroundCall(function, discard)
    Thread(target=call.run, name="until-stopped", daemon=True).start()
    while not call.done.wait(STOP_POLL):
        if stopped.is_set() and call.abandon():
            raise StoppedError
    if call.error is not None:
        raise call.error
    return call.result[0]


@dataclass
class _BackgroundCall(Generic[T]):
    function: Callable[[], T]
    discard: Callable[[T], None]
    done: Event = field(default_factory=Event)
    result: list[T] = field(default_factory=list)
    error: BaseException | None = None
    abandoned: bool = False
    lock: Lock = field(default_factory=Lock)

    def run(self) -> None:
        try:
            value = self.function()
        except BaseException as error:  # raised again in the waiting thread
            self.error = error
        else:
            with self.lock:
                if self.abandoned:
                    self.discard(value)
                self.result.append(value)
        self.done.set()

    def abandon(self) -> bool:
        """Give the call up; False when its result is there already."""
        with self.lock:
            self.abandoned = not self.result
            return self.abandoned


class FFmpegConnection:
    """A connection through an open FFmpeg input. Used by one thread."""

    def __init__(self, container: InputContainer) -> None:
        if not container.streams.video:
            raise ConnectionLostError("sends no video; check the address")
        self._container = container
        self.video = container.streams.video[0]
        if self.video.codec_context is None:
            raise ConnectionLostError("sends video of a kind that is unknown here; set the camera to H.264")
        self.audio = container.streams.audio[0] if container.streams.audio else None
        self.normal_silence = SEGMENT_SILENCE if container.format.name == "hls" else 0.0
        self.has_timestamps = container.format.name not in FORMATS_WITHOUT_TIMESTAMPS
        self._streams = [self.video, *([self.audio] if self.audio else [])]
        self._packets = demux(container, self._streams)

    def read(self) -> LivePacket | None:
        try:
            return next(self._packets)  # type: ignore[return-value]  # of these streams
        except ExitError:  # nothing came in time; a generator that raised has ended
            self._packets = demux(self._container, self._streams)
            return None
        except StopIteration:
            raise ConnectionLostError("ended the stream") from None
        except (FFmpegError, OSError, EOFError) as error:
            raise ConnectionLostError(describe_error(error)) from None

    def sender_time(self, packet: LivePacket) -> float | None:
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


def _ffmpeg_input(url: str, transport: str) -> tuple[str, str | None, dict[str, str]]:
    """File name, format and options for FFmpeg."""
    if url.isdigit() or url.startswith("/dev/"):
        format_ = WEBCAM_FORMATS.get(sys.platform)
        if format_ is None:
            raise ConnectionLostError(f"webcams cannot be read on {sys.platform}; use an RTSP server for it")
        return (f"/dev/video{url}" if url.isdigit() and format_ == "v4l2" else url), format_, {}
    fast_open = {"fpsprobesize": "0"}  # opening need not wait until the frame rate is known
    url = encode_login(url)
    if is_rtsp(url):
        return url, None, {**fast_open, "rtsp_transport": transport}
    return url, None, fast_open


def is_rtsp(url: str) -> bool:
    """RTSP, whose reads may be interrupted and continued; FFmpeg takes that for the end of any other input."""
    return url.lower().startswith(("rtsp://", "rtsps://"))
