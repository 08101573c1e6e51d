"""Probes a span of one media file: which frames, packets and stream formats a clip of it has.

Reads only around the two ends of the span.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.av_options import LOCAL_FILE_ONLY, input_options
from footage.stream.demux import demux
from footage.stream.errors import FootageError
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import VideoFile, presentation_time
from footage.stream.frame import Media

EPSILON = 0.0005
"""Seconds by which two equal times may differ: datetimes end at microseconds, Matroska at milliseconds."""


class ClipError(FootageError):
    """A clip cannot be cut; the message names the file and says what to do."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class MediaSpan:
    """A requested span of one media.

    Attributes:
        media: the media to cut from.
        start: seconds from the media's first video frame.
        end: seconds from the media's first video frame.
    """

    media: Media
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ClipPart:
    """A part of a clip, from one media. Times are seconds from the media's first video frame, as in `MediaSpan`.

    Attributes:
        media: the media that the part is cut from.
        origin: that first frame's time on the file's own clock, whose zero may be anywhere (s).
        start: time at which the first frame begins to be shown.
        last: time of the last frame.
        end: time at which the last frame stops being shown.
        video: format of the video stream; parts with equal formats can be joined by copying.
        audio: format of the audio stream, or None where there is none that can be used.
        note: why audio is left out, or "".
        builds_up: it has no keyframe to begin with, and its first frames are not whole.
        continues: its footage goes on from the part before without a gap, so it may begin with any frame.
    """

    media: Media
    origin: float
    start: float
    last: float
    end: float
    video: StreamFormat
    audio: StreamFormat | None
    note: str = ""
    builds_up: bool = False
    continues: bool = False

    @property
    def length(self) -> float:
        """Duration in seconds."""
        return self.end - self.start

    def trimmed(self, span: MediaSpan) -> ClipPart:
        """Returns this part reduced to exactly ``span``, as re-encoding can; an empty span lasts one frame."""
        start = max(self.start, span.start)
        frame = self.end - self.last
        return replace(self, start=start, end=min(self.end, span.end) if span.end > start + EPSILON else start + frame)


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """Codec and parameters of one stream.

    Attributes:
        codec: FFmpeg's name of the decoder.
        parameters: width, height, pixel format; or sample rate and channel layout.
        extradata: the decoder's configuration.
    """

    codec: str
    parameters: tuple[object, ...]
    extradata: bytes | None

    @property
    def pixels(self) -> object:
        """The pixel format of a video."""
        return self.parameters[-1]


@contextmanager
def open_video(media: Media) -> Iterator[VideoFile]:
    """Opens the media's video file; raises a `ClipError` that says what is wrong with it."""
    try:
        with VideoFile(media.path) as video:
            yield video
    except MediaError as error:
        raise ClipError(str(error)) from error


def probe_part(span: MediaSpan, continues: bool = False) -> ClipPart:
    """Finds the part that copying ``span`` gives: from a keyframe on, and with no reference missing at the end.

    Reads the packets around both ends only, and decodes nothing.

    Args:
        continues: a part goes before it whose footage it goes on with: then it begins with the media's first frame,
            which is a recovery point where the camera sends no keyframes.
    """
    with open_video(span.media) as video:
        audio, note = _find_audio(video)
        continues = continues and span.start <= EPSILON
        start = 0.0 if continues else _keyframe_time(video, span.start)
        builds_up = video.is_recovery_point(video.origin + round(start / video.time_base))
        last, end = _last_frame(video, max(span.end, start))
        origin = float(video.origin * video.time_base)
        formats = video_format(video.stream), _audio_format(audio) if audio else None
        return ClipPart(span.media, origin, start, last, end, *formats, note, builds_up, continues)


