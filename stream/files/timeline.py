"""Puts the packets of a file on one timeline where its clock starts anew, as in recordings that were joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream

MAX_BACK = 1  # seconds by which decoding times may go back without being a new clock
MAX_REORDERED = 32  # pictures by which presentation times may go back, where a container has no others
MAX_AHEAD = 3600  # seconds; a longer step ahead that crosses the end of the 33 bits of MPEG's clock is a new clock too
CLOCK_BITS = 33
CONFIRMED = 4  # packets on the new clock until it is believed: a single one is a damaged time


class Timeline:
    """Continues the timeline of a file where its clock starts anew, from the first keyframe on.

    Attributes:
        joints: time stamps, on the timeline, at which a new clock began.
        dropped: packets with damaged times, and those after a joint that refer to what is before it.
    """

    def __init__(self, time_base: Fraction, step: int, wraps: bool, decoding: bool = True) -> None:
        """Start at the first packet.

        Args:
            step: ticks from picture to picture, where a packet does not say.
            wraps: the container's clock has 33 bits.
            decoding: it holds decoding times; else they are FFmpeg's guesses, which are wrong behind a joint.
        """
        self._step, self._decoding = step, decoding
        self._time_base, self._wraps = time_base, wraps
        self._last: int | None = None  # on the file's clock
        self._end = self._decoded = -(1 << 62)  # on the timeline: of presentation, and the newest decoding time
        self._shift = 0
        self._suspects: list[Packet[VideoStream]] = []
        self._begins = False  # a new clock was found, and its first keyframe not yet
        self._first: int | None = None  # presentation time of that keyframe, on the file's clock
        self.joints: list[int] = []
        self.dropped = 0

    def place(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        """The packets with their times on the timeline."""
        for packet in packets:
            time = packet.dts if packet.dts is not None else packet.pts
            if time is None:
                if not self._suspects and not self._begins:
                    yield packet
                continue
            if self._last is None or not self._jumps(self._last, time, packet):
                self.dropped += len(self._suspects)
                self._suspects.clear()
                yield from self._emit(packet, time)
                continue
            before = self._suspects[-1] if self._suspects else None
            if before is not None and self._jumps(_time(before), time, packet):
                self.dropped += len(self._suspects)
                self._suspects.clear()
            self._suspects.append(packet)
            if len(self._suspects) >= CONFIRMED:
                confirmed, self._suspects = self._suspects, []
                self._begins, self._first = True, None
                for one in confirmed:
                    yield from self._emit(one, _time(one))
        self.dropped += len(self._suspects)

    def _jumps(self, last: int, time: int, packet: Packet[VideoStream]) -> bool:
        back = MAX_BACK / self._time_base
        if packet.dts is None:
            back = max(10 * back, Fraction(MAX_REORDERED * (packet.duration or 0)))
        if time < last - back:
            return True
        crosses = self._wraps and time >> CLOCK_BITS > last >> CLOCK_BITS
        return crosses and time - last > MAX_AHEAD / self._time_base

    def _emit(self, packet: Packet[VideoStream], time: int) -> Iterator[Packet[VideoStream]]:
        self._last = time
        shown = packet.pts if packet.pts is not None else time
        if self._begins:
            if not packet.is_keyframe:
                self.dropped += 1
                return
            self._begins, self._first = False, shown
            self._shift = self._end - shown
            if packet.dts is not None:  # the end is not known where presentation times are left out
                self._shift = max(self._shift, self._decoded + self._step - packet.dts)
            self.joints.append(shown + self._shift)
        elif self._first is not None and packet.is_keyframe:
            self._first = None
        elif self._first is not None and packet.pts is not None and shown < self._first:
            self.dropped += 1  # it refers to a picture that is before the joint
            return
        if self._shift:
            guessed = not self._decoding and self.joints
            packet.dts = None if packet.dts is None or guessed else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
        ends = shown + self._shift + (packet.duration or self._step)
        self._end, self._decoded = max(self._end, ends), time + self._shift
        yield packet


def _time(packet: Packet[VideoStream]) -> int:
    time = packet.dts if packet.dts is not None else packet.pts
    assert time is not None  # only such are suspected
    return time
