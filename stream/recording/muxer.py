"""Muxes live packets into a file without re-encoding, in fragments of one second, so that a kill loses no more."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.video_file import LOWEST_TIMESTAMP
from footage.stream.instants import MICROSECOND

TIMESCALE = 90_000  # ticks a second, as in RTP: what RTP stamped comes back exactly
TICK = Fraction(1, TIMESCALE)
DEFAULT_REORDERING = 2  # frames by which decoding runs ahead where the stream does not say
FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""By suffix, the preferred one first: QuickTime takes G.711, the audio of many cameras; Matroska takes rare codecs."""

FRAGMENTED = {
    # The header is written with the first fragment: some cameras send their parameters only with the video.
    "movflags": "empty_moov+delay_moov+default_base_moof+frag_keyframe",
    "frag_duration": "1000000",  # us
    "video_track_timescale": str(TIMESCALE),
}
FORMAT_OPTIONS = {
    "mp4": FRAGMENTED,
    "mov": FRAGMENTED,
    "matroska": {"cluster_time_limit": "1000"},  # ms
}
FLUSH_OPTIONS = {"flush_packets": "1", "max_interleave_delta": "500000"}  # us; silent audio must not delay video

AnyStream: TypeAlias = VideoStream | AudioStream
AnyPacket: TypeAlias = "Packet[Any]"


def choose_format(streams: Sequence[AnyStream]) -> tuple[str, list[AnyStream]] | None:
    """Choose the format that carries the video and most of the other streams: its suffix, and the streams it carries.

    Returns:
        None when the video is raw or in a codec that no format carries.
    """
    video = next(s for s in streams if isinstance(s, VideoStream))
    if codec_name(video) == "rawvideo":
        return None  # 100 MB a second
    # QuickTime claims to carry any video codec, and fails at the first packet
    able = (".mp4", ".mov") if codec_name(video) in _codecs(".mp4") else (".mkv",)
    carried = {suffix: [s for s in streams if codec_name(s) in _codecs(suffix)] for suffix in able}
    best = max(able, key=lambda suffix: len(carried[suffix]))  # the first of equals
    return (best, carried[best]) if video in carried[best] else None


def codec_name(stream: AnyStream) -> str:
    """FFmpeg's name of a stream's decoder."""
    return stream.codec_context.name if stream.codec_context else "unknown"


@cache
def _codecs(suffix: str) -> frozenset[str]:
    with av.open(os.devnull, "w", format=FORMATS[suffix]) as nothing:
        return frozenset(nothing.supported_codecs)


@dataclass
class _Track:
    stream: AnyStream
    filter: BitStreamFilterContext | None = None  # removes the headers that AAC has in MPEG-TS
    last: int = LOWEST_TIMESTAMP  # decoding time of the packet before, in ticks


class Muxer:
    """Writes one file, in one thread.

    Attributes:
        start: UTC time of the first video frame; it is 0 on the file's clock.
    """

    def __init__(self, path: Path, streams: Sequence[AnyStream], start: datetime) -> None:
        """Open a file for streams like these.

        Raises:
            OSError: it cannot be written.
            ValueError: the format does not carry one of the streams.
        """
        self.start = start
        format_ = FORMATS[path.with_suffix("").suffix]
        self._container = av.open(str(path), "w", format=format_, options={**FORMAT_OPTIONS[format_], **FLUSH_OPTIONS})
        self._tracks = {s.index: self._add(s) for s in streams}

    def write(self, packet: AnyPacket, time: datetime) -> timedelta:
        """Add a packet, which stays as it is.

        Time stamps are made from ``time``, so that a frame's offset in the file is its UTC time less ``start``,
        whatever the stream's own time stamps do. Decoding times that are missing or do not rise are repaired.

        Returns:
            How long it is shown, as far as is known now.

        Raises:
            OSError: the disk is full or failed.
        """
        track = self._tracks[packet.stream.index]
        kept = packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration
        tick = (packet.time_base or TICK) / TICK
        presented = round((time - self.start) / MICROSECOND * TIMESCALE / 1_000_000)
        length = round((packet.duration or 0) * tick)
        decoded = min(presented, self._decoding_time(packet, track, presented, length, tick))
        if decoded <= track.last:
            decoded = track.last + 1
        if not length and track.last != LOWEST_TIMESTAMP:
            length = min(decoded - track.last, TIMESCALE)
        track.last = decoded
        try:
            for one in track.filter.filter(Packet(bytes(packet))) if track.filter else (packet,):
                one.stream, one.time_base = track.stream, TICK
                one.pts, one.dts, one.duration = max(presented, decoded), decoded, length
                self._container.mux(one)
        finally:
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.duration = kept
        return timedelta(seconds=length / TIMESCALE)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: the disk is full or failed.
        """
        self._container.close()

    def _add(self, template: AnyStream) -> _Track:
        # opaque: without it PyAV 14 opens an encoder, whose parameters take the place of the source's
        stream = self._container.add_stream_from_template(template, opaque=True)
        if codec_name(template) == "hevc" and self._container.format.name != "matroska":
            stream.codec_context.codec_tag = "hvc1"  # Apple's players refuse the default, hev1
        framed = codec_name(template) == "aac" and not template.codec_context.extradata
        return _Track(stream, BitStreamFilterContext("aac_adtstoasc", template) if framed else None)

    @staticmethod
    def _decoding_time(packet: AnyPacket, track: _Track, presented: int, length: int, tick: Fraction) -> int:
        """Decoding time in ticks: as long before presentation as the stream says, else one frame after the last."""
        if packet.dts is not None and packet.pts is not None:
            return presented - round((packet.pts - packet.dts) * tick)
        return (
            presented - DEFAULT_REORDERING * length if track.last == LOWEST_TIMESTAMP else track.last + max(1, length)
        )
