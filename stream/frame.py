"""Defines the values that sources produce: media, frames, and regions of frames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An image: shape (height, width, 3), dtype uint8, RGB."""


class Clock(StrEnum):
    """Where a media's UTC time came from, best first."""

    GIVEN = "given"  # by the user (--start)
    RTCP = "rtcp"  # the camera's own sender reports
    CONTAINER = "container"  # creation time in the file, or EXIF in a photograph
    NAME = "name"  # the names of the file and its folders
    ARRIVAL = "arrival"  # when the packet reached this machine
    MTIME = "mtime"  # the file's modification time: a guess


class Kind(StrEnum):
    """The kind of a media."""

    VIDEO = "video"  # a file that the user has
    PHOTO = "photo"  # one image, no duration
    SEGMENT = "segment"  # a part of a live stream, written by the recorder
    FEED = "feed"  # a live stream that is not recorded: no clips can be cut from it


class Region(NamedTuple):
    """A box inside a frame, in fractions of width and height, origin top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def code(self) -> int:
        """The box as one integer in 1..2**32-1, 8 bits an edge; 0 means the whole frame."""
        x0, y0, x1, y1 = (min(255, max(0, round(v * 255))) for v in self)
        return x0 << 24 | y0 << 16 | x1 << 8 | y1

    @classmethod
    def of(cls, code: int) -> Region | None:
        """Decode ``code`` to its box, or None for the whole frame."""
        if code == 0:
            return None
        return cls(*((code >> shift & 255) / 255 for shift in (24, 16, 8, 0)))


@dataclass(frozen=True, slots=True)
class Media:
    """A file (or an unrecorded stream) that frames come from, and clips can be cut from.

    Attributes:
        id: 16 hexadecimal digits, made from the camera's name and the content.
        camera: name of the camera that it belongs to.
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
    """One decoded frame.

    Attributes:
        camera: name of the camera that took it.
        time: UTC, timezone-aware.
        media: what it was decoded from.
        offset: seconds from the media's first frame, by the stream's own time stamps.
        image: (height, width, 3) uint8 RGB, upright, scaled to the requested size.
    """

    camera: str
    time: datetime
    media: Media
    offset: float
    image: Image
