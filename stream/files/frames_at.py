"""Many pictures of one file in one pass, given the offsets that they were taken at."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.video_file import Film, stamp
from footage.stream.frame import Image

NEAR = 0.001  # seconds; Matroska rounds times to milliseconds


class Wanted:
    """Offsets that are still to be found."""

    def __init__(self, film: Film, offsets: Iterable[float]) -> None:
        self._film = film
        self._left = sorted(offsets)
        self.first = film.origin + int((self._left[0] + NEAR) / film.tick)
        self.last = film.origin + int((self._left[-1] + NEAR) / film.tick)

    def at(self, stamp: int) -> float | None:
        """The wanted offset that a time stamp stands for."""
        offset = self._film.offset(stamp)
        place = bisect_left(self._left, offset)
        near = min(self._left[max(0, place - 1) : place + 1], key=lambda one: abs(one - offset), default=None)
        return near if near is not None and abs(near - offset) <= NEAR else None

    def take(self, offset: float) -> None:
        """It was found."""
        del self._left[bisect_left(self._left, offset)]


def pictures(path: Path, offsets: Collection[float], side: int | None) -> Iterator[tuple[float, Image]]:
    """The frames at exactly these offsets; what no wanted frame needs is not decoded.

    What is not found so is looked for once more with everything around it decoded.

    Args:
        offsets: seconds from the first frame, to the millisecond, as frames of this file had them.
        side: length in pixels of the shorter side; a smaller picture keeps its size, None keeps every size.

    Yields:
        An offset and its frame: RGB, upright. An offset at which no whole frame can be decoded is left out.

    Raises:
        MediaError: the file cannot be opened.
    """
    left = set(offsets)
    for thorough in (False, True):
        if not left:
            return
        with Film(path) as film:
            wanted = Wanted(film, left)
            for packet, needed in _plan(film.packets(wanted.first), wanted, thorough):
                for frame in film.decode(packet, needed):
                    at = stamp(frame)
                    offset = None if at is None else wanted.at(at)
                    if offset is not None:
                        wanted.take(offset)
                        left.discard(offset)
                        yield offset, film.picture(frame, side)


def _plan(
    packets: Iterable[Packet[VideoStream]], wanted: Wanted, thorough: bool
) -> Iterator[tuple[Packet[VideoStream] | None, bool]]:
    """What to give the decoder, and whether it is needed for itself; None empties the decoder.

    From each keyframe on it is given what leads to the last wanted picture. Packets wait, compressed, until the next
    wanted one is known.
    """
    group: list[Packet[VideoStream]] = []  # since the keyframe, not yet given to the decoder
    start: int | None = None
    joined = fed = False
    for packet in packets:
        at = stamp(packet)
        assert at is not None  # Film.packets yields nothing else
        if (at if packet.dts is None else packet.dts) > wanted.last:
            break
        if packet.is_keyframe:
            joined = fed and not group
            if fed and group:
                yield None, True
            group, start, fed = [], at, joined
        elif start is None or (at < start and not joined):
            continue  # leading pictures refer to a group that the decoder has not seen
        group.append(packet)
        if thorough or wanted.at(at) is not None:
            yield from ((one, thorough or one is packet) for one in group)
            group, fed = [], True
    yield None, True
