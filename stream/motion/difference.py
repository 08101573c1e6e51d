"""How much each part of a picture differs from an earlier one, whatever the light does."""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from footage.stream.frame import Image

Cells = NDArray[np.float32]
"""One number for each ``CELL`` x ``CELL`` pixels of a small grey picture."""

SIDE = 256  # a person 40 pixels high in 1080p is 9 here
CELL = 4
BLOCK = 8  # light is fitted over 3 x 3 of these
FLAT = 25.0  # grey levels squared; blocks with less contrast than this take the whole picture's gain
GAIN = 5.0  # a larger change of contrast is not light
AROUND = np.ones((3, 3), np.uint8)


def shrink(image: Image) -> MatLike:
    """The picture in grey, lightly smoothed against sensor noise.

    Returns:
        (height, width) uint8, the shorter side about ``SIDE`` at most, both whole multiples of ``BLOCK``.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / min(height, width))
    size = tuple(max(BLOCK, round(length * scale / BLOCK) * BLOCK) for length in (width, height))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.shape[::-1] != size:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR)
    return cv2.GaussianBlur(grey, (3, 3), 0)


class Reference:
    """A picture that later ones are compared with.

    Light is taken out by fitting, around each place, a gain and an offset to the reference, as the guided filter
    does (He, Sun, Tang 2010; on a coarse grid as in He and Sun 2015, arXiv 1505.00996). What counts of each pixel is
    how far it lies outside the range of its 3 x 3 neighbours in the other picture, so that edges may tremble by one.

    Attributes:
        relief: mean square of that range, how much contrast there is for trembling and compression to play with.
    """

    def __init__(self, grey: MatLike) -> None:
        self._grey = grey
        self._mean = _around(_product(grey))
        self._variance = np.maximum(_around(_product(grey, grey)) - self._mean**2, 0)
        self.relief = _energy(cv2.subtract(cv2.dilate(grey, AROUND), cv2.erode(grey, AROUND)))

    def difference(self, grey: MatLike) -> Cells:
        """Mean square of what neither light nor trembling explains, for each cell; grey levels squared."""
        gain, offset = (cv2.resize(blocks, grey.shape[::-1]) for blocks in self._light(grey))
        expected = cv2.add(cv2.multiply(gain, self._grey, dtype=cv2.CV_32F), offset, dtype=cv2.CV_8U)
        return _energy(cv2.max(_outside(grey, expected), _outside(expected, grey)))

    def _light(self, grey: MatLike) -> tuple[Cells, Cells]:
        """Gain and offset from the reference to this picture around each block."""
        mean = _around(_product(grey))
        covariance = _around(_product(grey, self._grey)) - self._mean * mean
        overall = np.clip(covariance.sum() / (self._variance.sum() + FLAT), 1 / GAIN, GAIN)
        gain = np.clip((covariance + FLAT * overall) / (self._variance + FLAT), 0, GAIN)
        return gain, mean - gain * self._mean


def _outside(picture: MatLike, other: MatLike) -> MatLike:
    """How far each pixel is above or below all its neighbours in the other picture; uint8 saturates at 0."""
    above = cv2.subtract(picture, cv2.dilate(other, AROUND))
    return cv2.max(above, cv2.subtract(cv2.erode(other, AROUND), picture))


def _energy(picture: MatLike) -> Cells:
    """Mean square over each cell and those to its left and above, so that nothing is divided by a border."""
    cells = _means(cv2.multiply(picture, picture, dtype=cv2.CV_32F), CELL)
    return np.asarray(cv2.blur(cells, (2, 2)), np.float32)


def _product(picture: MatLike, other: MatLike | None = None) -> MatLike:
    """Mean of each block of the picture, or of the product of two."""
    one = picture.astype(np.float32) if other is None else cv2.multiply(picture, other, dtype=cv2.CV_32F)
    return _means(one, BLOCK)


def _means(picture: MatLike, block: int) -> MatLike:
    height, width = picture.shape
    return cv2.resize(picture, (width // block, height // block), interpolation=cv2.INTER_AREA)


def _around(blocks: MatLike) -> Cells:
    """Mean over each block and its eight neighbours."""
    return np.asarray(cv2.blur(blocks, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)
