"""Draws what was found into images, with supervision's annotators: regions that moved, and things of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from footage.stream.frame import Image, Region

if TYPE_CHECKING:
    import supervision as sv

SMALL = 320
"""Length in pixels of the shorter side of a picture that is shown smaller than it is, as on a card of the page."""


def draw_regions(image: Image, regions: Sequence[Region]) -> Image:
    """Returns a copy of the image with boxes drawn around its regions."""
    import supervision as sv  # takes half a second to import, and only images with boxes need it

    height, width = image.shape[:2]
    boxes = np.array(regions, dtype=np.float32) * np.array([width, height, width, height], dtype=np.float32)
    detections = sv.Detections(xyxy=boxes, class_id=np.zeros(len(boxes), dtype=int))
    return np.asarray(sv.BoxAnnotator(thickness=_thickness(image)).annotate(image.copy(), detections))


def draw_detections(image: Image, detections: sv.Detections) -> Image:
    """Returns a copy of the image with a box around each thing, and its name, with how sure it is where there is room.

    Args:
        detections: boxes in pixels of this image, with ``class_name``.
    """
    import supervision as sv

    thickness = _thickness(image)
    drawn = sv.BoxAnnotator(thickness=thickness).annotate(image.copy(), detections)
    if not len(detections) or min(image.shape[:2]) < 160 or detections.confidence is None:
        return np.asarray(drawn)
    labels = [str(name) for name in detections.data["class_name"]]
    if not _is_small(image):
        labels = [f"{name} {sure:.0%}" for name, sure in zip(labels, detections.confidence, strict=True)]
    scale = max(0.5, min(image.shape[:2]) / 900)
    annotator = sv.LabelAnnotator(
        text_scale=scale, text_thickness=max(1, round(1.5 * scale)), text_padding=3, smart_position=True
    )
    return np.asarray(annotator.annotate(drawn, detections, labels=labels))


def _thickness(image: Image) -> int:
    height, width = image.shape[:2]
    return max(2, round(min(int(height), int(width)) / 240)) + _is_small(image)


def _is_small(image: Image) -> bool:
    return bool(min(image.shape[:2]) <= SMALL)
