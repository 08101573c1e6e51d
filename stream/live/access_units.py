"""Pictures that FFmpeg cut into several packets, put together again."""

from __future__ import annotations

from typing import Any

from av.packet import Packet

from footage.stream.live.contracts import LivePacket
from footage.stream.live.nal import continues

LEARN = 3  # keyframes after which it is known whether this stream needs it


class Pieces:
    """Joins the packets of one keyframe.

    Some cameras repeat their parameter sets before each slice of a keyframe; FFmpeg's parser takes them for the
    beginning of another picture. So a keyframe waits for the packet behind it: the first few of a stream, and all
    of them when one of those came in pieces.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._held: LivePacket | None = None
        self._keyframes = 0
        self._needed = False

    def take(self, packet: LivePacket) -> list[LivePacket]:
        """The packets that are whole, in order."""
        held, self._held = self._held, None
        if held is not None and continues(bytes(packet), self._codec):
            self._needed = True
            self._held = _joined(held, packet)
            return []
        before = [] if held is None else [held]
        if packet.is_keyframe and self._codec in {"h264", "hevc"}:
            self._keyframes += 1
            if self._needed or self._keyframes <= LEARN:
                self._held = packet
                return before
        return [*before, packet]


def _joined(first: LivePacket, second: LivePacket) -> LivePacket:
    whole: Packet[Any] = Packet(bytes(first) + bytes(second))
    whole.stream = first.stream
    whole.time_base = first.time_base
    whole.pts = second.pts if first.pts is None else first.pts
    whole.dts = second.dts if first.dts is None else first.dts
    whole.duration = first.duration
    whole.is_keyframe = True
    return whole
