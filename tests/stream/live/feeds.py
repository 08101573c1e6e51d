"""Feeds the packets of a video file to a recorder, as a camera would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av

from footage.stream.files.decode import read_frames
from footage.stream.frame import Clock, Media
from footage.stream.recording.recorder import Recorder
from tests import films

BEGIN = datetime(2026, 11, 23, 23, 59, 55, 123457, UTC)  # of every feed: midnight comes soon


@dataclass
class RecorderHarness:
    """A recorder with the segments that it reported."""

    folder: Path
    camera: str = "door"
    length: float = 2.0
    room: bool = True
    opened: list[Media] = field(default_factory=list)
    closed: list[Media] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.recorder = Recorder(
            self.folder,
            self.camera,
            length=self.length,
            on_opened=self.opened.append,
            on_closed=self.closed.append,
            has_room=lambda: self.room,
        )

    def record(self, path: str | Path, clock: Clock = Clock.ARRIVAL) -> list[Media]:
        """Record a whole film; returns the finished segments."""
        with feed(path) as (streams, packets):
            self.recorder.begin(streams, clock)
            for packet, time in packets:
                self.recorder.packet(packet, time, packet.is_keyframe)
            self.recorder.end()
        return self.closed


@contextmanager
def feed(path: str | Path) -> Iterator[tuple[list[Any], Iterator[tuple[Any, datetime]]]]:
    """A film's streams, and its packets with the UTC time of their presentation."""
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        streams = [video, *container.streams.audio]
        yield streams, _timed(container, streams)


def _timed(container: av.container.InputContainer, streams: list[Any]) -> Iterator[tuple[Any, datetime]]:
    origin: float | None = None
    for packet in container.demux(streams):
        if packet.size == 0:
            continue
        at = float(packet.pts * packet.time_base)
        if origin is None and packet.stream is streams[0]:
            origin = at
        yield packet, BEGIN + timedelta(seconds=at - (origin if origin is not None else at))


def numbered_frames(media: Media) -> list[tuple[datetime, int]]:
    """UTC time and number of each picture in a segment."""
    return [(frame.time, films.number(frame.image)) for frame in read_frames(media, every=0, side=128)]
