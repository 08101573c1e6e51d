"""Decodes the frames of a file at a sampling interval: keyframes where they suffice, else as little as possible."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from footage.stream.files import image_file
from footage.stream.files.keyframe_groups import FLUSH, INTERVAL_TOLERANCE, DecodeStep, KeyframeGroup
from footage.stream.files.scan import MPEG_FORMATS
from footage.stream.files.unreadable import MediaError
from footage.stream.files.unsampled import Gap, HoleFinder, SamplingLog
from footage.stream.files.video_file import VideoFile, presentation_time
from footage.stream.frame import Frame, Kind, Media
from footage.stream.hardware import SOFTWARE, Decoder, HardwareFailureError
from footage.stream.printable import printable

log = logging.getLogger(__name__)

MAX_MISSING = 0.5  # seconds missing at the end beyond which it is not rounding
OFFSET_ROUNDING = 1e-6  # seconds; an offset that comes from a stored time is whole microseconds
FORMATS_WITH_EXACT_DURATION = ("mov", "matroska", "avi", "asf")  # in others the duration is an estimate

CONTINUOUS_FORMATS = ("mpegts", "mpeg", "flv")  # what cameras and recorders stream; a missing frame was not recorded


class SamplingGrid:
    """Decides which frames are wanted: the first one at or after each multiple of ``every``.

    Equivalently, the first frame in each cell [k * every, (k + 1) * every). What is wanted depends on the file
    alone, not on where reading began: so a resumed run continues exactly as an uninterrupted one.

    Attributes:
        start: time stamp at which the first wanted cell begins.
        max_keyframe_gap: ticks between keyframes up to which keyframes alone suffice.
    """

    def __init__(self, video: VideoFile, every: float, after: float | None) -> None:
        self._origin = video.origin
        interval = Fraction(every).limit_denominator(1_000_000)
        self._cells_per_tick = video.time_base / interval if interval else Fraction(1)
        self.max_keyframe_gap = int(interval * INTERVAL_TOLERANCE / video.time_base)
        first = max(0, int(Fraction(after) / video.time_base * self._cells_per_tick)) if after is not None else 0
        self.start = video.origin + int(first / self._cells_per_tick)
        self._last_taken = first - 1
        self._resumed_cell = first if after is not None else -1
        self._earliest: dict[int, int] = {}  # candidate of each cell

    def cell(self, time: int) -> int:
        """Number of the cell that a time stamp lies in."""
        return (time - self._origin) * self._cells_per_tick.numerator // self._cells_per_tick.denominator

    def needs(self, time: int) -> bool:
        """Whether no frame has been taken in this cell or after it."""
        return self.cell(time) > self._last_taken

    def is_of_earlier_run(self, time: int) -> bool:
        """Whether an earlier run, after which this one continues, has taken or passed this cell."""
        return self.cell(time) <= self._resumed_cell

    def is_candidate(self, time: int) -> bool:
        """Whether no earlier frame of this cell is known; in decoding order, an earlier one may still follow."""
        cell = self.cell(time)
        if cell <= self._last_taken or time >= self._earliest.get(cell, time + 1):
            return False
        self._earliest[cell] = time
        return True

    def take(self, time: int) -> bool:
        """Take a frame if it is the first of its cell; frames come in order of presentation."""
        cell = self.cell(time)
        if cell <= self._last_taken:
            return False
        self._last_taken = cell
        self._earliest = {c: t for c, t in self._earliest.items() if c > cell}
        return True


@dataclass(slots=True)
class ReadReport:
    """What reading a file showed, filled by `read_frames` when it ends, also with an error.

    Attributes:
        earlier: offsets of the frames that an earlier run took, to be judged with those of this run.
        gaps: stretches that were not looked at, in order.
        notes: what a user is told: what of the file was left out.
    """

    earlier: Sequence[float] = ()
    gaps: list[Gap] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_frames(
    media: Media,
    every: float,
    side: int,
    after: float | None = None,
    report: ReadReport | None = None,
    decoder: Decoder = SOFTWARE,
) -> Iterator[Frame]:
    """Decode a file's frames at a sampling interval.

    For each k, this is the first frame at or after ``k * every`` seconds from the first frame, by time stamps.
    Where keyframes are no further apart than ``every``, only they are decoded and it is the first keyframe; a
    stretch with wider gaps is decoded between them, leaving out what no wanted frame refers to.

    Args:
        media: the file; a photograph gives one frame at offset 0.
        every: seconds; 0 means every frame.
        side: length in pixels of the shorter side; a smaller image keeps its size.
        after: continue after the frame of this offset.
        report: filled with what was not looked at.
        decoder: what decodes; where hardware fails the processor goes on, and what is damaged is for it to say.

    Yields:
        Frames in order of time: RGB, upright.

    Raises:
        MediaError: the file cannot be read, or, after all good frames, not to its end.
    """
    report = ReadReport() if report is None else report
    if media.kind is Kind.PHOTO:
        if after is None:
            image, damage = image_file.load_part(Path(media.path), side)
            report.notes = [note] if (note := image_file.describe_further_pictures(Path(media.path))) else []
            yield Frame(media.camera, media.start, media, 0.0, image)
            if damage:
                raise MediaError(media.path, damage, 0.0)
        return
    if decoder.device:
        taken = list(report.earlier)
        try:
            for frame in _read_video(media, every, side, after, report, decoder):
                after = frame.offset
                taken.append(after)
                yield frame
            return
        except (HardwareFailureError, MediaError) as error:
            decoder.note_failure(f"{printable(media.path)}, after {len(taken) - len(report.earlier)} frames: {error}")
        report.earlier = taken
    yield from _read_video(media, every, side, after, report, SOFTWARE)


def _read_video(
    media: Media, every: float, side: int, after: float | None, report: ReadReport, decoder: Decoder
) -> Iterator[Frame]:
    with VideoFile(media.path, decoder) as video:
        grid, log = SamplingGrid(video, every, after), SamplingLog(every, _is_continuous(video))
        rate = _byte_rate(media)
        _log_earlier(video, grid, log, report.earlier, rate)
        last = video.origin
        try:
            for frame in _decode(video, grid, log, after, rate):
                time = presentation_time(frame)
                assert time is not None  # VideoFile.decode leaves out frames without a time
                last = time
                offset = video.offset(time)
                if grid.take(time) and (after is None or offset > after + OFFSET_ROUNDING):
                    log.sample(offset)
                    yield Frame(media.camera, media.at(offset), media, offset, video.to_image(frame, side))
        finally:
            report.gaps = sorted(log.finish(media.duration))
            report.notes = [*video.notes, *_describe_joints(video), *_describe_foreign(video)]
        _check_end(video, last, grid, media)


def _byte_rate(media: Media) -> float:
    """Bytes a second of the whole file."""
    with suppress(OSError):  # it may be moved while it is read
        return Path(media.path).stat().st_size / (media.duration or 1.0)
    return math.inf


def _is_continuous(video: VideoFile) -> bool:
    return video.container.format.name.startswith(CONTINUOUS_FORMATS)


def _log_earlier(video: VideoFile, grid: SamplingGrid, log: SamplingLog, earlier: Sequence[float], rate: float) -> None:
    """Judge what an earlier run took, by the packets of that part of the file."""
    if not earlier:
        return
    holes = HoleFinder(log, rate)
    for packet in video.packets():
        time = presentation_time(packet)
        assert time is not None  # VideoFile.packets yields nothing else
        if time < grid.start:
            _log_packet(video, log, holes, packet, time)
        elif (time if packet.dts is None else packet.dts) > grid.start:
            break
    for offset in earlier:
        log.sample(offset)


def _describe_joints(video: VideoFile) -> list[str]:
    if not video.joints:
        return []
    places = ", ".join(f"{video.offset(joint):.1f} s" for joint in video.joints[:3])
    more = f" and {len(video.joints) - 3} more" if len(video.joints) > 3 else ""
    return [
        f"its clock starts again at {places}{more}, as if recordings were joined; they are read one after the other"
    ]


def _describe_foreign(video: VideoFile) -> list[str]:
    size = video.foreign_bytes
    if not size:
        return []
    said = f"its video track ends {size} bytes before the file does; where another recording follows "
    if video.container.format.name not in MPEG_FORMATS:
        return [
            f"{said}there, it is not read, nor what is behind damage: put it in a file of its own, or copy it again"
        ]
    return [
        f"{said}in a track of its own, copy it to another file: "
        "ffmpeg -probesize 2G -analyzeduration 2G -i FILE -map 0:v:1 -c copy OTHER.ts"
    ]


def _decode(
    video: VideoFile, grid: SamplingGrid, log: SamplingLog, after: float | None, rate: float
) -> Iterator[VideoFrame]:
    packets = _log_packets(video, grid, log, video.packets(None if after is None else grid.start), rate)
    for packet, needed in _plan_decoding(packets, grid):
        yield from video.decode(packet, needed)
    yield from video.decode(None)


def _log_packets(
    video: VideoFile, grid: SamplingGrid, log: SamplingLog, packets: Iterable[Packet[VideoStream]], rate: float
) -> Iterator[Packet[VideoStream]]:
    holes = HoleFinder(log, rate)
    for packet in packets:
        time = presentation_time(packet)
        assert time is not None  # VideoFile.packets yields nothing else
        if time >= grid.start and not packet.is_discard:
            _log_packet(video, log, holes, packet, time)
        yield packet


def _log_packet(video: VideoFile, log: SamplingLog, holes: HoleFinder, packet: Packet[VideoStream], time: int) -> None:
    offset, duration = video.offset(time), float((packet.duration or 0) * video.time_base)
    holes.look(packet, offset, duration)
    log.store(offset, duration)


def _plan_decoding(packets: Iterable[Packet[VideoStream]], grid: SamplingGrid) -> Iterator[DecodeStep]:
    """What to give the decoder.

    Of a group of pictures that is no longer than the interval, this is the keyframe alone; of a longer one, all up to
    its last wanted picture. Packets wait until that is known: for one interval at most, and compressed.
    """
    group = KeyframeGroup()
    is_long = False  # keyframes alone do not suffice here
    for packet in packets:
        time = presentation_time(packet)
        assert time is not None  # VideoFile.packets yields nothing else
        if packet.is_keyframe:
            yield from _finish_group(group, is_long, grid)
            group.begin(packet, time)
            is_long = packet.is_discard or grid.max_keyframe_gap == 0
        elif not group.add(packet, time):
            continue
        turned_long = not is_long and time - (group.start or 0) > grid.max_keyframe_gap
        is_long = is_long or turned_long
        if is_long:
            wanted = [grid.is_candidate(t) for _, t in (group.waiting if turned_long else group.waiting[-1:])]
            if any(wanted):
                yield from group.release([False] * (len(group.waiting) - len(wanted)) + wanted)
    yield from _finish_group(group, is_long, grid)


def _finish_group(group: KeyframeGroup, is_long: bool, grid: SamplingGrid) -> Iterator[DecodeStep]:
    """End a group of which the decoder has not been given everything.

    What it lacks only because an earlier run has taken it is given now: the next group may begin with pictures that are
    displayed before its keyframe and refer to this one (an open group of pictures).
    """
    if is_long and all(grid.is_of_earlier_run(time) for _, time in group.waiting):
        yield from group.release([False] * len(group.waiting))
    yield from group.end()
    if not group.waiting or is_long:
        return
    keyframe, time = group.waiting[0]
    if grid.needs(time):
        yield keyframe, True
        yield FLUSH
        if grid.needs(time):  # it gives no frame alone: it is damaged, or builds up over several frames
            yield from ((packet, True) for packet, _ in group.waiting)
            yield FLUSH


def _check_end(video: VideoFile, last: int, grid: SamplingGrid, media: Media) -> None:
    """Raise when the file promised more than it gave; log it when some frames in its middle were damaged."""
    if video.decoded_frames == 0 and video.decode_errors:
        raise MediaError(video.path, "no frame could be decoded: it is damaged; copy it again, or leave it out")
    decoded, end = video.offset(last), video.offset(video.end)
    if video.read_error:
        raise MediaError(video.path, f"damaged after {end:.1f} s: {video.read_error}", end)
    two_intervals = 2 * float(grid.max_keyframe_gap * video.time_base)
    if video.decode_errors and end - decoded > MAX_MISSING + two_intervals:
        raise MediaError(video.path, f"damaged after {decoded:.1f} s: the rest cannot be decoded", decoded)
    if video.container.format.name.startswith(FORMATS_WITH_EXACT_DURATION) and media.duration - end > MAX_MISSING:
        reason = f"damaged after {end:.1f} s: it should last {media.duration:.1f} s; copy it again"
        raise MediaError(video.path, reason, end)
    if video.decode_errors:
        log.warning("%s: %d damaged frames were skipped", printable(video.path), video.decode_errors)
