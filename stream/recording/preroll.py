"""Keeps packets that a segment needs before its first frame, for cameras that send recovery points for keyframes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeAlias

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.nal_units import length_size, recovery_frames

MAX_PREROLL = timedelta(seconds=20)
"""Of what is kept; where recovery points are further apart, segments begin without."""

TimedPacket: TypeAlias = "tuple[Packet[Any], datetime]"


class Preroll:
    """The packets from the latest place at which decoding can begin, in a stream with periodic intra refresh.

    A picture at a recovery point is not whole: it is after all parts were refreshed once more. So a segment that begins
    there begins with what came since the recovery point before, which players decode and do not show. Nothing is kept
    until a stream shows that it has recovery points. Used by the recorder's thread.
    """

    def __init__(self, stream: VideoStream) -> None:
        context = stream.codec_context
        self._is_h264 = context.name == "h264"
        self._length_size = length_size(context.extradata, "h264")
        self._packets: list[TimedPacket] = []
        self._needed = False

    def add(self, packet: Packet[Any], time: datetime, keyframe: bool) -> list[TimedPacket] | None:
        """Take the next packet.

        Returns:
            What a segment that begins with this packet must begin with, in decoding order: nothing for a keyframe. None
            where this packet is a recovery point, and what is needed is not there.
        """
        before = self._packets
        if not keyframe:
            if before and time - before[0][1] > MAX_PREROLL:
                before.clear()
            if before:
                before.append((packet, time))
            return None
        recovers = self._is_h264 and recovery_frames(bytes(packet), self._length_size) > 0
        self._needed = self._needed or recovers
        self._packets = [(packet, time)] if self._needed else []
        if not recovers:
            return []
        return before or None
