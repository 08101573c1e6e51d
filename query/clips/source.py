"""What a cut of one media really shows, and its packets; found by reading around the two ends only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.av_options import LENIENT
from footage.stream.files.video_file import Film, MediaError, stamp
from footage.stream.frame import Media

EPSILON = 0.0005
"""Seconds by which two times may differ and be the same: datetimes end at microseconds, Matroska at milliseconds."""


class ClipError(Exception):
    """A clip that cannot be cut; the message names the file and says what to do."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of one media.

    Attributes:
        media: what to cut from.
        start: seconds from the media's first video frame.
        end: seconds from the media's first video frame.
    """

    media: Media
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Take:
    """What a cut shows. Times are seconds from the media's first video frame, as in `Cut`.

    Attributes:
        media: what it is cut from.
        origin: that first frame's time on the file's own clock, whose zero may be anywhere (s).
        start: when the first frame begins to be shown.
        last: time of the last frame.
        end: when the last frame stops being shown.
        video: codec and parameters of the pictures; takes whose parameters agree can be joined by copying.
        audio: the same of the sound, or None where there is none.
    """

    media: Media
    origin: float
    start: float
    last: float
    end: float
    video: Track
    audio: Track | None

    @property
    def length(self) -> float:
        """Seconds shown."""
        return self.end - self.start

    def trimmed(self, cut: Cut) -> Take:
        """This take reduced to exactly ``cut``, as re-encoding can; an instant lasts as long as a frame."""
        start = max(self.start, cut.start)
        frame = self.end - self.last
        return replace(self, start=start, end=min(self.end, cut.end) if cut.end > start + EPSILON else start + frame)


@dataclass(frozen=True, slots=True)
class Track:
    """Codec and parameters of one stream.

    Attributes:
        codec: FFmpeg's name of the decoder.
        shape: width, height, pixel format; or sample rate and channel layout.
        extradata: the decoder's configuration.
    """

    codec: str
    shape: tuple[object, ...]
    extradata: bytes | None


@contextmanager
def opened(media: Media) -> Iterator[Film]:
    """The media's film, open; what is wrong with the file is told as a `ClipError`."""
    try:
        with Film(media.path) as film:
            yield film
    except MediaError as error:
        raise ClipError(str(error)) from error


def take(cut: Cut) -> Take:
    """Finds what copying ``cut`` shows: from a keyframe, and with no reference missing at the end.

    Reads the packets around both ends only, and decodes nothing.
    """
    with opened(cut.media) as film:
        sound = next(iter(film.container.streams.audio), None)
        picture = _picture(film.stream)
        start = _keyframe(film, cut.start)
        last, end = _tail(film, max(cut.end, start))
        origin = float(film.origin * film.tick)
        return Take(cut.media, origin, start, last, end, picture, _sound(sound) if sound else None)


def packets(film: Film, since: float) -> Iterator[tuple[float, Packet[VideoStream]]]:
    """Packets of the pictures with their times (s from the first frame), from a keyframe at ``since`` or before."""
    for packet in film.packets(film.origin + int((since + EPSILON) / film.tick)):
        yield film.offset(stamp(packet) or 0), packet


def sounds(take: Take, since: float) -> Iterator[tuple[float, Packet[AudioStream]]]:
    """Packets of the sound from ``since`` or before to the take's end, with times (s from the first video frame)."""
    local = {"protocol_whitelist": "file"}  # a playlist in disguise must not open anything else
    with av.open(take.media.path, options=local, **LENIENT) as container:
        stream = container.streams.audio[0]
        tick = float(stream.time_base or 1)
        if since > 0:  # else the front, where nothing needs to be sought
            with suppress(FFmpegError):  # no index: what comes before is passed over
                container.seek(int((since + take.origin) / tick), stream=stream)
        for packet in container.demux(stream):
            if packet.size == 0 or packet.pts is None:
                continue
            time = packet.pts * tick - take.origin
            if time >= take.end:
                return
            yield time, packet


def _keyframe(film: Film, at: float) -> float:
    """Time of the last keyframe shown at ``at`` or before, else of the first there is."""
    found: float | None = None
    for time, packet in packets(film, at):
        if packet.is_keyframe and (found is None or time <= at + EPSILON):
            found = time
        if found is not None and decoded(film, packet) > at + EPSILON:
            break
    if found is None:
        raise ClipError(f"{film.path} holds no keyframe to begin a clip at: it is damaged; copy it again")
    return found


def _tail(film: Film, at: float) -> tuple[float, float]:
    """Times of the last frame to copy, and of its end, so that all frames up to ``at`` are there and decode.

    A frame up to ``at`` may be stored after, and refer to, a frame that is shown later than ``at``. Then that later
    frame is copied too, with all that are shown before it: else it would be shown too early, after a jump.
    """
    bound, final = at, (float("-inf"), 0.0)
    pending: list[tuple[float, float]] = []
    for time, packet in packets(film, at):
        pending.append((time, _length(film, packet)))
        if time <= bound + EPSILON:
            final = max(final, *pending)
            bound = max(bound, final[0])
            pending.clear()
        elif decoded(film, packet) >= min(pending)[0]:  # now the next frame is known
            break
    return final[0], min(pending)[0] if pending else sum(final)


def decoded(film: Film, packet: Packet[VideoStream]) -> float:
    """Seconds from the first frame, before which no later packet is shown; unknown where Matroska leaves it out."""
    return film.offset(packet.dts) if packet.dts is not None else float("-inf")


def _length(film: Film, packet: Packet[VideoStream]) -> float:
    if packet.duration:
        return float(packet.duration * film.tick)
    return float(1 / film.stream.average_rate) if film.stream.average_rate else 0.04


def _picture(stream: VideoStream) -> Track:
    context = stream.codec_context
    return Track(context.name, (context.width, context.height, context.pix_fmt), context.extradata)


def _sound(stream: AudioStream) -> Track:
    context = stream.codec_context
    return Track(context.name, (context.sample_rate, context.layout.name), context.extradata)
