"""Decides which frames of a camera are worth embedding, and which regions of them moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import cv2
import numpy as np
import supervision as sv
from cv2.typing import MatLike
from numpy.typing import NDArray

from footage.stream.frame import Image, Region
from footage.stream.motion import difference

Polygon = Sequence[tuple[float, float]]
"""Corners in fractions of the image's width and height, origin top left."""
_Square = tuple[float, float, float, float]

MIN_DIFFERENCE = 25.0  # gray levels squared, the mean of 8 x 8 pixels: a quarter of them 10 gray levels off
CONTRAST_SHARE = 0.01  # of the image's own contrast that counts as noise
NOISE_FACTOR = 8.0  # times the noise
NOISE_LIMITS = (0.1, 25.0)  # gray levels squared; a larger change never counts as noise
NOISE_RISE, NOISE_FALL = 0.6, 0.1  # of the noise's logarithm, a frame: it converges above six of seven differences
SCENE_CHANGE = 0.5  # share of the image that changes with the scene
MERGE_DISTANCE = 3  # cells; changes that are closer together are one object
PADDING = 1.3  # a region's side over its object's
MIN_REGION_SIDE, MAX_REGION_SIDE = 0.12, 0.75  # a region's side over the image's shorter side
MAX_REGIONS = 3


@dataclass(frozen=True, slots=True)
class GateDecision:
    """Why a frame is kept.

    Attributes:
        reason: ``first`` of its camera (or after a change of size or a jump back in time), ``changed`` since the
            last kept one, or kept because ``max_gap`` has passed.
        detections: boxes that moved, the most changed first; ``xyxy`` in pixels of the image, ``confidence`` in
            0..1. A moving object is detected at the place that it left, too.
        regions: boxes around them to be embedded on their own; empty unless the gate was asked for them.
    """

    reason: Literal["first", "changed", "max_gap"]
    detections: sv.Detections
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class _KeptFrame:
    shape: tuple[int, ...]
    time: datetime
    reference: difference.Reference


class Gate:
    """Keeps a camera's frame when something in it has changed since the last one kept.

    One per camera, used from that camera's thread alone. Each cell of the image is compared with the same cell of
    the last kept frame (see ``difference.Reference``); it has changed when the difference stands out from that cell's
    usual one, whether that comes from the sensor, from compression or from leaves. The usual difference is a quantile,
    followed in steps as in the approximate median of McFarlane and Schofield (1995) and the sigma-delta filter of
    Manzanera and Richefeu (2007).
    """

    def __init__(
        self,
        *,
        max_gap: float = 10.0,
        ignore: Sequence[Polygon] = (),
        regions: bool = False,
        sensitivity: float = 1.0,
    ) -> None:
        """Create a gate that has seen no frame.

        Args:
            max_gap: seconds after which a frame is kept even when nothing moved.
            ignore: areas in which changes do not count.
            regions: return regions, too.
            sensitivity: 2 notices half the contrast that 1 does, 0.5 needs twice as much.

        Raises:
            ValueError: a polygon has fewer than three corners or leaves the image, or a number is not above 0.
        """
        if not max_gap > 0 or not sensitivity > 0:
            raise ValueError(f"max_gap ({max_gap}) and sensitivity ({sensitivity}) must be above 0")
        for polygon in ignore:
            if len(polygon) < 3 or not all(0 <= value <= 1 for corner in polygon for value in corner):
                raise ValueError(f"an area to ignore needs three corners or more, in fractions from 0 to 1: {polygon}")
        self._max_gap, self._ignore, self._regions = max_gap, ignore, regions
        self._threshold_scale = 1 / sensitivity**2
        self._kept: _KeptFrame | None = None
        self._last: datetime | None = None
        self._weights: difference.Cells = np.ones((1, 1), np.float32)
        self._noise: difference.Cells | None = None

    def decide(self, image: Image, time: datetime) -> GateDecision | None:
        """Decide on the next frame.

        Args:
            image: (height, width, 3) uint8 RGB; its shorter side should be 256 pixels or more, and
                for regions as large as decoding affords, since they are cut from it.
            time: when it was taken.

        Returns:
            Why it is kept, or None: it shows nothing new.
        """
        gray = difference.shrink_to_gray(image)
        kept, last, self._last = self._kept, self._last, time
        if kept is None or last is None or image.shape != kept.shape or time < last:
            self._noise, self._weights = None, _weights(gray.shape, self._ignore)
            decision = GateDecision("first", sv.Detections.empty())
        elif (strength := self._strength(kept.reference, gray)).max() > 1:
            decision = self._changed(image, strength)
        elif (time - kept.time).total_seconds() >= self._max_gap:
            decision = GateDecision("max_gap", sv.Detections.empty())
        else:
            return None
        self._kept = _KeptFrame(image.shape, time, difference.Reference(gray))
        return decision

    def _strength(self, reference: difference.Reference, gray: MatLike) -> difference.Cells:
        """Each cell's difference over its threshold; learns the noise from it."""
        change = reference.difference(gray) * self._weights
        if self._noise is None:  # after a new scene most of the image stands still
            self._noise = np.full_like(change, np.clip(np.median(change), *NOISE_LIMITS))
        threshold = (
            np.maximum(self._noise * NOISE_FACTOR, MIN_DIFFERENCE + CONTRAST_SHARE * reference.local_contrast)
            * self._threshold_scale
        )
        strength: difference.Cells = change / threshold
        if np.mean(strength > 1) > SCENE_CHANGE:  # another scene, or another light
            self._noise = None
        else:
            self._noise *= np.exp(np.where(change > self._noise, np.float32(NOISE_RISE), np.float32(-NOISE_FALL)))
            np.clip(self._noise, *NOISE_LIMITS, out=self._noise)
        return strength

    def _changed(self, image: Image, strength: difference.Cells) -> GateDecision:
        height, width = image.shape[:2]
        boxes, confidence = _boxes(strength)
        xyxy = boxes * np.array([width, height, width, height], np.float32)
        regions = _regions(xyxy, width, height) if self._regions else ()
        class_id = np.zeros(len(xyxy), np.int64)  # annotators choose their color by it
        return GateDecision("changed", sv.Detections(xyxy=xyxy, confidence=confidence, class_id=class_id), regions)


