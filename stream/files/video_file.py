"""Opens video files: reads packets in decoding order, decodes them, and converts frames to images of a chosen size."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from footage.stream.av_options import LENIENT, LOCAL_FILE_ONLY
from footage.stream.frame import Image

MAX_REORDERING = 32  # packets; H.264 and HEVC reorder at most 16 frames
MAX_READ_ERRORS = 16  # read errors in a row, after which the rest of a file is given up
MAX_REORDER_STEP = 10  # seconds; a jump back that is longer is a new recording in the same file, not reordering
SEEK_MARGINS = (0, 5, 30)  # seconds before the wanted time, tried in turn where an index is imprecise
LOWEST_TIMESTAMP = -(1 << 62)  # lower than any real one
BT709, BT601, RGB_MATRIX = 1, 5, 4  # as swscale numbers them
# In these codecs a frame that no other refers to may be skipped; in HEVC, VP9 and AV1 a skipped frame may still
# serve a higher temporal layer.
CODECS_WITH_SKIPPABLE_FRAMES = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"})


class MediaError(Exception):
    """A file that cannot be read, or not to its end.

    Attributes:
        path: the file.
        reason: what is wrong with it and what to do.
        readable_until: seconds from the first frame up to which it was read, or None when nothing was.
    """

    def __init__(self, path: Path | str, reason: str, readable_until: float | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.readable_until = readable_until


def presentation_time(item: Packet[VideoStream] | VideoFrame) -> int | None:
    """Presentation time in ticks of the stream's time base; decoding time where a container has no other."""
    return item.pts if item.pts is not None else item.dts


