"""Takes encoded anew: H.264, exact to the frame, upright."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain

from av.container import OutputContainer
from av.filter import Graph
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from footage.query.clips.source import EPSILON, ClipError, Take, opened, packets
from footage.stream.files.video_file import display_size, matrix, stamp, turns

TICK = Fraction(1, 90_000)
"""Seconds of one tick of a clip's time stamps: MPEG's usual, fine enough for any variable frame rate."""

QUALITY = {"preset": "veryfast", "crf": "20", "bf": "0"}
"""Without B-frames decoding times are display times, so MP4 keeps a variable rate to the last frame's end."""

TURNS = {0: [], 1: ["transpose=cclock"], 2: ["hflip", "vflip"], 3: ["transpose=clock"]}
"""Filters that make a frame upright, by quarter turns counter-clockwise."""


def video(output: OutputContainer, takes: Sequence[Take]) -> Iterator[Packet[VideoStream]]:
    """Adds an H.264 stream to ``output``, and returns the packets to put there.

    Each frame keeps its own time. The first is the one on show when the first take starts.

    Raises:
        ClipError: nothing there can be decoded.
    """
    width, height, colours = _form(takes[0])
    stream = output.add_stream("libx264", rate=30, options=QUALITY)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = TICK
    stream.codec_context.colorspace = colours  # else a player assumes one by the size
    return _encoded(stream, takes)


def _encoded(stream: VideoStream, takes: Sequence[Take]) -> Iterator[Packet[VideoStream]]:
    base, previous = 0.0, -1
    for take in takes:
        upright = _Upright(stream.width, stream.height)
        for time, frame in shown(take):
            at = round((base + time - take.start) / TICK)
            if at > previous:
                previous = at
                yield from stream.encode(upright(frame, at))
        base += take.length
    for packet in stream.encode(None):
        if packet.pts == previous:  # of the others, the next one's time tells how long they last
            packet.duration = max(1, round(base / TICK) - previous)
        yield packet


def shown(take: Take) -> Iterator[tuple[float, VideoFrame]]:
    """Frames on show during ``take``, with the times from which they are (s from the media's first frame).

    The first is on show from the take's start, however long it has been before.
    """
    held: VideoFrame | None = None
    with opened(take.media) as film:
        for packet in chain((packet for _, packet in packets(film, take.start)), [None]):
            for frame in film.decode(packet):
                time = film.offset(stamp(frame) or 0)
                if time <= take.start + EPSILON:
                    held = frame
                    continue
                if held:
                    yield take.start, held
                    held = None
                if time >= take.end - EPSILON:
                    return
                yield time, frame
    if held:
        yield take.start, held


def _form(take: Take) -> tuple[int, int, int]:
    """Width and height of the take's first frame, upright, in square pixels, and its YCbCr matrix.

    Both are even numbers, as 4:2:0 needs.
    """
    _, frame = next(shown(take), (0.0, None))
    if frame is None:
        raise ClipError(f"{take.media.path} has no frame there that can be decoded: it is damaged; copy it again")
    with opened(take.media) as film:
        width, height = display_size(frame, film.stream)
    if turns(frame) % 2:
        width, height = height, width
    return max(2, width - width % 2), max(2, height - height % 2), matrix(frame)


class _Upright:
    """Turns frames the way their display matrix says, into yuv420p of one even size in square pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._width, self._height = width, height
        self._graph: Graph | None = None
        self._kind: tuple[object, ...] = ()

    def __call__(self, frame: VideoFrame, at: int) -> VideoFrame:
        """The frame, to be shown from tick ``at`` on."""
        kind = frame.width, frame.height, frame.format.name, turns(frame)
        if self._graph is None or kind != self._kind:
            self._graph, self._kind = _graph(frame, self._steps(frame)), kind
        frame.pts, frame.time_base = at, TICK
        self._graph.push(frame)
        made = self._graph.pull()
        assert isinstance(made, VideoFrame)
        made.pts, made.time_base = at, TICK
        made.pict_type = PictureType.NONE  # else the encoder repeats the source's choice of keyframes
        return made

    def _steps(self, frame: VideoFrame) -> list[str]:
        turn = TURNS[turns(frame)]
        width, height = (frame.height, frame.width) if turns(frame) % 2 else (frame.width, frame.height)
        fits = 0 <= width - self._width <= 1 and 0 <= height - self._height <= 1
        size = f"{self._width}:{self._height}"
        return [*turn, f"crop={size}:0:0" if fits else f"scale={size}", "format=yuv420p"]


def _graph(frame: VideoFrame, steps: Iterable[str]) -> Graph:
    graph = Graph()
    last = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=TICK)
    for step in (*steps, "buffersink"):
        name, _, arguments = step.partition("=")
        following = graph.add(name, arguments or None)
        last.link_to(following)
        last = following
    graph.configure()
    return graph
