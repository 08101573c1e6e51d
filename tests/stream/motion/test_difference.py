"""Tests the difference of images on pairs whose difference is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from footage.stream.motion.difference import Reference, shrink_to_gray


def gray(level, size=(256, 256)):
    return np.full((*size, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("size", "shrunk"),
    [
        ((1080, 1920), (256, 456)),
        ((1920, 1080), (456, 256)),
        ((480, 640), (256, 344)),
        ((256, 320), (256, 320)),
        ((100, 80), (96, 80)),
        ((5, 5), (8, 8)),
    ],
)
def test_the_shorter_side_is_at_most_256_pixels_and_both_are_whole_blocks(size, shrunk):
    assert shrink_to_gray(gray(90, size)).shape == shrunk
    assert set(np.unique(shrink_to_gray(gray(90, size)))) == {90}


def test_a_large_picture_is_averaged_over_every_pixel():
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 1), np.uint8).repeat(3, axis=2)
    blocks = noise[..., 0].reshape(256, 4, 256, 4).mean(axis=(1, 3))
    expected = cv2.GaussianBlur(np.rint(blocks).astype(np.uint8), (3, 3), 0)
    assert np.abs(shrink_to_gray(noise).astype(int) - expected).max() <= 1


def test_a_picture_of_the_right_size_is_only_smoothed():
    picture = np.random.default_rng(0).integers(0, 256, (256, 320, 1), np.uint8).repeat(3, axis=2)
    expected = cv2.GaussianBlur(picture[..., 0], (3, 3), 0)
    np.testing.assert_array_equal(shrink_to_gray(picture), expected)


@pytest.fixture
def texture():
    """Soft blobs of medium contrast."""
    noise = np.random.default_rng(1).normal(0, 60, (256, 320))
    return np.clip(128 + cv2.GaussianBlur(noise, (0, 0), 3) * 4, 0, 255).astype(np.uint8)


def test_the_same_image_has_no_difference(texture):
    assert Reference(texture).difference(texture).max() == 0


@pytest.mark.parametrize(("gain", "offset"), [(0.5, 60), (1.4, -20), (1.0, 30), (0.25, 10)])
def test_a_change_of_light_is_no_difference(texture, gain, offset):
    lit = np.clip(texture.astype(float) * gain + offset, 0, 255)
    visible = (lit > 0) & (lit < 255)
    change = Reference(texture).difference(np.rint(lit).astype(np.uint8))
    assert visible.mean() > 0.95
    assert np.median(change) < 1


def test_a_shift_by_one_pixel_is_no_difference_and_by_four_is(texture):
    one = Reference(texture).difference(np.roll(texture, 1, axis=1))[:, 2:-2]
    four = Reference(texture).difference(np.roll(texture, 4, axis=1))[:, 2:-2]
    assert one.mean() < four.mean() / 20


@pytest.mark.parametrize("level", [90, 170])
def test_a_small_object_differs_where_it_is_whether_brighter_or_darker(level):
    plain = np.full((256, 320), 130, np.uint8)
    new = plain.copy()
    new[100:106, 120:126] = level
    change = Reference(plain).difference(new)
    rows, columns = np.nonzero(change > change.max() / 10)
    assert change.max() > 25  # the least that the gate may take for a change
    assert 24 <= rows.min() <= rows.max() <= 28
    assert 29 <= columns.min() <= columns.max() <= 33
    assert change[:, 50:].max() == 0


def test_a_disappearing_object_differs_as_much_as_an_appearing_one(texture):
    there = texture.copy()
    there[100:140, 100:140] = 255 - there[100:140, 100:140]
    came, left = Reference(texture).difference(there), Reference(there).difference(texture)
    assert came[26:34, 26:34].mean() > 100
    assert left[26:34, 26:34].mean() > 100


def test_local_contrast_is_the_contrast_within_a_pixel_around():
    flat, edges = np.full((256, 256), 90, np.uint8), np.full((256, 256), 90, np.uint8)
    edges[:, 128:] = 190
    assert Reference(flat).local_contrast.max() == 0
    contrast = Reference(edges).local_contrast
    assert contrast[:, :30].max() == 0
    assert contrast.max() == pytest.approx(100**2 / 4, rel=0.05)  # two of a cell's four columns, over two cells
    assert contrast.shape == (64, 64)
