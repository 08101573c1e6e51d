"""Measures how much each part of an image differs from an earlier one, independent of lighting changes."""

from __future__ import annotations

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from footage.stream.frame import Image

Cells = NDArray[np.float32]
"""One number for each ``CELL`` x ``CELL`` pixels of a small gray image."""

SIDE = 256  # a person 40 pixels high in 1080p is 9 here
CELL = 4
BLOCK = 8  # light is fitted over 3 x 3 of these
FLAT_VARIANCE = 25.0  # gray levels squared; blocks with less contrast than this take the whole image's gain
MAX_GAIN = 5.0  # a larger change of contrast is not a change of light
NEIGHBORS = np.ones((3, 3), np.uint8)


def shrink_to_gray(image: Image) -> MatLike:
    """The image in gray, lightly smoothed against sensor noise.

    Returns:
        (height, width) uint8, the shorter side about ``SIDE`` at most, both whole multiples of ``BLOCK``.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / min(height, width))
    size = tuple(max(BLOCK, round(length * scale / BLOCK) * BLOCK) for length in (width, height))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if gray.shape[::-1] != size:
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR)
    return cv2.GaussianBlur(gray, (3, 3), 0)


class Reference:
    """An image that later ones are compared with.

    Changes of light are removed by fitting, around each place, a gain and an offset to the reference, as the guided
    filter does (He, Sun, Tang 2010; on a coarse grid as in He and Sun 2015, arXiv 1505.00996). A pixel's difference is
    how far it lies outside the range of its 3 x 3 neighbors in the other image, so that an edge may shift by one pixel.

    Attributes:
        local_contrast: mean square of that range: the contrast that small shifts and compression can act on.
    """

    def __init__(self, gray: MatLike) -> None:
        self._gray = gray
        self._mean = _mean_of_neighbors(_block_means(gray))
        self._variance = np.maximum(_mean_of_neighbors(_block_means(gray, gray)) - self._mean**2, 0)
        self.local_contrast = _mean_square(cv2.subtract(cv2.dilate(gray, NEIGHBORS), cv2.erode(gray, NEIGHBORS)))

    def difference(self, gray: MatLike) -> Cells:
        """Mean square, for each cell, of what neither light nor a shift by one pixel explains; gray levels squared."""
        gain, offset = (cv2.resize(blocks, gray.shape[::-1]) for blocks in self._fit_light(gray))
        expected = cv2.add(cv2.multiply(gain, self._gray, dtype=cv2.CV_32F), offset, dtype=cv2.CV_8U)
        return _mean_square(cv2.max(_excess(gray, expected), _excess(expected, gray)))

    def _fit_light(self, gray: MatLike) -> tuple[Cells, Cells]:
        """Gain and offset from the reference to this image around each block."""
        mean = _mean_of_neighbors(_block_means(gray))
        covariance = _mean_of_neighbors(_block_means(gray, self._gray)) - self._mean * mean
        overall = np.clip(covariance.sum() / (self._variance.sum() + FLAT_VARIANCE), 1 / MAX_GAIN, MAX_GAIN)
        gain = np.clip((covariance + FLAT_VARIANCE * overall) / (self._variance + FLAT_VARIANCE), 0, MAX_GAIN)
        return gain, mean - gain * self._mean


def _excess(image: MatLike, other: MatLike) -> MatLike:
    """How far each pixel is above or below all its neighbors in the other image; uint8 saturates at 0."""
    above = cv2.subtract(image, cv2.dilate(other, NEIGHBORS))
    return cv2.max(above, cv2.subtract(cv2.erode(other, NEIGHBORS), image))


def _mean_square(image: MatLike) -> Cells:
    """Mean square over each cell and those to its left and above, so that nothing is divided by a border."""
    cells = _shrink_by(cv2.multiply(image, image, dtype=cv2.CV_32F), CELL)
    return np.asarray(cv2.blur(cells, (2, 2)), np.float32)


def _block_means(image: MatLike, other: MatLike | None = None) -> MatLike:
    """Mean of each block of the image, or of the product of two."""
    one = image.astype(np.float32) if other is None else cv2.multiply(image, other, dtype=cv2.CV_32F)
    return _shrink_by(one, BLOCK)


def _shrink_by(image: MatLike, block: int) -> MatLike:
    height, width = image.shape
    return cv2.resize(image, (width // block, height // block), interpolation=cv2.INTER_AREA)


def _mean_of_neighbors(blocks: MatLike) -> Cells:
    """Mean over each block and its eight neighbors."""
    return np.asarray(cv2.blur(blocks, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)
