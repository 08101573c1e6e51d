"""Reads how a frame must be turned and mirrored to be shown upright: the display matrix of its stream."""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np
from av.video.frame import VideoFrame

from footage.stream.frame import Image

_MATRIX = struct.Struct("=9i")  # a b u, c d v, x y w: (x, y) is shown at (a x + c y, b x + d y)


class Orientation(NamedTuple):
    """What makes a frame upright.

    Attributes:
        mirrored: first its left and right are exchanged.
        turns: then it is turned by so many quarters counter-clockwise.
    """

    mirrored: bool
    turns: int

    @property
    def sideways(self) -> bool:
        """Whether width and height are exchanged."""
        return self.turns % 2 == 1

    @property
    def filters(self) -> list[str]:
        """FFmpeg filters that do it."""
        turned = {0: [], 1: ["transpose=cclock"], 2: ["hflip", "vflip"], 3: ["transpose=clock"]}[self.turns]
        return ["hflip"] * self.mirrored + turned

    def apply(self, image: Image) -> Image:
        """The image upright."""
        return np.ascontiguousarray(np.rot90(image[:, ::-1] if self.mirrored else image, self.turns))


def orientation(frame: VideoFrame) -> Orientation:
    """How to make a frame upright, by its stream's display matrix, to the quarter turn."""
    attached: Any = frame.side_data  # PyAV declares a mapping, and gives a sequence
    matrix = next((bytes(one) for one in attached if one.type.name == "DISPLAYMATRIX"), b"")
    if len(matrix) < _MATRIX.size:
        return Orientation(False, 0)
    a, b, _, c, d, *_ = _MATRIX.unpack_from(matrix)
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    return Orientation(mirrored, round(-math.degrees(math.atan2(b, a)) / 90) % 4)
