"""Verifies that a clip shows the frame it was cut for: compares its frame at an offset with the one in the footage."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from footage.stream.files.frame_at import read_image_at
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Image, Kind

GRID = 32
"""Cells along each side, in which images are compared."""
MAX_DIFFERENCE = 12.0
"""Largest difference of any cell between two encodings of the same image, in gray levels of 0..255.

Measured: 0 for copied clips; up to 3 for re-encoded clips of real footage, 8 for 128x96 pixels of hard edges; 20 and
more for the next frame where everything moves, 100 and more for another scene (docs/decisions/0012-proved-clips.md).
"""


class Verification(BaseModel):
    """How the best frame of a moment compares with the frame in the finished clip."""

    offset_ms: int = Field(description="milliseconds from the clip's first frame at which the best frame is shown")
    found: bool = Field(description="whether the clip's frame there is the image that was cut from the footage")
    difference: float | None = Field(description="largest difference of a cell, 0..255; null: no frame there")
    limit: float = Field(default=MAX_DIFFERENCE, description="largest difference that counts as the same image")


def verify_clip(clip: Path, offset_ms: int, best: Image) -> Verification:
    """Opens a finished clip again, decodes the frame shown at an offset, and compares it with ``best``. Blocks.

    Args:
        offset_ms: milliseconds from the clip's first frame.
        best: the image that should be there, RGB, of any size.
    """
    try:
        actual = read_image_at(clip, Kind.VIDEO, offset_ms / 1000)
    except MediaError:
        return Verification(offset_ms=offset_ms, found=False, difference=None)
    difference = round(image_difference(actual, best), 1)
    return Verification(offset_ms=offset_ms, found=difference <= MAX_DIFFERENCE, difference=difference)


def image_difference(a: Image, b: Image) -> float:
    """Returns the difference of two RGB images in the cell where they differ most, 0..255.

    The mean of a cell hardly moves when an image is re-encoded. The largest difference, not the mean of all, because
    what matters may be small: a distant person is missing in one cell, and nowhere else.
    """
    return float(np.abs(_cells(a) - _cells(b)).max())


def _cells(image: Image) -> NDArray[np.float32]:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(gray, (GRID, GRID), interpolation=cv2.INTER_AREA))
