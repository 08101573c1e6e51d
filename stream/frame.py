"""What comes out of a source: media, frames, and the regions inside them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""A picture: shape (height, width, 3), dtype uint8, RGB."""


class Clock(StrEnum):
    """Where a media's UTC time came from, best first."""

    GIVEN = "given"  # the person said so (--start)
    RTCP = "rtcp"  # the camera's own sender reports
    CONTAINER = "container"  # creation time in the file, or EXIF in a photograph
    ARRIVAL = "arrival"  # when the packet reached this machine
    MTIME = "mtime"  # the file's modification time: a guess


class Kind(StrEnum):
    """What a media is."""

    VIDEO = "video"  # a file that somebody else wrote
    PHOTO = "photo"  # one picture, no duration
    SEGMENT = "segment"  # a piece of a live feed that the recorder wrote
    FEED = "feed"  # a live feed that is not recorded: nothing can be cut from it


class Region(NamedTuple):
    """A box inside a frame, in fractions of width and height, origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def code(self) -> int:
        """The box as one integer in 1..2**32-1, 8 bits an edge; 0 stands for the whole frame."""
        x0, y0, x1, y1 = (min(255, max(0, round(v * 255))) for v in self)
        return x0 << 24 | y0 << 16 | x1 << 8 | y1

    @classmethod
    def of(cls, code: int) -> Region | None:
        """The box that ``code`` stands for, or None for the whole frame."""
        if code == 0:
            return None
        return cls(*((code >> shift & 255) / 255 for shift in (24, 16, 8, 0)))


@dataclass(frozen=True, slots=True)
class Media:
    """Something that a picture or a clip can be cut from again.

    Attributes:
        id: 16 hexadecimal digits, made from the camera's name and the content.
        camera: the continuous view it belongs to.
        path: absolute path of the file.
        kind: what it is.
        start: UTC time of offset 0, which is its first video frame.
        clock: where ``start`` came from.
        duration: seconds from the first frame to the end of the last; 0 for a photograph.
    """

    id: str
    camera: str
    path: str
    kind: Kind
    start: datetime
    clock: Clock
    duration: float

    @property
    def end(self) -> datetime:
        """UTC time at which the last frame ends."""
        return self.start + timedelta(seconds=self.duration)

    def at(self, offset: float) -> datetime:
        """UTC time of ``offset`` seconds into this media, to the microsecond."""
        return self.start + timedelta(seconds=offset)


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture.

    Attributes:
        camera: the view it shows.
        time: UTC, timezone-aware.
        media: what it was decoded from.
        offset: seconds from the media's first frame, from the stream's own time stamps.
        image: (height, width, 3) uint8 RGB, upright, scaled to what the consumer asked for.
    """

    camera: str
    time: datetime
    media: Media
    offset: float
    image: Image
