"""Tests the detector on photographs that scikit-image ships, whose things are known."""

import numpy as np
import pytest
import skimage.data

from footage.indexer.embed.lite_detector import LiteDetector, label_names


@pytest.fixture(scope="module")
def detector():
    return LiteDetector()


def overlap(one, other):
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    inside = np.prod(np.clip(high - low, 0, None))
    areas = [np.prod(np.subtract(box[2:], box[:2])) for box in (one, other)]
    return inside / (sum(areas) - inside)


@pytest.mark.parametrize(
    ("picture", "label", "box"),
    [("astronaut", "person", (20, 15, 360, 512)), ("chelsea", "cat", (15, 0, 425, 300))],  # drawn by hand
)
def test_things_are_found_where_they_are(detector, picture, label, box):
    found = detector.detect(getattr(skimage.data, picture)())
    assert found.data["class_name"][0] == label
    assert overlap(found.xyxy[0], np.array(box)) > 0.75
    assert 0.35 <= found.confidence[0] <= 1
    assert label_names()[found.class_id[0]] == label


def test_boxes_are_in_pixels_of_the_picture_whatever_its_size(detector):
    whole = skimage.data.astronaut()
    part, twice = detector.detect(whole), detector.detect(np.kron(whole, np.ones((2, 2, 1), np.uint8)))
    assert overlap(twice.xyxy[0] / 2, part.xyxy[0]) > 0.9


def test_nothing_is_found_in_nothing(detector):
    found = detector.detect(np.full((240, 320, 3), 127, np.uint8))
    assert len(found) == 0
    assert found.xyxy.shape == (0, 4)


def test_there_are_eighty_names():
    assert len(set(label_names())) == 80
    assert (label_names()[0], label_names()[-1]) == ("person", "toothbrush")
