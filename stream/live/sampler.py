"""Frames of a live stream at a sampling interval, decoding no more of it than they need."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TypeAlias

from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from footage.stream.files.video_file import SKIPPABLE, upright
from footage.stream.frame import Image

SLACK = 1.1  # 30 frames at 29.97 a second are 1.001 s: still "every second"
GAPS = 4  # groups of pictures whose longest decides
REORDER = 64  # packets whose times are remembered until their frames come out
ALONE = 2  # keyframes in a row that gave no picture alone: this stream needs more

VideoPacket: TypeAlias = "Packet[VideoStream]"  # not subscriptable when it runs


class Sampler:
    """Takes the first frame in each cell of a grid in UTC: [k * every, (k + 1) * every).

    Where keyframes come at least that often, only they are decoded. A longer group is decoded between them, leaving
    out pictures that nothing refers to. Which of the two is measured, and decided anew at each keyframe; a group that
    turns out longer than expected is decoded from its keyframe on, which is why its packets are kept for one interval.

    Attributes:
        whole: everything is decoded, not keyframes only.
        bad: packets that could not be decoded.
        changed: frames have another size than the stream had when it was opened.
    """

    def __init__(self, stream: VideoStream, every: float, side: int) -> None:
        """Args:
        every: seconds; 0 takes every frame.
        side: length in pixels of the shorter side; a smaller picture keeps its size.
        """
        self._stream, self._every, self._side = stream, every, side
        self._context = stream.codec_context
        if self._context.is_open:  # by the timeline before this one
            self._context.flush_buffers()
        else:
            self._context.thread_count = 1  # one thread a camera; more would only add delay
        self._size = (self._context.width, self._context.height)
        self._scaler = VideoReformatter()
        self._gaps: deque[float] = deque(maxlen=GAPS)
        self._group: list[tuple[VideoPacket, float]] = []  # since the keyframe, not given to the decoder
        self._times: dict[int, float] = {}  # of packets, until their frames come out
        self._key: float | None = None
        self._taken: float | None = None
        self._failed = 0
        self.whole = self.changed = False
        self.bad = 0

    @property
    def gop(self) -> float | None:
        """Seconds of the longest of the last few groups of pictures; None until one has ended."""
        return max(self._gaps, default=None)

    def feed(self, packet: VideoPacket, time: float) -> Iterator[tuple[Image, float]]:
        """Take the next packet; yields the frames that are wanted, with their UTC in seconds."""
        limit = self._every * SLACK
        if packet.is_keyframe:
            yield from self._begin(packet, time, limit)
        elif self._key is None:
            return
        elif self.whole:
            yield from self._decode(packet, time)
        else:
            self._group.append((packet, time))
            if time - self._key > limit:
                yield from self._decode_group()

    def _begin(self, packet: VideoPacket, time: float, limit: float) -> Iterator[tuple[Image, float]]:
        if self._key is not None:
            self._gaps.append(time - self._key)
        self._key = time
        was, self.whole = self.whole, limit == 0 or self._failed >= ALONE or (self.gop or 0.0) > limit
        if self.whole:
            self._group = []
            yield from self._decode(packet, time)
            return
        if was:
            yield from self._empty()
        self._group = [(packet, time)]
        if self._wants(time):
            yield from self._decode(packet, time)
            yield from self._empty()
            self._failed = self._failed + 1 if self._wants(time) else 0

    def _decode_group(self) -> Iterator[tuple[Image, float]]:
        group, self._group, self.whole = self._group, [], True
        for packet, time in group:
            yield from self._decode(packet, time)

    def _wants(self, time: float) -> bool:
        if self._taken is None:
            return True
        return time > self._taken and (not self._every or time // self._every > self._taken // self._every)

    def _decode(self, packet: VideoPacket, time: float) -> Iterator[tuple[Image, float]]:
        assert packet.pts is not None  # repaired before
        self._times[packet.pts] = time
        if len(self._times) > REORDER:
            self._times.pop(next(iter(self._times)))
        needed = self._wants(time) or self._context.name not in SKIPPABLE
        self._context.skip_frame = "DEFAULT" if needed else "NONREF"
        try:
            frames = self._context.decode(packet)
        except (FFmpegError, EOFError):
            self.bad += 1
            return
        yield from self._take(frames)

    def _empty(self) -> Iterator[tuple[Image, float]]:
        """Get out what the decoder still holds, and make it ready for another keyframe."""
        try:
            frames = self._context.decode(None)
        except (FFmpegError, EOFError):
            frames = []
        self._context.flush_buffers()
        yield from self._take(frames)
        self._times.clear()

    def _take(self, frames: list[VideoFrame]) -> Iterator[tuple[Image, float]]:
        for frame in frames:
            time = None if frame.pts is None else self._times.pop(frame.pts, None)
            self.changed = self.changed or (frame.width, frame.height) != self._size
            if time is not None and not frame.is_corrupt and not self.changed and self._wants(time):
                self._taken = time
                yield upright(frame, self._stream, self._side, self._scaler), time
