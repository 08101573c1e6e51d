"""Takes joined without re-encoding: their packets, on the clip's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from footage.query.clips.source import EPSILON, Take, decoded, opened, packets, sounds

AnyPacket: TypeAlias = "Packet[VideoStream] | Packet[AudioStream]"

VIDEO = {"h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9"}
"""Decoders of what MP4 carries and browsers play. MPEG-4 part 2 and MJPEG fit in MP4 too, but no browser shows them."""

AUDIO = {"aac", "mp3", "mp3float", "ac3", "eac3", "opus", "libopus", "flac", "alac"}
"""Decoders of the sound that MP4 carries; a camera's G.711 and PCM are not among them."""


def joinable(takes: Sequence[Take]) -> bool:
    """Whether the pictures of all takes can be copied into one stream."""
    return takes[0].video.codec in VIDEO and len({take.video for take in takes}) == 1


def audible(takes: Sequence[Take]) -> bool:
    """Whether the sound of all takes that have any can be copied into one stream."""
    tracks = {take.audio for take in takes if take.audio}
    return len(tracks) == 1 and all(track.codec in AUDIO for track in tracks)


def video(output: OutputContainer, takes: Sequence[Take]) -> Iterator[AnyPacket]:
    """Adds a video stream to ``output``, and returns the packets to put there. The display matrix goes with it.

    Raises:
        ValueError: while iterating, at a packet without a time of display, which MP4 cannot do without.
    """
    with opened(takes[0].media) as film:
        # opaque: without it PyAV 14 opens an encoder, whose parameters take the place of the source's
        stream = output.add_stream_from_template(film.stream, opaque=True)
    if takes[0].video.codec == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse the default, hev1
    return _joined(stream, takes, lambda take: _dated(_pictures(take)))


def audio(output: OutputContainer, takes: Sequence[Take]) -> Iterator[AnyPacket]:
    """Adds an audio stream to ``output``, and returns the packets to put there.

    A packet belongs to a take when its middle does: a joint is right to half a packet, about 10 ms.
    """
    with opened(next(take for take in takes if take.audio).media) as film:
        stream = output.add_stream_from_template(film.container.streams.audio[0], opaque=True)
    return _joined(stream, takes, _sounds)


def _joined(
    stream: VideoStream | AudioStream, takes: Sequence[Take], read: Callable[[Take], Iterable[AnyPacket]]
) -> Iterator[AnyPacket]:
    base, floor = 0.0, float("-inf")
    for take in takes:
        for packet in read(take):
            if packet.pts is None or packet.dts is None:
                raise ValueError(f"{take.media.path} has packets without a time of display")
            shift = round((take.origin + take.start - base) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            if packet.dts * packet.time_base > floor:  # where two takes meet, sound may overlap by half a packet
                floor = float(packet.dts * packet.time_base)
                packet.stream = stream
                yield packet
        base += take.length


def _pictures(take: Take) -> Iterator[Packet[VideoStream]]:
    """The packets of ``take`` from its keyframe on.

    What comes after the keyframe but is shown before it leans on the pictures before, so it is left out.
    """
    begun = False
    with opened(take.media) as film:
        for time, packet in packets(film, take.start):
            begun = begun or (packet.is_keyframe and time >= take.start - EPSILON)
            if begun and take.start - EPSILON <= time <= take.last + EPSILON:
                if not packet.duration or time >= take.last - EPSILON:  # MP4 has no next one to tell it from
                    packet.duration = round((take.end - take.last) / film.tick)
                yield packet
            elif decoded(film, packet) > take.last + EPSILON:
                return


def _dated(found: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
    """The same packets, with the decoding times that Matroska leaves out of the first few."""
    undated: list[Packet[VideoStream]] = []
    for packet in found:
        if packet.dts is None:
            undated.append(packet)
            continue
        for back, earlier in enumerate(reversed(undated), 1):
            earlier.dts = packet.dts - back * max(1, packet.duration or 1)
        yield from undated
        undated.clear()
        yield packet
    for packet in undated:  # too few for any to be dated: they are stored as they are shown
        packet.dts = packet.pts
        yield packet


def _sounds(take: Take) -> Iterator[Packet[AudioStream]]:
    if take.audio:
        for time, packet in sounds(take, take.start - 0.1):
            if take.start <= time + float((packet.duration or 0) * packet.time_base) / 2 < take.end:
                yield packet
