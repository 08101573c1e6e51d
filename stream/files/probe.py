"""Finds out what is in a file, decoding no more than one frame of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from footage.stream.files import image_file
from footage.stream.files.video_file import (
    MediaError,
    VideoFile,
    decode_first_frame,
    display_size,
    quarter_turns,
)
from footage.stream.frame import Kind

MAX_PROBED_PACKETS = 400  # from which one frame must be decodable


@dataclass(frozen=True, slots=True)
class Probe:
    """What is in a file.

    Attributes:
        kind: a video or a photograph.
        width, height: upright, in square pixels.
        fps: average frame rate, or None when the file does not say.
        duration: seconds from the first frame to the end of the last; 0 for a photograph.
        created: when the file says that it was made, timezone-aware, unchecked.
    """

    kind: Kind
    width: int
    height: int
    fps: float | None
    duration: float
    created: datetime | None


def probe_file(path: Path) -> Probe:
    """Read what a file says about itself, and decode one frame.

    Raises:
        MediaError: neither a video nor a photograph, or nothing in it can be decoded.
    """
    if image_file.is_photo(path):
        width, height, taken = image_file.read_header(path)
        return Probe(Kind.PHOTO, width, height, None, 0.0, taken)
    with VideoFile(path) as video:
        frame = decode_first_frame(video, islice(video.packets(), MAX_PROBED_PACKETS))
        if frame is None:
            raise MediaError(path, "no frame could be decoded: it is damaged; copy it again, or leave it out")
        width, height = display_size(frame, video.stream)
        if quarter_turns(frame) % 2:
            width, height = height, width
        rate = video.stream.average_rate
        return Probe(Kind.VIDEO, width, height, float(rate) if rate else None, _duration(video), _created(video))


def _duration(video: VideoFile) -> float:
    """Seconds from the first frame to the end of the last: as the file says, else as its packets say."""
    stream, container = video.stream, video.container
    if stream.duration:
        begin = stream.start_time if stream.start_time is not None else video.origin
        return max(0.0, video.offset(begin + stream.duration))
    with suppress(KeyError, ValueError):  # Matroska: "00:01:02.345000000"
        return _parse_duration(stream.metadata["DURATION"]) + video.offset(0)
    if container.duration and not container.streams.audio:
        begin_s = (container.start_time or 0) / 1e6
        return max(0.0, begin_s + container.duration / 1e6 + video.offset(0))
    for _ in video.packets():
        pass
    return video.offset(video.end)


def _parse_duration(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _created(video: VideoFile) -> datetime | None:
    tags = {**video.stream.metadata, **video.container.metadata}
    for name in ("com.apple.quicktime.creationdate", "creation_time"):
        with suppress(KeyError, ValueError):
            return datetime.fromisoformat(tags[name].partition(";")[0].strip())  # FFmpeg 8.1 joins what comes twice
    return None
