"""Joins keyframes that FFmpeg split into several packets into one access unit."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

from footage.stream.live.contracts import LivePacket
from footage.stream.live.nal import continues_picture

KEYFRAMES_CHECKED = 3  # after which it is known whether a stream's keyframes are split


class AccessUnitAssembler:
    """Joins the packets of one keyframe.

    Some cameras repeat their parameter sets before each slice of a keyframe; FFmpeg's parser takes them for the
    beginning of another picture. So a keyframe waits for the next packet: the first few of a stream do, and all of
    them when one of those was split.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._held: LivePacket | None = None
        self._keyframes = 0
        self._splits_seen = False

    def add(self, packet: LivePacket) -> list[LivePacket]:
        """Take a video packet; returns the packets that are complete now, in order."""
        held, self._held = self._held, None
        if held is not None and continues_picture(bytes(packet), self._codec):
            self._splits_seen = True
            self._held = _concatenate(held, packet)
            return []
        before = [] if held is None else [held]
        if packet.is_keyframe and self._codec in {"h264", "hevc"}:
            self._keyframes += 1
            if self._splits_seen or self._keyframes <= KEYFRAMES_CHECKED:
                self._held = packet
                return before
        return [*before, packet]


def _concatenate(first: LivePacket, second: LivePacket) -> LivePacket:
    whole: Packet[Any] = Packet(bytes(first) + bytes(second))
    whole.stream = first.stream
    whole.time_base = first.time_base
    whole.pts = second.pts if first.pts is None else first.pts
    whole.dts = second.dts if first.dts is None else first.dts
    whole.duration = first.duration
    whole.is_keyframe = True
    return whole
