"""Re-encodes the video of a clip's parts: H.264, exact to the frame, upright."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from footage.query.clips.source import EPSILON, ClipError, ClipPart, open_video, video_packets
from footage.stream.files.frame_image import BT709, color_matrix, display_size
from footage.stream.files.orientation import orientation
from footage.stream.files.tone_mapping import color_table, is_high_range, primaries_of, transfer_of
from footage.stream.files.video_file import presentation_time

TIME_BASE = Fraction(1, 90_000)
"""Seconds of one tick of a clip's presentation times: MPEG's usual, fine enough for any variable frame rate."""

ENCODER_OPTIONS = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without B-frames decoding times equal presentation times, so MP4 keeps a variable rate to the last frame's end."""


FULL_RANGE = 2
"""The range of JPEG, 0 to 255, as FFmpeg numbers it."""


def encode_video(output: OutputContainer, parts: Sequence[ClipPart]) -> Iterator[Packet[VideoStream]]:
    """Adds an H.264 stream to ``output``, and returns the packets to write there.

    Each frame keeps its own time. The first is the frame on display when the first part starts.

    Raises:
        ClipError: no frame of the first part can be decoded.
    """
    width, height, first = _output_format(parts[0])
    stream = output.add_stream("libx264", rate=30, options=ENCODER_OPTIONS)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    _tag_colors(stream, first)
    return _encode(stream, parts)


def _encode(stream: VideoStream, parts: Sequence[ClipPart]) -> Iterator[Packet[VideoStream]]:
    base, previous = 0.0, -1
    for part in parts:
        convert = _FrameConverter(stream.width, stream.height)
        for time, frame in displayed_frames(part):
            at = round((base + time - part.start) / TIME_BASE)
            if at > previous:
                previous = at
                yield from stream.encode(convert(frame, at))
        base += part.length
    for packet in stream.encode(None):
        if packet.pts == previous:  # the duration of the other packets follows from the next one's time
            packet.duration = max(1, round(base / TIME_BASE) - previous)
        yield packet


def displayed_frames(part: ClipPart) -> Iterator[tuple[float, VideoFrame]]:
    """Yields the frames on display during ``part``, with their start times (s from the media's first frame).

    The first has the part's start as its time, however long it was on display before.
    """
    current: VideoFrame | None = None
    with open_video(part.media) as video:
        for packet in chain((packet for _, packet in video_packets(video, part.start, clean=False)), [None]):
            for frame in video.decode(packet):
                time = video.offset(presentation_time(frame) or 0)
                if time <= part.start + EPSILON:
                    current = frame
                    continue
                if current:
                    yield part.start, current
                    current = None
                if time >= part.end - EPSILON:
                    return
                yield time, frame
    if current:
        yield part.start, current


def _tag_colors(stream: VideoStream, frame: VideoFrame) -> None:
    """Tags a stream with the colors of its source, or of what its high dynamic range is mapped to."""
    context, mapped = stream.codec_context, is_high_range(frame)
    context.colorspace = BT709 if mapped else color_matrix(frame)  # else a player assumes one by the size
    context.color_primaries = BT709 if mapped else primaries_of(frame)
    context.color_trc = BT709 if mapped else transfer_of(frame)


def _output_format(part: ClipPart) -> tuple[int, int, VideoFrame]:
    """Returns width and height of the part's first frame, upright, in square pixels, and the frame.

    Both sizes are even numbers, as 4:2:0 requires.
    """
    _, frame = next(displayed_frames(part), (0.0, None))
    if frame is None:
        raise ClipError(f"{part.media.path} has no frame there that can be decoded: it is damaged; copy it again")
    with open_video(part.media) as video:
        width, height = display_size(frame, video.stream)
    if orientation(frame).sideways:
        width, height = height, width
    return max(2, width - width % 2), max(2, height - height % 2), frame


class _FrameConverter:
    """Turns frames as their display matrix says, into yuv420p of one even size in square pixels and of normal range."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._graph: Graph | None = None
        self._input: tuple[object, ...] = ()

    def __call__(self, frame: VideoFrame, at: int) -> VideoFrame:
        """Returns the converted frame, with ``at`` (ticks) as its presentation time."""
        colors = int(frame.color_range), transfer_of(frame)
        input_format = frame.width, frame.height, frame.format.name, orientation(frame), *colors
        if self._graph is None or input_format != self._input:
            with _mapping_filters(frame) as mapping:
                self._graph = _build_graph(frame, [*mapping, *self._filters(frame)])
            self._input = input_format
        frame.pts, frame.time_base = at, TIME_BASE
        self._graph.push(frame)
        converted = self._graph.pull()
        assert isinstance(converted, VideoFrame)
        converted.pts, converted.time_base = at, TIME_BASE
        converted.pict_type = PictureType.NONE  # else the encoder repeats the source's choice of keyframes
        return converted

    def _filters(self, frame: VideoFrame) -> list[str]:
        turned = orientation(frame)
        width, height = (frame.height, frame.width) if turned.sideways else (frame.width, frame.height)
        fits = 0 <= width - self._width <= 1 and 0 <= height - self._height <= 1
        size = f"{self._width}:{self._height}"
        ranged = ["scale=out_range=tv"] if int(frame.color_range) == FULL_RANGE else []  # players assume it of H.264
        return [*turned.filters, f"crop={size}:0:0" if fits else f"scale={size}", *ranged, "format=yuv420p"]


@contextmanager
def _mapping_filters(frame: VideoFrame) -> Iterator[list[str]]:
    """The filters that map high dynamic range; the file that they read is there while a graph is made of them."""
    if not is_high_range(frame):
        yield []
        return
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table.cube"
        table.write_text(color_table(transfer_of(frame)))
        name = re.sub(r"([\\':,;\[\]])", r"\\\1", table.as_posix())
        yield ["scale=in_color_matrix=bt2020", "format=gbrp10le", f"lut3d=file={name}", "scale=out_color_matrix=bt709"]


def _build_graph(frame: VideoFrame, filters: Iterable[str]) -> Graph:
    graph = Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=TIME_BASE)
    for step in (*filters, "buffersink"):
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    return graph
