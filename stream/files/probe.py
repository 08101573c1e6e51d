"""Finds out what is in a file, decoding no more than one frame of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from footage.stream.files import image_file
from footage.stream.files.frame_image import display_size
from footage.stream.files.orientation import orientation
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import MAX_LENGTH, VideoFile
from footage.stream.frame import Kind

MAX_PROBED_PACKETS = 400  # from which one frame must be decodable
UNFINISHED_FRAMES = 1 << 24  # more frames than an AVI has: a writer that could not go back left a placeholder


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
    if path.suffix.lower() in image_file.NOT_READ:
        raise MediaError(path, f"{path.suffix} photographs are not read here; save it as JPEG")
    if image_file.is_photo(path):
        width, height, taken = image_file.read_header(path)
        return Probe(Kind.PHOTO, width, height, None, 0.0, taken)
    with VideoFile(path) as video:
        first = chain(islice(video.packets(), MAX_PROBED_PACKETS), [None])
        frame = next((frame for packet in first for frame in video.decode(packet)), None)
        if frame is None:
            raise MediaError(path, "no frame could be decoded: it is damaged; copy it again, or leave it out")
        width, height = display_size(frame, video.stream)
        if orientation(frame).sideways:
            width, height = height, width
        rate = video.stream.average_rate
        return Probe(Kind.VIDEO, width, height, float(rate) if rate else None, _duration(video), _created(video))


def _duration(video: VideoFile) -> float:
    """Seconds from the first frame to the end of the last: as the file says, else as its packets say.

    A file that was cut short keeps the length that it promises, so that what is missing is known to be missing.
    """
    scan = video.scan
    promised = None if scan and not _keeps_promises(video) else _promised_duration(video)
    if promised is not None and promised > MAX_LENGTH:
        promised = None
    found = video.offset(scan.end) if scan else 0.0
    if (promised is None and scan is None) or found > MAX_LENGTH:
        for _ in video.packets():
            pass
        return video.offset(video.end)
    return max(found, promised or 0.0)


def _keeps_promises(video: VideoFile) -> bool:
    """Whether the length in the header of a file that was read whole can be right: an AVI's, where it was finished."""
    stream = video.stream
    finished = 0 < stream.frames < UNFINISHED_FRAMES
    return video.container.format.name.startswith("avi") and finished and stream.duration == stream.frames


def _promised_duration(video: VideoFile) -> float | None:
    stream, container = video.stream, video.container
    tagged: float | None = None
    with suppress(KeyError, ValueError):  # Matroska: "00:01:02.345000000"
        tagged = _parse_duration(stream.metadata["DURATION"]) + video.offset(0)
    if stream.duration:
        begin = stream.start_time if stream.start_time is not None else video.origin
        promised = max(0.0, video.offset(begin + stream.duration))
        # FFmpeg gives a Matroska track the length of the whole file where its pictures begin after the sound.
        return promised if tagged is None or tagged <= 0 else min(promised, tagged)
    if tagged is not None:
        return tagged
    if container.duration and not container.streams.audio:
        begin_s = (container.start_time or 0) / 1e6
        return max(0.0, begin_s + container.duration / 1e6 + video.offset(0))
    return None


def _parse_duration(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _created(video: VideoFile) -> datetime | None:
    tags = {**video.stream.metadata, **video.container.metadata}
    for name in ("com.apple.quicktime.creationdate", "creation_time"):
        with suppress(KeyError, ValueError):
            return datetime.fromisoformat(tags[name].partition(";")[0].strip())  # FFmpeg 8.1 joins what comes twice
    return None