def _weights(shape: Sequence[int], ignore: Sequence[Polygon]) -> difference.Cells:
    """1 for each cell in which change counts, else 0."""
    rows, columns = (length // difference.CELL for length in shape)
    weights = np.ones((rows, columns), np.float32)
    for polygon in ignore:
        zone = sv.PolygonZone(polygon=np.rint(np.array(polygon) * (columns, rows)).astype(np.int64))
        mask = cv2.dilate(zone.mask.astype(np.uint8), np.ones((3, 3), np.uint8))[:rows, :columns]
        weights[: mask.shape[0], : mask.shape[1]][mask > 0] = 0
    return weights


def _boxes(strength: difference.Cells) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places that changed, the most changed first: xyxy in fractions, and 1 - 1 / the greatest strength in each."""
    changed = (strength > 1).astype(np.uint8)
    joined = cv2.morphologyEx(changed, cv2.MORPH_CLOSE, np.ones((MERGE_DISTANCE, MERGE_DISTANCE), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    total = np.bincount(labels.ravel(), strength.ravel(), count)[1:]
    peak = np.zeros(count, np.float32)
    np.maximum.at(peak, np.asarray(labels, np.int32), strength)
    left, top, width, height = stats[1:, :4].T
    rows, columns = strength.shape
    # A cell's number is the mean over it and its neighbors to the left and above.
    x0, y0 = np.maximum(left - 1, 0), np.maximum(top - 1, 0)
    boxes = np.stack([x0 / columns, y0 / rows, (left + width) / columns, (top + height) / rows], 1)
    order = np.argsort(-total)
    confidence = np.asarray(1 - 1 / np.maximum(peak[1:][order], 1), np.float32)
    return np.asarray(boxes[order], np.float32), confidence


def _regions(boxes: NDArray[np.float32], width: int, height: int) -> tuple[Region, ...]:
    """Squares around the boxes, joined where they overlap and stay small; only a few, none as large as the image."""
    short = min(width, height)
    kept: list[_Square] = []
    for x0, y0, x1, y1 in boxes.tolist():
        side = max(MIN_REGION_SIDE * short, PADDING * max(x1 - x0, y1 - y0))
        if side > MAX_REGION_SIDE * short:
            continue
        left = min(max((x0 + x1 - side) / 2, 0), width - side)
        top = min(max((y0 + y1 - side) / 2, 0), height - side)
        square = (left, top, left + side, top + side)
        for other in tuple(kept):
            if merged := _merge(square, other, MAX_REGION_SIDE * short):
                kept.remove(other)
                square = merged
        kept.append(square)
    return tuple(Region(a / width, b / height, c / width, d / height) for a, b, c, d in kept[:MAX_REGIONS])


def _merge(a: _Square, b: _Square, longest: float) -> _Square | None:
    """The box around both, if they overlap and neither of its sides exceeds ``longest``."""
    apart = a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    both = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    return None if apart or max(both[2] - both[0], both[3] - both[1]) > longest else both
