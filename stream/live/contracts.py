"""Interfaces of a live reader: its status, and the sink that receives its packets and frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol, TypeAlias

from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.frame import Clock, Image

LivePacket: TypeAlias = "Packet[VideoStream] | Packet[AudioStream]"  # not subscriptable at run time


class ConnectionState(StrEnum):
    """The state of a reader's connection."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"  # connected, but no packet has come for some seconds
    BACKING_OFF = "backing off"  # waiting before the next attempt
    STOPPED = "stopped"


@dataclass(slots=True)
class ConnectionStatus:
    """The status of one camera's reader at one moment.

    Attributes:
        state: what it is doing, since ``since`` (UTC).
        error: why the last connection ended or could not be made; empty while all is well. Holds no credentials.
        faults: failures of this program, not of the camera or the network, each in the log with its trace; fault: what
            the last one was, until the camera is live again.
        connects: connections that gave packets; reconnects: those of them that followed another.
        packets: video packets received; frames: sampled and given to the sink; dropped: packets that could not be used.
        last_packet, last_frame: UTC times of the newest ones.
        codec: as FFmpeg names it; width, height: as coded; fps: measured on the stream's own time stamps.
        gop: seconds from keyframe to keyframe, measured; the longest of the last few.
        keyframes_only: whether nothing but keyframes is being decoded.
        clock: where the times come from.
        skew: seconds by which the camera's clock (RTCP) is ahead of arrival here; None where it sends none. The delay
            of encoding and network is part of it, so a correct clock shows a little below 0.
        rate: seconds that really pass for each second of the stream's time stamps.
        transport: "tcp" or "udp" for RTSP, else the scheme.
    """

    state: ConnectionState
    since: datetime
    transport: str
    error: str = ""
    fault: str = ""
    faults: int = 0
    connects: int = 0
    reconnects: int = 0
    packets: int = 0
    frames: int = 0
    dropped: int = 0
    last_packet: datetime | None = None
    last_frame: datetime | None = None
    codec: str = ""
    width: int = 0
    height: int = 0
    fps: float | None = None
    gop: float | None = None
    keyframes_only: bool = True
    clock: Clock = Clock.ARRIVAL
    skew: float | None = None
    rate: float = 1.0


class Sink(Protocol):
    """Receives a reader's packets and frames. The reader's thread makes all calls, in this order: opened,
    (packet | frame)*, closed; then opened again, with a later time, or with an earlier one where the machine's clock
    was set back far (``clock.MAX_STEP_BACK``). A call that blocks delays its own camera only.
    """

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        """A connection, or a new timeline in it, has begun; the streams serve as templates for a muxer.

        Args:
            start: UTC time of the first packet, which is a video keyframe.
            clock: where times come from at the start; it may improve (see ``ConnectionStatus.clock``).
        """

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        """A packet of ``video`` or ``audio``, in decoding order: it has a PTS, and a DTS that rises in its stream.

        Args:
            time: UTC of its PTS.
            keyframe: a video keyframe.
        """

    def frame(self, image: Image, time: datetime) -> None:
        """A sampled frame, upright, scaled; times rise strictly from opened to closed. Its packet came before."""

    def closed(self, cause: str, at: datetime) -> None:
        """The connection, or the timeline in it, has ended.

        Args:
            cause: of the gap in coverage: "connection lost", "no picture for 10 s", "stream changed"...
            at: UTC time up to which there was video.
        """
