"""Samples frames of a live stream at an interval, decoding no more of it than they need."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from footage.stream.av_options import DECODER_OPTIONS
from footage.stream.files.frame_image import upright_image
from footage.stream.files.keyframe_groups import INTERVAL_TOLERANCE
from footage.stream.files.nal_units import length_size, recovery_frames
from footage.stream.files.video_file import CODECS_WITH_SKIPPABLE_FRAMES
from footage.stream.frame import Image

GROUPS_MEASURED = 4  # latest groups of pictures, whose longest decides
MAX_PENDING_TIMES = 64  # packets whose times are remembered until their frames come out
MAX_FAILED_KEYFRAMES = 2  # in a row that gave no frame alone: this stream needs more
MAX_HARDWARE_ERRORS = 8  # in a row without a frame, after which a hardware decoder is given up

VideoPacket: TypeAlias = "Packet[VideoStream]"  # not subscriptable at run time


class Sampler:
    """Takes the first frame in each cell of a grid in UTC: [k * every, (k + 1) * every).

    Where keyframes come at least that often, only they are decoded. A longer group is decoded between them, leaving
    out frames that no other refers to. Which of the two is decided at each keyframe by the length of the last groups;
    a group that turns out longer is decoded from its keyframe on, so its packets are kept for one interval. A stream
    with periodic intra refresh is decoded whole: its recovery points are no keyframes.

    Attributes:
        decodes_all: whether everything is decoded, not keyframes only.
        size_changed: whether frames have another size than the stream had when it was opened.
    """

    def __init__(self, stream: VideoStream, every: float, side: int) -> None:
        """Args:
        every: seconds; 0 takes every frame.
        side: length in pixels of the shorter side; a smaller image keeps its size.
        """
        self._stream, self._every, self._side = stream, every, side
        self._context = stream.codec_context
        if self._context.is_open:  # by the previous timeline
            self._context.flush_buffers()
        else:
            self._context.thread_count = 1  # one thread a camera; more would only add delay
            self._context.options = DECODER_OPTIONS
        self._size = (self._context.width, self._context.height)
        self._scaler = VideoReformatter()
        self._gaps: deque[float] = deque(maxlen=GROUPS_MEASURED)
        self._waiting: list[tuple[VideoPacket, float]] = []  # since the keyframe, not given to the decoder
        self._times: dict[int, float] = {}  # of packets, until their frames come out
        self._keyframe_time: float | None = None
        self._last_taken: float | None = None
        self._failed_keyframes = 0
        self._length_size = length_size(self._context.extradata, "h264") if self._context.name == "h264" else None
        self._refreshes = False  # the stream has recovery points for keyframes, and none is whole alone
        self._hardware_errors = 0
        self.decodes_all = self.size_changed = False

    @property
    def gop(self) -> float | None:
        """Seconds of the longest of the last few groups of pictures; None until one has ended."""
        return max(self._gaps, default=None)

    @property
    def hardware_failed(self) -> bool:
        """Whether a hardware decoder is to be given up."""
        return self._hardware_errors >= MAX_HARDWARE_ERRORS

    def add(self, packet: VideoPacket, time: float) -> Iterator[tuple[Image, float]]:
        """Take the next packet; yields the wanted frames as images, with their UTC in seconds."""
        limit = self._every * float(INTERVAL_TOLERANCE)
        if packet.is_keyframe:
            if not self._refreshes and self._length_size is not None:
                self._refreshes = recovery_frames(bytes(packet), self._length_size) > 0
            yield from self._begin(packet, time, limit)
        elif self._keyframe_time is None:
            return
        elif self.decodes_all:
            yield from self._decode(packet, time)
        else:
            self._waiting.append((packet, time))
            if time - self._keyframe_time > limit:
                yield from self._decode_group()

    def _begin(self, packet: VideoPacket, time: float, limit: float) -> Iterator[tuple[Image, float]]:
        if self._keyframe_time is not None:
            self._gaps.append(time - self._keyframe_time)
        self._keyframe_time = time
        decoded_all, self.decodes_all = (
            self.decodes_all,
            limit == 0
            or self._refreshes
            or self._failed_keyframes >= MAX_FAILED_KEYFRAMES
            or (self.gop or 0.0) > limit,
        )
        if self.decodes_all:
            if self._refreshes and not decoded_all:
                yield from self._decode_group()
            self._waiting = []
            yield from self._decode(packet, time)
            return
        if decoded_all:
            yield from self._flush()
        self._waiting = [(packet, time)]
        if self._wants(time):
            yield from self._decode(packet, time)
            yield from self._flush()
            self._failed_keyframes = self._failed_keyframes + 1 if self._wants(time) else 0

    def _decode_group(self) -> Iterator[tuple[Image, float]]:
        group, self._waiting, self.decodes_all = self._waiting, [], True
        for packet, time in group:
            yield from self._decode(packet, time)

    def _wants(self, time: float) -> bool:
        if self._last_taken is None:
            return True
        return time > self._last_taken and (not self._every or time // self._every > self._last_taken // self._every)

    def _decode(self, packet: VideoPacket, time: float) -> Iterator[tuple[Image, float]]:
        assert packet.pts is not None  # TimestampRepairer has set it
        self._times[packet.pts] = time
        if len(self._times) > MAX_PENDING_TIMES:
            self._times.pop(next(iter(self._times)))
        needed = self._wants(time) or self._context.name not in CODECS_WITH_SKIPPABLE_FRAMES
        self._context.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            frames = self._context.decode(packet)
        except (FFmpegError, EOFError):
            self._hardware_errors += self._context.is_hwaccel
            return
        yield from self._convert(frames)

    def _flush(self) -> Iterator[tuple[Image, float]]:
        """Take what the decoder still holds, and make it ready for another keyframe."""
        try:
            frames = self._context.decode(None)
        except (FFmpegError, EOFError):
            frames = []
        self._context.flush_buffers()
        yield from self._convert(frames)
        self._times.clear()

    def _convert(self, frames: list[VideoFrame]) -> Iterator[tuple[Image, float]]:
        for frame in frames:
            self._hardware_errors = 0
            time = None if frame.pts is None else self._times.pop(frame.pts, None)
            self.size_changed = self.size_changed or (frame.width, frame.height) != self._size
            if time is not None and not frame.is_corrupt and not self.size_changed and self._wants(time):
                self._last_taken = time
                yield upright_image(frame, self._stream, self._side, self._scaler), time