def video_packets(video: VideoFile, since: float, *, clean: bool = True) -> Iterator[tuple[float, Packet[VideoStream]]]:
    """Yields video packets with their times (s from the first frame), from a keyframe at ``since`` or before.

    Args:
        clean: False may begin at a recovery point, from which decoding gives whole frames at ``since``.
    """
    for packet in video.packets(video.origin + int((since + EPSILON) / video.time_base), clean=clean):
        yield video.offset(presentation_time(packet) or 0), packet


def audio_packets(part: ClipPart, since: float) -> Iterator[tuple[float, Packet[AudioStream]]]:
    """Yields audio packets from ``since`` or before to the part's end, with times (s from the first video frame)."""
    with av.open(part.media.path, **input_options(LOCAL_FILE_ONLY)) as container:
        stream = next(one for one in container.streams.audio if one.codec_context is not None)
        tick = float(stream.time_base or 1)
        if since > 0:  # else reading starts at the front, without a seek
            with suppress(FFmpegError):  # no index: earlier packets are read and skipped
                container.seek(int((since + part.origin) / tick), stream=stream)
        for packet in demux(container, [stream]):
            if packet.pts is None:
                continue
            time = packet.pts * tick - part.origin
            if time >= part.end:
                return
            yield time, packet


def _find_audio(video: VideoFile) -> tuple[AudioStream | None, str]:
    """Returns the audio to use, or why there is none to use although the file has some."""
    streams = video.container.streams.audio
    known = next((one for one in streams if one.codec_context is not None), None)
    if known is None:
        return None, "without sound: its codec is unknown here" if streams else ""
    if (scan := video.scan) is not None and scan.joints:
        return None, "without sound: the file holds several recordings, and its sound has no one clock"
    return known, ""


def _keyframe_time(video: VideoFile, at: float) -> float:
    """Returns the time of the last keyframe shown at ``at`` or before, else of the first keyframe."""
    found: float | None = None
    for time, packet in video_packets(video, at):
        if packet.is_keyframe and (found is None or time <= at + EPSILON):
            found = time
        if found is not None and decode_time(video, packet) > at + EPSILON:
            break
    if found is None:
        raise ClipError(f"{video.path} has no keyframe to start a clip at: it is damaged; copy it again")
    return found


def _last_frame(video: VideoFile, at: float) -> tuple[float, float]:
    """Returns the time of the last frame to copy, and of its end, so that all frames up to ``at`` decode.

    A frame up to ``at`` may be stored after, and refer to, a frame that is shown later than ``at``. Then that later
    frame is copied too, with all frames that are shown before it: else it would be shown too early, after a jump.
    """
    bound, final = at, (float("-inf"), 0.0)
    pending: list[tuple[float, float]] = []
    for time, packet in video_packets(video, at):
        pending.append((time, _frame_duration(video, packet)))
        if time <= bound + EPSILON:
            final = max(final, *pending)
            bound = max(bound, final[0])
            pending.clear()
        elif decode_time(video, packet) >= min(pending)[0]:  # now the next frame is known
            break
    return final[0], min(pending)[0] if pending else sum(final)


def decode_time(video: VideoFile, packet: Packet[VideoStream]) -> float:
    """Returns the packet's decoding time (s from the first frame); no later packet is shown before it.

    Minus infinity where Matroska leaves it out.
    """
    return video.offset(packet.dts) if packet.dts is not None else float("-inf")


def _frame_duration(video: VideoFile, packet: Packet[VideoStream]) -> float:
    if packet.duration:
        return float(packet.duration * video.time_base)
    return float(1 / video.stream.average_rate) if video.stream.average_rate else 0.04


def video_format(stream: VideoStream) -> StreamFormat:
    """Returns the format of a video stream."""
    context = stream.codec_context
    return StreamFormat(context.name, (context.width, context.height, context.pix_fmt), context.extradata)


def _audio_format(stream: AudioStream) -> StreamFormat:
    context = stream.codec_context
    return StreamFormat(context.name, (context.sample_rate, context.layout.name), context.extradata)
