"""A live camera and how it is indexed: what the live service and the workers of a cluster share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

Polygon = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Camera:
    """A live camera and how it is indexed.

    Attributes:
        url: holds the password; it is never logged, stored or answered.
        every: seconds between the frames that are looked at.
        max_gap: seconds after which a frame is kept though nothing moved.
        ignore: polygons, in fractions of width and height, in which no change counts.
        record: keep the footage, so that pictures and clips can be cut from it.
        keep: how long footage and records are kept; None: as long as there is room.
        regions: embed what moved as a picture of its own, too.
        transport: tcp or udp, for RTSP.
        stall: seconds without a picture after which the connection is made anew.
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
