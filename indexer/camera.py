"""Describes a live camera and how it is indexed, for the live service and the workers of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the gate loads OpenCV and supervision
    from footage.stream.motion.gate import Polygon


@dataclass(frozen=True, slots=True)
class Camera:
    """A live camera's address, and how it is indexed.

    Attributes:
        url: holds the password; it is never logged, stored or answered.
        every: seconds between sampled frames.
        max_gap: seconds after which a frame is kept even if nothing moved.
        ignore: polygons, in fractions of width and height, in which motion is ignored.
        record: keep the footage, so that images and clips can be cut from it.
        keep: how long footage and records are kept; None: as long as there is space.
        regions: also embed each region that moved as an image of its own.
        transport: tcp or udp, for RTSP.
        stall: seconds without an image after which the reader reconnects.
    """

    name: str
    url: str = field(repr=False)
    every: float = 1.0
    max_gap: float = 10.0
    ignore: tuple[Polygon, ...] = ()
    record: bool = True
    keep: timedelta | None = None
    regions: bool = False
    transport: str = "tcp"
    stall: float = 10.0
