"""What is in a file, found without decoding more than one frame of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, pairwise
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files import image_file
from footage.stream.files.video_file import Film, MediaError, display_size, first_frame, stamp, turns
from footage.stream.frame import Kind

LOOK = 400  # packets read at each place


@dataclass(frozen=True, slots=True)
class Probe:
    """What is in a file.

    Attributes:
        kind: a video or a photograph.
        codec: as FFmpeg or Pillow names it.
        width, height: upright, in square pixels.
        fps: average frame rate, or None when the file does not say.
        duration: seconds from the first frame to the end of the last; 0 for a photograph.
        keyframe_gap: largest gap between keyframes that was seen, in seconds; None for a photograph.
        rotation: degrees counter-clockwise that make it upright: 0, 90, 180 or 270.
        audio: whether there is sound.
        created: when the file says that it was made, timezone-aware, unchecked.
    """

    kind: Kind
    codec: str
    width: int
    height: int
    fps: float | None
    duration: float
    keyframe_gap: float | None
    rotation: int
    audio: bool
    created: datetime | None


def probe(path: Path) -> Probe:
    """Look into a file.

    Raises:
        MediaError: neither a video nor a photograph, or nothing in it can be decoded.
    """
    if image_file.is_photo(path):
        codec, width, height, rotation, taken = image_file.look(path)
        return Probe(Kind.PHOTO, codec, width, height, None, 0.0, None, rotation, False, taken)
    with Film(path) as film:
        head = list(islice(film.packets(), LOOK))
        frame = first_frame(film, head)
        if frame is None:
            raise MediaError(path, "no frame could be decoded: it is damaged; copy it again, or leave it out")
        width, height = display_size(frame, film.stream)
        rotation = turns(frame) * 90
        if rotation % 180:
            width, height = height, width
        rate = film.stream.average_rate
        fps = float(rate) if rate else None
        audio = bool(film.container.streams.audio)
        codec = film.stream.codec_context.name
        created = _created(film)
        duration = _duration(film)
        gap = max(_gap(film, head), *(_gap(film, _place(film, duration * part)) for part in (1 / 3, 2 / 3)))
        return Probe(Kind.VIDEO, codec, width, height, fps, duration, gap, rotation, audio, created)


def _place(film: Film, offset: float) -> list[Packet[VideoStream]]:
    return list(islice(film.packets(film.origin + round(offset / film.tick)), LOOK))


def _gap(film: Film, packets: list[Packet[VideoStream]]) -> float:
    """The largest gap between keyframes, in seconds; the last one lasts at least as long as is seen of it."""
    stamps = [(at, p.is_keyframe) for p in packets if (at := stamp(p)) is not None]
    keys = [at for at, key in stamps if key]
    edges = [*keys, max((at for at, _ in stamps), default=0)] if keys else []
    return float(max((b - a for a, b in pairwise(edges)), default=0) * film.tick)


def _duration(film: Film) -> float:
    """Seconds from the first frame to the end of the last: as the file says, else as its packets say."""
    stream, container = film.stream, film.container
    if stream.duration:
        begin = stream.start_time if stream.start_time is not None else film.origin
        return max(0.0, film.offset(begin + stream.duration))
    with suppress(KeyError, ValueError):  # Matroska: "00:01:02.345000000"
        return _clock_seconds(stream.metadata["DURATION"]) + film.offset(0)
    if container.duration and not container.streams.audio:
        begin_s = (container.start_time or 0) / 1e6
        return max(0.0, begin_s + container.duration / 1e6 + film.offset(0))
    for _ in film.packets():
        pass
    return film.offset(film.end)


def _clock_seconds(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _created(film: Film) -> datetime | None:
    tags = {**film.stream.metadata, **film.container.metadata}
    for name in ("com.apple.quicktime.creationdate", "creation_time"):
        with suppress(KeyError, ValueError):
            return datetime.fromisoformat(tags[name].partition(";")[0].strip())  # FFmpeg 8.1 joins what comes twice
    return None
