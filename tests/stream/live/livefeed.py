"""A fake connection that reads a video file, whose packets a test may edit, and a sink that keeps all it gets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from footage.stream.frame import Clock, Image
from footage.stream.live.connection import ConnectionLostError
from footage.stream.live.contracts import LivePacket


class FileConnection:
    """Packets of a film, changed by ``edit``; the connection is lost at its end."""

    normal_silence = 0.0
    has_timestamps = True

    def __init__(self, path: Path, edit: Callable[[int, LivePacket], LivePacket | None] = lambda _, p: p) -> None:
        self._container = av.open(str(path))
        self.video: VideoStream = self._container.streams.video[0]
        self.audio: AudioStream | None = next(iter(self._container.streams.audio), None)
        self.closed = False
        self.packets = self._edited(edit)

    def _edited(self, edit: Callable[[int, LivePacket], LivePacket | None]) -> Iterator[LivePacket]:
        packets = [p for p in self._container.demux() if p.size]
        for i, packet in enumerate(packets):
            if (edited := edit(i, packet)) is not None:  # type: ignore[arg-type]
                yield edited

    def read(self) -> LivePacket | None:
        try:
            return next(self.packets)
        except StopIteration:
            raise ConnectionLostError("ended the stream") from None

    def sender_time(self, packet: LivePacket) -> float | None:
        return None

    def close(self) -> None:
        self.closed = True
        self._container.close()


@dataclass
class SinkSession:
    """What came between opened and closed."""

    start: datetime
    clock: Clock
    template: VideoStream
    noted: datetime  # when the sink was called
    packets: list[tuple[datetime, int, bool]] = field(default_factory=list)  # time, dts, keyframe
    sounds: list[datetime] = field(default_factory=list)
    frames: list[tuple[datetime, Image]] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)  # monotonic
    cause: str = ""
    end: datetime | None = None


class RecordingSink:
    """A sink that keeps everything, and checks the order of calls that every sink may rely on."""

    def __init__(self) -> None:
        self.spans: list[SinkSession] = []
        self.faults: list[str] = []
        self._open = False

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        self._expect(not self._open, "opened twice")
        earlier = [time for time in self.times[-1:] if start <= time < start + timedelta(minutes=2)]
        self._expect(not earlier, "opened in the past")  # unless the machine's clock was set back far
        self._open = True
        self.spans.append(SinkSession(start, clock, video, datetime.now(UTC)))

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        self._expect(self._open, "packet while closed")
        span = self.spans[-1]
        if packet.stream is not span.template:
            span.sounds.append(time)
            return
        assert packet.dts is not None
        assert packet.pts is not None
        if span.packets:
            self._expect(packet.dts > span.packets[-1][1], "dts does not rise")
        else:
            self._expect(keyframe, "begins without a keyframe")
            self._expect(time == span.start, "starts at another time than it said")
        self._expect(packet.pts >= packet.dts, "shown before it is decoded")
        span.packets.append((time, packet.dts, keyframe))
        span.arrived.append(monotonic())

    def frame(self, image: Image, time: datetime) -> None:
        span = self.spans[-1]
        self._expect(time in {t for t, _, _ in span.packets[-200:]}, "frame without its packet")
        self._expect(not span.frames or time > span.frames[-1][0], "frames do not rise")
        span.frames.append((time, image))

    def closed(self, cause: str, at: datetime) -> None:
        self._expect(self._open, "closed twice")
        self._expect(at >= self.spans[-1].packets[-1][0], "closed before its last packet")
        self._open = False
        self.spans[-1].cause, self.spans[-1].end = cause, at

    @property
    def times(self) -> list[datetime]:
        """Of all video packets, in the order in which they came."""
        return [time for span in self.spans for time, _, _ in span.packets]

    @property
    def frames(self) -> list[datetime]:
        return [time for span in self.spans for time, _ in span.frames]

    @property
    def gaps(self) -> list[tuple[str, float]]:
        """Cause and seconds of each gap."""
        ends = [(s.cause, s.end) for s in self.spans[:-1]]
        return [
            (cause, (after.start - end).total_seconds())
            for (cause, end), after in zip(ends, self.spans[1:], strict=True)
            if end is not None
        ]

    def _expect(self, fine: bool, fault: str) -> None:
        if not fine:
            self.faults.append(fault)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> float:
    """Wait until a condition is true; returns the seconds, or fails."""
    began = monotonic()
    while not condition():
        if monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds} s")
        sleep(0.01)
    return monotonic() - began
