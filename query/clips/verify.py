"""Whether a clip shows what it was cut for: its frame at the stated offset against the picture from the footage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from footage.stream.files.frame_at import picture
from footage.stream.files.video_file import MediaError
from footage.stream.frame import Image, Kind

GRID = 32
"""Cells along each side, in which pictures are compared."""
LIMIT = 12.0
"""Largest difference of any cell that is still the same picture, in levels of grey of 0..255.

Measured: 0 for copied clips; up to 3 for re-encoded ones of real footage, 8 for 128x96 pixels of hard edges; 20 and
more for the next frame where all moves, 100 and more for another scene (docs/decisions/0012-proved-clips.md).
"""


class Proof(BaseModel):
    """The best frame of a moment, looked up in the finished clip."""

    offset_ms: int = Field(description="milliseconds from the clip's first frame at which the best frame is shown")
    found: bool = Field(description="the clip's frame there is the picture that was cut from the footage")
    difference: float | None = Field(description="largest difference of a cell of both, 0..255; null: no frame there")
    limit: float = Field(default=LIMIT, description="largest difference that is still the same picture")


def prove(clip: Path, offset_ms: int, best: Image) -> Proof:
    """Open a finished clip again, decode the frame that is shown at an offset, and compare it. Blocks.

    Args:
        offset_ms: milliseconds from the clip's first frame.
        best: the picture that should be there, RGB, of any size.
    """
    try:
        there = picture(clip, Kind.VIDEO, offset_ms / 1000)
    except MediaError:
        return Proof(offset_ms=offset_ms, found=False, difference=None)
    unlike = round(difference(there, best), 1)
    return Proof(offset_ms=offset_ms, found=unlike <= LIMIT, difference=unlike)


def difference(a: Image, b: Image) -> float:
    """How far apart the cells of two RGB pictures are where they differ most, 0..255.

    The mean of a cell hardly moves when a picture is encoded anew. The largest difference, not the mean of all, because
    what matters may be small: someone far away is missing in one cell, and nowhere else.
    """
    return float(np.abs(_cells(a) - _cells(b)).max())


def _cells(image: Image) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(grey, (GRID, GRID), interpolation=cv2.INTER_AREA))
