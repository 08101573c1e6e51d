"""An opened video file: packets, time stamps, decoding one packet, and pictures of a chosen size."""

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

from footage.stream.av_options import LENIENT
from footage.stream.frame import Image

REORDER = 32  # packets; H.264 and HEVC reorder at most 16 pictures
FAULTS = 16  # read errors in a row after which the rest of a file is given up
RESTART = 10  # seconds; a jump back that is longer is a new recording in the same file, not reordering
SEEK_BACK = (0, 5, 30)  # seconds before the wanted time, tried in turn where an index is imprecise
NEVER = -(1 << 62)  # before every time stamp
BT709, BT601, OTHER_MATRIX = 1, 5, 4  # as swscale numbers them
# What no other picture refers to in these codecs may be left out; in HEVC, VP9 and AV1 a skipped picture
# may still serve a higher temporal layer.
SKIPPABLE = frozenset({"h264", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3"})


class MediaError(Exception):
    """A file that cannot be read, or not to its end.

    Attributes:
        path: the file.
        reason: what is wrong with it and what to do.
        good: seconds from the first frame up to which it was read, or None when nothing was.
    """

    def __init__(self, path: Path | str, reason: str, good: float | None = None) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.good = good


def stamp(item: Packet[VideoStream] | VideoFrame) -> int | None:
    """Presentation time in ticks of the stream's time base; decoding time where a container has no other."""
    return item.pts if item.pts is not None else item.dts


class Film:
    """A video file, open for reading by one thread at a time.

    Attributes:
        path: the file.
        stream: its video stream.
        tick: seconds of one tick of the stream's time stamps.
        origin: time stamp of the first frame that is shown, in ticks.
        end: time stamp at which the last packet read so far ends, in ticks.
        broken: why reading stopped before the end of the file, or None.
        bad: packets that could not be decoded.
        decoded: frames that the decoder gave out.
    """

    def __init__(self, path: Path | str) -> None:
        """Open a file.

        Raises:
            MediaError: not a video, or one without a picture that could be decoded.
        """
        self.path = Path(path)
        self.broken: str | None = None
        self.bad = self.decoded = 0
        self._timeless = False
        self._scaler = VideoReformatter()
        self._open()
        try:
            self._head: deque[Packet[VideoStream]] = deque()
            self.end = NEVER
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
        return float((at - self.origin) * self.tick)

    def packets(self, start: int | None = None) -> Iterator[Packet[VideoStream]]:
        """Packets with time stamps, in decoding order.

        Args:
            start: begin at a keyframe at or before this time stamp; None begins at the file's first packet.
        """
        start = self.origin if start is None else start
        if start <= self.origin and self._head:
            head, self._head = self._head, deque()
            return chain(head, self._demux())
        self._head.clear()
        for back in SEEK_BACK:
            target = start - round(back / self.tick)
            if target <= self.origin:
                break
            packets = self._seek(target)
            first = next((p for p in packets if p.is_keyframe), None)
            if first is not None and (at := stamp(first)) is not None and at <= start:
                return chain([first], packets)
        self.close()
        self._open()
        self.end = NEVER
        return self._demux()

    def decode(self, packet: Packet[VideoStream] | None, needed: bool = True) -> list[VideoFrame]:
        """Give the decoder a packet, or None to get out what it still holds; returns whole frames only.

        Args:
            needed: False allows to pass over this picture when no other refers to it.
        """
        context = self.stream.codec_context
        context.skip_frame = "DEFAULT" if needed or context.name not in SKIPPABLE else "NONREF"
        try:
            frames = context.decode(packet)
        except (FFmpegError, EOFError):
            self.bad += packet is not None
            frames = []
        if packet is None:
            context.flush_buffers()
        self.decoded += len(frames)
        whole = [f for f in frames if not f.is_corrupt and stamp(f) is not None]
        self.bad += len(frames) - len(whole)
        return whole

    def picture(self, frame: VideoFrame, side: int | None) -> Image:
        """A frame as RGB, upright, its shorter side ``side`` pixels (never enlarged; None keeps the size)."""
        return upright(frame, self.stream, side, self._scaler)

    def _open(self) -> None:
        try:
            options = {"protocol_whitelist": "file"}  # a playlist in disguise must not open anything else
            self._container: InputContainer = av.open(str(self.path.absolute()), options=options, **LENIENT)
        except (FFmpegError, OSError, ValueError) as error:
            raise MediaError(self.path, f"cannot be opened as video ({_words(error)}): {_advice(self.path)}") from error
        try:
            self.stream = self._video_stream()
        except MediaError:
            self.close()
            raise
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.thread_count = min(4, os.cpu_count() or 1)
        self.tick = Fraction(self.stream.time_base or Fraction(1, 90000))

    def _video_stream(self) -> VideoStream:
        streams = self._container.streams
        for candidate in streams.video:
            if Disposition.attached_pic not in candidate.disposition:  # the cover of an album is not a video
                if candidate.codec_context is None:
                    raise MediaError(self.path, "its video codec is unknown here; convert it to H.264 first")
                return candidate
        holds = "only sound" if streams.audio else "nothing to see"
        raise MediaError(self.path, f"has no video stream: it holds {holds}, so it cannot be indexed")

    def _seek(self, target: int) -> Iterator[Packet[VideoStream]]:
        try:
            self._container.seek(target, stream=self.stream)
        except (FFmpegError, OSError):
            return iter(())
        self.end = NEVER
        return self._demux()

    def _demux(self) -> Iterator[Packet[VideoStream]]:
        faults = 0
        while True:
            try:
                for packet in self._container.demux(self.stream):
                    at = stamp(packet)
                    if packet.size == 0 or at is None:
                        self._timeless = self._timeless or packet.size > 0
                        continue
                    if at < self.end - RESTART / self.tick:
                        self.broken = "its time stamps start again, as if two recordings were joined; split it there"
                        return
                    self.end = max(self.end, at + (packet.duration or 0))
                    faults = 0
                    yield packet
                return
            except (FFmpegError, OSError) as error:
                faults += 1
                if faults > FAULTS:
                    self.broken = f"the rest cannot be read ({_words(error)})"
                    return

    def _find_origin(self) -> int:
        shown: list[int] = []
        key: int | None = None
        for packet in self._demux():
            self._head.append(packet)
            at = stamp(packet)
            assert at is not None  # _demux yields nothing else
            if key is None and packet.is_keyframe:
                key = at
            if key is not None and at >= key and not packet.is_discard:
                shown.append(at)
            if len(shown) > REORDER:
                break
        if not shown and self._timeless:
            raise MediaError(self.path, "is a bare stream without times; wrap it: ffmpeg -i FILE -c copy FILE.mp4")
        if not shown:
            raise MediaError(self.path, f"holds no video frame with a time stamp: {_advice(self.path)}")
        return min(shown)


def display_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Width and height in square pixels, before rotation."""
    aspect = stream.sample_aspect_ratio
    return (round(frame.width * aspect) if aspect else frame.width), frame.height


def fitted(width: int, height: int, side: int | None) -> tuple[int, int]:
    """The size with the shorter side at most ``side`` and the same shape."""
    scale = min(1.0, side / min(width, height)) if side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def turns(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise that make the frame upright."""
    return round(frame.rotation / 90) % 4


def matrix(frame: VideoFrame) -> int:
    """The YCbCr matrix as swscale numbers it; untagged high definition is BT.709, as players assume."""
    tagged = int(frame.colorspace)
    if tagged in {1, 5, 6, 7, 9}:
        return tagged
    return BT709 if frame.height >= 720 else BT601


def first_frame(film: Film, packets: Iterable[Packet[VideoStream]]) -> VideoFrame | None:
    """The first frame that can be decoded."""
    for packet in chain(packets, [None]):
        for frame in film.decode(packet):
            return frame
    return None


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _advice(path: Path) -> str:
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:
        return "check that it is there and readable"
    return "it is damaged, cut short or not a video; copy it again, or leave it out"


def upright(frame: VideoFrame, stream: VideoStream, side: int | None, scaler: VideoReformatter) -> Image:
    """A frame as RGB, turned as its stream says, its shorter side ``side`` pixels."""
    width, height = fitted(*display_size(frame, stream), side)
    small = scaler.reformat(
        frame,
        width=width,
        height=height,
        format="rgb24",
        src_colorspace=matrix(frame),
        dst_colorspace=OTHER_MATRIX,
        interpolation="BICUBIC",
    )
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), turns(frame)))