class VideoFile:
    """A video file, open for reading by one thread at a time.

    Attributes:
        path: the file.
        stream: its video stream.
        time_base: seconds of one tick of the stream's time stamps.
        origin: time stamp of the first frame that is shown, in ticks.
        end: time stamp at which the last packet read so far ends, in ticks.
        read_error: why reading stopped before the end of the file, or None.
        decode_errors: packets and frames that could not be decoded.
        decoded_frames: frames that the decoder gave out.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a file.

        Raises:
            MediaError: not a video, or one without a frame that could be decoded.
        """
        self.path = Path(path)
        self.read_error: str | None = None
        self.decode_errors = self.decoded_frames = 0
        self._saw_untimed = False
        self._scaler = VideoReformatter()
        self._open()
        try:
            self._read_head: deque[Packet[VideoStream]] = deque()
            self.end = LOWEST_TIMESTAMP
            self.origin = self._find_origin()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Release the file and the decoder."""
        self._container.close()

    @property
    def container(self) -> InputContainer:
        """The container, for its metadata."""
        return self._container

    def offset(self, at: int) -> float:
        """Seconds from the first frame."""
        return float((at - self.origin) * self.time_base)

    def packets(self, start: int | None = None) -> Iterator[Packet[VideoStream]]:
        """Packets with time stamps, in decoding order.

        Args:
            start: begin at a keyframe at or before this time stamp; None begins at the file's first packet.
        """
        start = self.origin if start is None else start
        if start <= self.origin and self._read_head:
            head, self._read_head = self._read_head, deque()
            return chain(head, self._demux())
        self._read_head.clear()
        for back in SEEK_MARGINS:
            target = start - round(back / self.time_base)
            if target <= self.origin:
                break
            packets = self._seek(target)
            first = next((p for p in packets if p.is_keyframe), None)
            if first is not None and (at := presentation_time(first)) is not None and at <= start:
                return chain([first], packets)
        self.close()
        self._open()
        self.end = LOWEST_TIMESTAMP
        return self._demux()

    def decode(self, packet: Packet[VideoStream] | None, needed: bool = True) -> list[VideoFrame]:
        """Decode a packet, or flush the decoder when it is None; returns whole frames only.

        Args:
            needed: False allows the decoder to skip this frame when no other refers to it.
        """
        context = self.stream.codec_context
        context.skip_frame = "DEFAULT" if needed or context.name not in CODECS_WITH_SKIPPABLE_FRAMES else "NONREF"
        try:
            frames = context.decode(packet)
        except (FFmpegError, EOFError):
            self.decode_errors += packet is not None
            frames = []
        if packet is None:
            context.flush_buffers()
        self.decoded_frames += len(frames)
        whole = [f for f in frames if not f.is_corrupt and presentation_time(f) is not None]
        self.decode_errors += len(frames) - len(whole)
        return whole

    def to_image(self, frame: VideoFrame, side: int | None) -> Image:
        """Convert a frame to RGB, upright, its shorter side ``side`` pixels (never enlarged; None keeps the size)."""
        return upright_image(frame, self.stream, side, self._scaler)

    def _open(self) -> None:
        try:
            self._container: InputContainer = av.open(str(self.path.absolute()), options=LOCAL_FILE_ONLY, **LENIENT)
        except (FFmpegError, OSError, ValueError) as error:
            raise MediaError(
                self.path, f"cannot be opened as video ({_describe(error)}): {_suggest(self.path)}"
            ) from error
        try:
            self.stream = self._video_stream()
        except MediaError:
            self.close()
            raise
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        self.time_base = Fraction(self.stream.time_base or Fraction(1, 90000))

    def _video_stream(self) -> VideoStream:
        streams = self._container.streams
        for candidate in streams.video:
            if Disposition.attached_pic not in candidate.disposition:  # cover art is not a video
                if candidate.codec_context is None:
                    raise MediaError(self.path, "its video codec is unknown here; convert it to H.264 first")
                return candidate
        holds = "only sound" if streams.audio else "no pictures"
        raise MediaError(self.path, f"has no video stream: it holds {holds}, so it cannot be indexed")

    def _seek(self, target: int) -> Iterator[Packet[VideoStream]]:
        try:
            self._container.seek(target, stream=self.stream)
        except (FFmpegError, OSError):
            return iter(())
        self.end = LOWEST_TIMESTAMP
        return self._demux()

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        errors = 0
        while True:
            try:
                for packet in self._container.demux(self.stream):
                    at = presentation_time(packet)
                    if packet.size == 0 or at is None:
                        self._saw_untimed = self._saw_untimed or packet.size > 0
                        continue
                    if at < self.end - MAX_REORDER_STEP / self.time_base:
                        self.read_error = (
                            "its time stamps start again, as if two recordings were joined; split it there"
                        )
                        return
                    self.end = max(self.end, at + (packet.duration or 0))
                    errors = 0
                    yield packet
                return
            except (FFmpegError, OSError) as error:
                errors += 1
                if errors > MAX_READ_ERRORS:
                    self.read_error = f"the rest cannot be read ({_describe(error)})"
                    return

    def _find_origin(self) -> int:
        shown: list[int] = []
        key: int | None = None
        for packet in self._demux():
            self._read_head.append(packet)
            at = presentation_time(packet)
            assert at is not None  # _demux yields nothing else
            if key is None and packet.is_keyframe:
                key = at
            if key is not None and at >= key and not packet.is_discard:
                shown.append(at)
            if len(shown) > MAX_REORDERING:
                break
        if not shown and self._saw_untimed:
            raise MediaError(self.path, "is a bare stream without times; wrap it: ffmpeg -i FILE -c copy FILE.mp4")
        if not shown:
            raise MediaError(self.path, f"holds no video frame with a time stamp: {_suggest(self.path)}")
        return min(shown)


def display_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height in square pixels, before rotation."""
    aspect = stream.sample_aspect_ratio
    return (round(frame.width * aspect) if aspect else frame.width), frame.height


def fit_size(width: int, height: int, side: int | None) -> tuple[int, int]:
    """The size with the shorter side at most ``side`` and the same aspect ratio."""
    scale = min(1.0, side / min(width, height)) if side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def quarter_turns(frame: VideoFrame) -> int:
    """Number of quarter turns counter-clockwise that make the frame upright."""
    return round(frame.rotation / 90) % 4


def color_matrix(frame: VideoFrame) -> int:
    """The YCbCr matrix as swscale numbers it; untagged high definition is BT.709, as players assume."""
    tagged = int(frame.colorspace)
    if tagged in {1, 5, 6, 7, 9}:
        return tagged
    return BT709 if frame.height >= 720 else BT601


def decode_first_frame(video: VideoFile, packets: Iterable[Packet[VideoStream]]) -> VideoFrame | None:
    """Decode packets until one gives a frame."""
    for packet in chain(packets, [None]):
        for frame in video.decode(packet):
            return frame
    return None


def _describe(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _suggest(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:
        return "check that it is there and readable"
    return "it is damaged, cut short or not a video; copy it again, or leave it out"


def upright_image(frame: VideoFrame, stream: VideoStream, side: int | None, scaler: VideoReformatter) -> Image:
    """Convert a frame to RGB, turned as its stream says, its shorter side ``side`` pixels."""
    width, height = fit_size(*display_size(frame, stream), side)
    small = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=color_matrix(frame),
        dst_colorspace=RGB_MATRIX,
        interpolation="BICUBIC",
    )
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), quarter_turns(frame)))
