"""Decodes many frames of one file in one pass, given their offsets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream

from footage.stream.files.keyframe_groups import FLUSH, DecodeStep, KeyframeGroup
from footage.stream.files.video_file import VideoFile, presentation_time
from footage.stream.frame import Image

MATCH_TOLERANCE = 0.001  # seconds; Matroska rounds times to milliseconds


class WantedOffsets:
    """The offsets whose frames are still to be found.

    Attributes:
        first, last: time stamps of the first and the last of them.
    """

    def __init__(self, video: VideoFile, offsets: Iterable[float]) -> None:
        self._video = video
        self._remaining = sorted(offsets)
        self.first, self.last = (
            video.origin + int((offset + MATCH_TOLERANCE) / video.time_base)
            for offset in (self._remaining[0], self._remaining[-1])
        )

    def match(self, time: int) -> float | None:
        """The wanted offset that matches a time stamp."""
        offset, remaining = self._video.offset(time), self._remaining
        place = bisect_left(remaining, offset)
        nearest = min(remaining[max(0, place - 1) : place + 1], key=lambda one: abs(one - offset), default=None)
        return nearest if nearest is not None and abs(nearest - offset) <= MATCH_TOLERANCE else None

    def remove(self, offset: float) -> None:
        """Take out an offset whose frame was found."""
        del self._remaining[bisect_left(self._remaining, offset)]


def read_images_at(path: Path, offsets: Collection[float], side: int | None) -> Iterator[tuple[float, Image]]:
    """Decode the frames at exactly these offsets, and nothing that they do not need.

    Frames that are not found this way are searched for again with everything around them decoded.

    Args:
        offsets: seconds from the first frame, to the millisecond, as frames of this file had them.
        side: length in pixels of the shorter side; a smaller image keeps its size, None keeps every size.

    Yields:
        An offset and its frame: RGB, upright. An offset at which no whole frame can be decoded is left out.

    Raises:
        MediaError: the file cannot be opened.
    """
    remaining = set(offsets)
    for decode_all in (False, True):
        if not remaining:
            return
        with VideoFile(path) as video:
            wanted = WantedOffsets(video, remaining)
            for packet, needed in _plan_decoding(video.packets(wanted.first), wanted, decode_all):
                for frame in video.decode(packet, needed):
                    time = presentation_time(frame)
                    offset = None if time is None else wanted.match(time)
                    if offset is not None:
                        wanted.remove(offset)
                        remaining.discard(offset)
                        yield offset, video.to_image(frame, side)


def _plan_decoding(
    packets: Iterable[Packet[VideoStream]], wanted: WantedOffsets, decode_all: bool
) -> Iterator[DecodeStep]:
    """What to give the decoder: of each group of pictures, all up to its last wanted one.

    Packets wait, compressed, until the next wanted one is known.
    """
    group = KeyframeGroup()
    for packet in packets:
        time = presentation_time(packet)
        assert time is not None  # VideoFile.packets yields nothing else
        if (time if packet.dts is None else packet.dts) > wanted.last:
            break
        if packet.is_keyframe:
            yield from group.end()
            group.begin(packet, time)
        elif not group.add(packet, time):
            continue
        if decode_all or wanted.match(time) is not None:
            yield from group.release([decode_all] * (len(group.waiting) - 1) + [True])
    yield FLUSH
