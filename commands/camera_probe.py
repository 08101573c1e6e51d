"""Connects to a camera for a moment, to tell what it sends."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

    from footage.stream.frame import Clock, Image
    from footage.stream.live.contracts import ConnectionStatus, LivePacket


class _NewestFrame:
    """Keeps the newest frame (a ``stream.live.contracts.Sink``); called from the reader's thread."""

    def __init__(self) -> None:
        self.image: Image | None = None
        self.arrived = threading.Event()

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        """Nothing to prepare."""

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        """Packets are not kept."""

    def frame(self, image: Image, time: datetime) -> None:
        """Keep a copy: the reader reuses its buffer."""
        self.image = image.copy()
        self.arrived.set()

    def closed(self, cause: str, at: datetime) -> None:
        """Nothing to end."""


def probe_camera(
    name: str, url: str, transport: str, seconds: float, stop: threading.Event | None = None
) -> tuple[ConnectionStatus, Image | None]:
    """Read a camera for up to ``seconds``, or until its rates are known; its status and an image, if one came.

    Args:
        stop: ends it early when set.
    """
    import time

    from footage.stream.live.reader import Reader

    newest = _NewestFrame()
    reader = Reader(name, url, newest, every=0.5, side=360, transport=transport, stall=seconds)
    reader.start()
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline and not (stop and stop.is_set()):
            status = reader.snapshot()
            if newest.arrived.is_set() and status.fps and status.gop:
                break
            if status.error and not newest.arrived.is_set():
                break
            time.sleep(0.1)
        return reader.snapshot(), newest.image
    finally:
        reader.stop()
