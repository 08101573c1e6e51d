"""Joins the parts of a clip without re-encoding: copies their packets onto the clip's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from footage.query.clips.source import (
    EPSILON,
    ClipPart,
    StreamFormat,
    audio_packets,
    decode_time,
    open_video,
    video_packets,
)
from footage.stream.files.nal_units import ParameterSets

MediaPacket: TypeAlias = "Packet[VideoStream] | Packet[AudioStream]"

VIDEO_DECODERS = {"h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9"}
"""Decoders of the video that MP4 carries and browsers play. MPEG-4 part 2 and MJPEG fit in MP4 too, but no browser
shows them."""

_EIGHT_BITS = {"yuv420p", "yuvj420p"}
PLAYED_PIXELS = {"h264": _EIGHT_BITS, "hevc": _EIGHT_BITS | {"yuv420p10le"}, "av1": _EIGHT_BITS | {"yuv420p10le"}}
"""Pixel formats that browsers play, of those decoders that have more; others are played in ``yuv420p`` only. What H.264
calls High 10, 4:2:2, 4:4:4 and RGB, no browser shows."""

AUDIO_DECODERS = {"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "flac", "alac"}
"""Decoders of the audio that MP4 carries; a camera's G.711 and PCM are not among them."""
PLAYED_AUDIO = {"aac", "mp3", "mp3float", "opus", "libopus", "flac"}
"""Those of them that every browser plays."""


def can_copy_video(parts: Sequence[ClipPart]) -> bool:
    """Tells whether the video of all parts can be copied into one stream."""
    video = parts[0].video
    played = PLAYED_PIXELS.get("av1" if video.codec == "libdav1d" else video.codec, _EIGHT_BITS)
    return video.codec in VIDEO_DECODERS and video.pixels in played and len({part.video for part in parts}) == 1


def plays_everywhere(video: StreamFormat) -> bool:
    """Tells whether every browser of today plays a copy of such a video; H.265 depends on browser and machine."""
    codec = "av1" if video.codec == "libdav1d" else video.codec
    return codec in VIDEO_DECODERS - {"hevc"} and video.pixels in PLAYED_PIXELS.get(codec, _EIGHT_BITS)


def can_copy_audio(parts: Sequence[ClipPart], *, everywhere: bool = False) -> bool:
    """Tells whether the audio of all parts that have any can be copied into one stream.

    Args:
        everywhere: only if every browser plays it, too.
    """
    formats = {part.audio for part in parts if part.audio}
    codecs = PLAYED_AUDIO if everywhere else AUDIO_DECODERS
    return len(formats) == 1 and all(one.codec in codecs for one in formats)


def copy_video(output: OutputContainer, parts: Sequence[ClipPart]) -> Iterator[MediaPacket]:
    """Adds a video stream to ``output``, display matrix included, and returns the packets to write there.

    Raises:
        ValueError: while iterating, at a packet without a presentation time, which MP4 requires, or where the size or
            the coding changes: an MP4 has one of each.
    """
    with open_video(parts[0].media) as video:
        # opaque: without it PyAV 14 opens an encoder, whose parameters replace those of the source
        stream = output.add_stream_from_template(video.stream, opaque=True)
    if parts[0].video.codec == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse the default, hev1
    return _join(stream, parts, lambda part: _fill_decode_times(_part_video(part)))


def copy_audio(output: OutputContainer, parts: Sequence[ClipPart]) -> Iterator[MediaPacket]:
    """Adds an audio stream to ``output``, and returns the packets to write there.

    A packet belongs to a part when its middle does: a joint is right to half a packet, about 10 ms.
    """
    with open_video(next(part for part in parts if part.audio).media) as video:
        stream = output.add_stream_from_template(video.container.streams.audio[0], opaque=True)
    return _join(stream, parts, _part_audio)


def _join(
    stream: VideoStream | AudioStream, parts: Sequence[ClipPart], read: Callable[[ClipPart], Iterable[MediaPacket]]
) -> Iterator[MediaPacket]:
    base, newest = 0.0, float("-inf")
    for part in parts:
        for packet in read(part):
            if packet.pts is None or packet.dts is None:
                raise ValueError(f"{part.media.path} has packets without a presentation time")
            shift = round((part.origin + part.start - base) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.dts * packet.time_base > newest:  # where two parts meet, audio may overlap by half a packet
                newest = float(packet.dts * packet.time_base)
                packet.stream = stream
                yield packet
        base += part.length


def _part_video(part: ClipPart) -> Iterator[Packet[VideoStream]]:
    """Yields the video packets of ``part`` from its keyframe on.

    Frames that are stored after the keyframe but shown before it refer to earlier frames, so they are left out.
    """
    started = False
    with open_video(part.media) as video:
        context = video.stream.codec_context
        parameters = ParameterSets(context.name, context.extradata)
        for time, packet in video_packets(video, part.start):
            if packet.is_keyframe and parameters.differ(bytes(packet)):
                raise ValueError(f"the size or coding of {part.media.path} changes")
            started = started or ((packet.is_keyframe or part.continues) and time >= part.start - EPSILON)
            if started and part.start - EPSILON <= time <= part.last + EPSILON:
                if not packet.duration or time >= part.last - EPSILON:  # MP4 has no next packet to derive it from
                    packet.duration = round((part.end - part.last) / video.time_base)
                yield packet
            elif decode_time(video, packet) > part.last + EPSILON:
                return


def _fill_decode_times(packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """Yields the same packets, with the decoding times that Matroska leaves out of the first few.

    Raises:
        ValueError: none has one and they are not in the order of display, as behind a joint in Matroska.
    """
    undated: list[Packet[VideoStream]] = []
    for packet in packets:
        if packet.dts is None:
            undated.append(packet)
            continue
        for back, earlier in enumerate(reversed(undated), 1):
            earlier.dts = packet.dts - back * max(1, packet.duration or 1)
        yield from undated
        undated.clear()
        yield packet
    shown = [packet.pts or 0 for packet in undated]
    if any(later <= earlier for earlier, later in pairwise(shown)):
        raise ValueError("it has no decoding times")
    for packet in undated:  # too few packets for any to have a decoding time
        packet.dts = packet.pts
        yield packet


def _part_audio(part: ClipPart) -> Iterator[Packet[AudioStream]]:
    if part.audio:
        for time, packet in audio_packets(part, part.start - 0.1):
            if part.start <= time + float((packet.duration or 0) * packet.time_base) / 2 < part.end:
                yield packet
