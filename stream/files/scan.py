"""Reads packets past damage, and all of a file whose container has no length that can be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.av_options import LOCAL_FILE_ONLY, input_options
from footage.stream.demux import demux
from footage.stream.files.presentation import Times, fill_decoding_times
from footage.stream.files.timeline import Timeline
from footage.stream.files.top_level import is_joined
from footage.stream.files.track import choose_track

MAX_READ_ERRORS = 16
"""Read errors in a row, after which the rest of a file is given up."""
SCANNED_FORMATS = ("avi", "asf", "flv", "mpegts", "mpeg")
"""An AVI's length is written at the end or never; a stream's length is taken from its last clock."""
MPEG_FORMATS = ("mpegts", "mpeg")
ALWAYS_SCANNED = 32 << 20
"""Bytes up to which a file is read whole in any case."""
PLAUSIBLE = 1.5
"""Factor by which the length of a larger file may differ from what the rate of its head promises."""


class Scan(NamedTuple):
    """What reading a whole file showed: the time stamp at its end, and how often another recording follows in it."""

    end: int
    joints: int


def read_packets(
    container: InputContainer, stream: VideoStream, give_up: Callable[[BaseException], None]
) -> Iterator[Packet[VideoStream]]:
    """Packets of a stream, without empty ones, past damaged ones.

    Args:
        give_up: called with the error that ends the reading.
    """
    errors = 0
    while True:
        try:
            for packet in demux(container, [stream]):
                errors = 0
                yield packet
            return
        except (FFmpegError, OSError) as error:
            errors += 1
            if errors > MAX_READ_ERRORS:
                give_up(error)
                return


def frame_step(stream: VideoStream) -> int:
    """Ticks from picture to picture, at the stream's average rate, or 25 a second where it is not known."""
    rate, time_base = stream.average_rate, Fraction(stream.time_base or Fraction(1, 90_000))
    return max(1, round(1 / ((rate or 25) * time_base)))


def needs_scan(container: InputContainer, path: Path, size: int, head: tuple[float, int]) -> bool:
    """Whether a file must be read whole to know its length, and whether its clock starts anew.

    Args:
        size: of the file in bytes.
        head: seconds and bytes of its beginning.
    """
    if is_joined(path, container.format.name):
        return True
    if not container.format.name.startswith(SCANNED_FORMATS):
        return False
    if size <= ALWAYS_SCANNED or not container.duration or not head[1]:
        return True
    expected = size * head[0] / head[1]
    return not expected / PLAUSIBLE <= container.duration / 1e6 <= expected * PLAUSIBLE


def scan_file(path: Path, times: Times, lead: int) -> Scan | None:
    """Read a file whole, once for as long as it stays the same; None where there is nothing in it.

    Args:
        lead: ticks from the decoding time of a keyframe to its presentation time.
    """
    stat = path.stat()
    return _scan(path.absolute(), times, lead, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _scan(path: Path, times: Times, lead: int, size: int, changed: int) -> Scan | None:
    del size, changed  # they are a part of the key
    with av.open(str(path), **input_options(LOCAL_FILE_ONLY)) as container:
        stream, _ = choose_track(container)
        if stream is None:
            return None
        step = frame_step(stream)
        timeline = Timeline(Fraction(stream.time_base or 1), step, container.format.name in MPEG_FORMATS)
        packets = read_packets(container, stream, lambda _: None)
        if times is not Times.REAL:
            packets = fill_decoding_times(packets, step, lead)
        end: int | None = None
        for packet in timeline.place(packets):
            time = packet.pts if times is not Times.MISSING else packet.dts
            if time is None and packet.dts is not None:
                time = packet.dts + lead
            if time is not None:
                end = max(time if end is None else end, time + (packet.duration or step))
        return None if end is None else Scan(end, len(timeline.joints))
