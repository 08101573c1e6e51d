"""Finds everyday things in an image with the detector inside the lite model, to show what is where."""

from __future__ import annotations

import threading
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.network_memory import tracked
from footage.stream.frame import Image

if TYPE_CHECKING:
    import supervision as sv

LITE_FOLDER = Path(__file__).parent / "lite"
LABELS, BINS = 80, 11
"""Labels of COCO 2017; and the steps, of one stride each, over which NanoDet spreads the distance to each edge of a box
(``reg_max`` 10 in its ``config/legacy_v0.x_configs/nanodet-g.yml``)."""
MIN_CONFIDENCE = 0.35
"""Least confidence of a detection: NanoDet's own demonstration shows from 0.35 on."""
MAX_OVERLAP = 0.6
"""Intersection over union above which the surer of two detections of one label stays, as in NanoDet's configuration."""


@cache
def label_names() -> tuple[str, ...]:
    """The names of the labels, by class id."""
    return tuple((LITE_FOLDER / "labels.txt").read_text().split("\n")[:LABELS])


class LiteDetector:
    """Detects the 80 things of COCO. Nothing is loaded before the first call, which takes half a second more.

    Any thread may call ``detect``; calls take turns.
    """

    def __init__(self, threads: int = 0) -> None:
        """Take how many processor threads the network may use; 0 means all."""
        self._threads, self._turn = threads, threading.Lock()

    def detect(self, image: Image) -> sv.Detections:
        """Find things in an RGB image of shape (height, width, 3), uint8.

        Returns:
            Boxes in pixels of the image, with confidence, class id and ``class_name``, the surest first.
        """
        import supervision as sv  # takes half a second to import

        from footage.indexer.embed.lite import network_size  # loads OpenVINO

        height, width = network_size(image)
        resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        with self._turn:
            levels = [np.array(level) for level in self._network({"pictures": resized[None]}).values()]
        boxes, scores = (
            np.concatenate(parts) for parts in zip(*(_decode(lv[0], height) for lv in levels), strict=True)
        )
        labels = scores.argmax(1)
        sure = scores[np.arange(len(labels)), labels]
        kept = np.flatnonzero(sure >= MIN_CONFIDENCE)
        kept = kept[np.argsort(-sure[kept], kind="stable")]
        scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2, np.float32)
        limits = np.array([image.shape[1], image.shape[0]] * 2, np.float32)
        found = sv.Detections(
            xyxy=np.clip(boxes[kept] * scale, 0, limits).reshape(-1, 4),
            confidence=sure[kept],
            class_id=labels[kept].astype(int),
        ).with_nms(MAX_OVERLAP)
        assert found.class_id is not None  # given above
        found.data["class_name"] = np.array([label_names()[label] for label in found.class_id], dtype=str)
        return found

    @cached_property
    def _network(self) -> Any:
        """The part of the lite model that ends in the detector's three levels, compiled."""
        from footage.indexer.embed.lite import LITE_PRECISION
        from footage.indexer.embed.openvino_core import core, openvino
        from footage.indexer.embed.runtime import cpu_options, read_network

        model = read_network(LITE_FOLDER / "picture.onnx.gz")
        channels = LABELS + 4 * BINS
        ends = [
            node.output(0)
            for node in model.get_ordered_ops()
            if node.get_type_name() == "Add" and _channels(node.output(0)) == channels
        ]
        detector = openvino.Model(ends, model.get_parameters(), "detector")
        return tracked(core().compile_model(detector, "CPU", cpu_options(self._threads, LITE_PRECISION)))


def _channels(output: Any) -> int:
    shape = output.get_partial_shape()
    return int(shape[1].get_length()) if len(shape) == 4 and shape[1].is_static else 0


def _decode(level: NDArray[np.float32], height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Boxes (places, 4) in pixels of the network's input, and the probability of each label (places, 80), of one level.

    Args:
        level: (80 + 4 * 11, rows, columns): logits of the labels, and of the distances to left, top, right and bottom.
        height: of the network's input.
    """
    rows, columns = level.shape[1:]
    stride = height / rows
    places = level.reshape(len(level), -1).T
    scores = 1 / (1 + np.exp(-places[:, :LABELS]))
    spread = np.exp(places[:, LABELS:].reshape(-1, 4, BINS))
    distances = (spread @ np.arange(BINS) / spread.sum(2)) * stride
    x, y = np.meshgrid((np.arange(columns) + 0.5) * stride, (np.arange(rows) + 0.5) * stride)
    centers = np.stack([x.ravel(), y.ravel()], 1)
    boxes = np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], 1)
    return boxes.astype(np.float32), scores.astype(np.float32)
