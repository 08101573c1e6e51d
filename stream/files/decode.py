"""Timed frames from a file: keyframes where they suffice, else no more than the wanted frames need."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from footage.stream.files import image_file
from footage.stream.files.probe import Probe, probe
from footage.stream.files.video_file import Film, MediaError, stamp
from footage.stream.frame import Frame, Kind, Media

__all__ = ["MediaError", "Probe", "probe", "read"]

log = logging.getLogger(__name__)

SLACK = Fraction(11, 10)  # 30 frames at 29.97 a second are 1.001 s: still "every second"
LOST = 0.5  # seconds missing at the end that are too many to be rounding
ROUNDED = 1e-6  # seconds; an offset that comes from a stored time is whole microseconds
EXACT_HEADERS = ("mov", "matroska", "avi", "asf")  # in these the duration is written down; elsewhere it is estimated


class Grid:
    """Which frames are wanted: the first one at or after each multiple of ``every``.

    Equivalently, the first frame in each cell [k * every, (k + 1) * every). What is wanted depends on the file
    alone, not on where reading began: so a resumed run continues exactly as an uninterrupted one.
    """

    def __init__(self, film: Film, every: float, after: float | None) -> None:
        self._origin = film.origin
        interval = Fraction(every).limit_denominator(1_000_000)
        self._cells_per_tick = film.tick / interval if interval else Fraction(1)
        self.limit = int(interval * SLACK / film.tick)
        first = max(0, int(Fraction(after) / film.tick * self._cells_per_tick)) if after is not None else 0
        self.start = film.origin + int(first / self._cells_per_tick)
        self._taken = first - 1
        self._earliest: dict[int, int] = {}

    def cell(self, at: int) -> int:
        """Number of the cell that a time stamp lies in."""
        return (at - self._origin) * self._cells_per_tick.numerator // self._cells_per_tick.denominator

    def open(self, at: int) -> bool:
        """No frame has been taken in this cell or after it."""
        return self.cell(at) > self._taken

    def may_want(self, at: int) -> bool:
        """Nothing earlier in this cell is known; packets come in decoding order, so a later one may be earlier."""
        cell = self.cell(at)
        if cell <= self._taken or at >= self._earliest.get(cell, at + 1):
            return False
        self._earliest[cell] = at
        return True

    def take(self, at: int) -> bool:
        """True for the first frame of a cell; frames come in order of presentation."""
        cell = self.cell(at)
        if cell <= self._taken:
            return False
        self._taken = cell
        self._earliest = {c: t for c, t in self._earliest.items() if c > cell}
        return True


def read(media: Media, every: float, side: int, after: float | None = None) -> Iterator[Frame]:
    """Decode a file's frames at a sampling interval.

    For each k, this is the first frame at or after ``k * every`` seconds from the first frame, by time stamps.
    Where keyframes are no further apart than ``every``, only they are decoded and it is the first keyframe; a
    stretch with wider gaps is decoded between them, leaving out what nothing wanted refers to.

    Args:
        media: the file; a photograph gives one frame at offset 0.
        every: seconds; 0 means every frame.
        side: length in pixels of the shorter side; a smaller picture keeps its size.
        after: continue behind the frame of this offset.

    Yields:
        Frames in order of time: RGB, upright.

    Raises:
        MediaError: the file cannot be read, or, after all good frames, not to its end.
    """
    if media.kind is Kind.PHOTO:
        if after is None:
            yield Frame(media.camera, media.start, media, 0.0, image_file.load(Path(media.path), side))
        return
    with Film(media.path) as film:
        grid = Grid(film, every, after)
        last = film.origin
        for shot in _shots(film, grid, after):
            at = stamp(shot)
            assert at is not None  # Film.decode leaves out frames without a time
            last = at
            offset = film.offset(at)
            if grid.take(at) and (after is None or offset > after + ROUNDED):
                yield Frame(media.camera, media.at(offset), media, offset, film.picture(shot, side))
        _check_end(film, last, grid, media)


def _shots(film: Film, grid: Grid, after: float | None) -> Iterator[VideoFrame]:
    packets = film.packets(None if after is None else grid.start)
    for packet, needed in _plan(packets, grid):
        yield from film.decode(packet, needed)
    yield from film.decode(None)


def _plan(packets: Iterable[Packet[VideoStream]], grid: Grid) -> Iterator[tuple[Packet[VideoStream] | None, bool]]:
    """What to give the decoder, and whether it is needed for itself; None empties the decoder at a break.

    A group of pictures that is no longer than the interval gives its keyframe alone. A longer one is given up to
    its last wanted picture. Packets wait until that is known: for one interval at most, and compressed.
    """
    group: list[tuple[Packet[VideoStream], int]] = []  # not yet given to the decoder
    start: int | None = None
    whole = joined = fed = False
    for packet in packets:
        at = stamp(packet)
        assert at is not None  # Film.packets yields nothing else
        if packet.is_keyframe:
            joined = fed and not group
            yield from _close(group, whole, fed, grid)
            group, start, whole, fed = [], at, packet.is_discard or grid.limit == 0, joined
        elif start is None or (at < start and not joined):
            continue  # leading pictures refer to a group that the decoder has not seen
        group.append((packet, at))
        turned = not whole and at - start > grid.limit
        whole = whole or turned
        if whole:
            wanted = [grid.may_want(t) for _, t in (group if turned else group[-1:])]
            if any(wanted):
                wanted = [False] * (len(group) - len(wanted)) + wanted
                yield from ((p, needed) for (p, _), needed in zip(group, wanted, strict=True))
                group, fed = [], True
    yield from _close(group, whole, fed, grid)


def _close(
    group: list[tuple[Packet[VideoStream], int]], whole: bool, fed: bool, grid: Grid
) -> Iterator[tuple[Packet[VideoStream] | None, bool]]:
    """End a group of which the decoder has not been given everything."""
    if not group:
        return
    if fed:
        yield None, True
    key, at = group[0]
    if not whole and grid.open(at):
        yield key, True
        yield None, True
        if grid.open(at):  # not to be had alone: it is damaged, or the picture builds up over several frames
            yield from ((packet, True) for packet, _ in group)
            yield None, True


def _check_end(film: Film, last: int, grid: Grid, media: Media) -> None:
    """Raise when the file promised more than it gave; say so in the log when something in its middle was bad."""
    if film.decoded == 0 and film.bad:
        raise MediaError(film.path, "no frame could be decoded: it is damaged; copy it again, or leave it out")
    good, end = film.offset(last), film.offset(film.end)
    if film.broken:
        raise MediaError(film.path, f"damaged after {end:.1f} s: {film.broken}", end)
    if film.bad and end - good > LOST + 2 * float(grid.limit * film.tick):  # nothing good in two intervals
        raise MediaError(film.path, f"damaged after {good:.1f} s: the rest cannot be decoded", good)
    if film.container.format.name.startswith(EXACT_HEADERS) and media.duration - end > LOST:
        reason = f"damaged after {end:.1f} s: it should last {media.duration:.1f} s; copy it again"
        raise MediaError(film.path, reason, end)
    if film.bad:
        log.warning("%s: %d damaged frames were passed over", film.path, film.bad)
