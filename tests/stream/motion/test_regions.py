"""Tests boxes of changes, and the squares around them, on numbers that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from footage.stream.motion import gate
from footage.stream.motion.gate import Gate

WIDTH, HEIGHT = 1000, 500


def squares(*boxes):
    """Regions around boxes, in pixels."""
    found = gate._regions(np.array(boxes, np.float32).reshape(-1, 4), WIDTH, HEIGHT)
    return [tuple(round(v * s, 2) for v, s in zip(region, (WIDTH, HEIGHT) * 2, strict=True)) for region in found]


def test_a_small_box_gets_a_square_of_an_eighth_of_the_height():
    assert squares((500, 250, 510, 260)) == [(475, 225, 535, 285)]


def test_a_larger_box_gets_a_third_more_than_its_longer_side():
    assert squares((400, 200, 500, 250)) == [(385, 160, 515, 290)]
    assert squares((400, 200, 450, 300)) == [(360, 185, 490, 315)]


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((0, 0, 10, 10), (0, 0, 60, 60)),
        ((31, 31, 33, 33), (2, 2, 62, 62)),
        ((990, 490, 1000, 500), (940, 440, 1000, 500)),
        ((990, 0, 1000, 10), (940, 0, 1000, 60)),
    ],
)
def test_a_square_stays_inside_the_picture(box, square):
    assert squares(box) == [square]


def test_squares_nearly_as_large_as_the_image_are_left_out():
    assert squares((100, 10, 500, 400), (800, 400, 810, 410)) == [(775, 375, 835, 435)]
    assert len(squares((100, 100, 380, 150))) == 1  # 364 of at most 375 pixels
    assert squares((100, 100, 390, 150)) == []  # 377


def test_overlapping_squares_are_merged_if_the_result_stays_small():
    assert squares((100, 100, 110, 110), (140, 120, 150, 130)) == [(75, 75, 175, 155)]
    apart = squares((100, 100, 110, 110), (200, 100, 210, 110))
    assert len(apart) == 2
    wide = squares((100, 200, 300, 220), (320, 200, 520, 220))  # 260 each; together 480 of at most 375
    assert len(wide) == 2


def test_no_more_than_three_are_kept_the_most_changed_first():
    found = squares(*((100 + 150 * i, 50, 110 + 150 * i, 60) for i in range(5)))
    assert [square[0] for square in found] == [75, 225, 375]


def test_joining_agrees_with_counting_pixels():
    """Two squares are merged when they share a pixel and the box around both is not longer than allowed."""
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(2000):
        (a, b), longest = rng.integers(0, 9, (2, 4)), int(rng.integers(3, 12))
        one, other = ((x, y, x + 1 + w // 2, y + 1 + h // 2) for x, y, w, h in (a.tolist(), b.tolist()))
        canvas = np.zeros((2, 20, 20), bool)
        for layer, (x0, y0, x1, y1) in zip(canvas, (one, other), strict=True):
            layer[y0:y1, x0:x1] = True
        ys, xs = np.nonzero(canvas.any(axis=0))
        both = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        fits = max(both[2] - both[0], both[3] - both[1]) <= longest
        expected = tuple(map(int, both)) if canvas.all(axis=0).any() and fits else None
        assert gate._merge(one, other, longest) == expected
        outcomes.add(expected is None)
    assert outcomes == {True, False}


def strengths(*blobs, rows=40, columns=60):
    """Cells, with blobs (row, column, height, width, strength)."""
    cells = np.full((rows, columns), 0.5, np.float32)
    for row, column, height, width, strength in blobs:
        cells[row : row + height, column : column + width] = strength
    return cells


def test_boxes_reach_from_the_cell_before_to_the_end_of_the_last():
    boxes, confidence = gate._boxes(strengths((10, 20, 3, 4, 4.0)))
    np.testing.assert_allclose(boxes, [[19 / 60, 9 / 40, 24 / 60, 13 / 40]], rtol=1e-6)
    np.testing.assert_allclose(confidence, [0.75])
    corner, _ = gate._boxes(strengths((0, 0, 2, 2, 4.0)))
    np.testing.assert_allclose(corner, [[0, 0, 2 / 60, 2 / 40]], rtol=1e-6)


def test_the_most_changed_comes_first_by_the_sum_of_its_cells():
    boxes, confidence = gate._boxes(strengths((5, 5, 1, 1, 10.0), (20, 30, 5, 5, 2.0)))
    np.testing.assert_allclose(confidence, [0.5, 0.9], rtol=1e-6)
    assert boxes[0][0] == pytest.approx(29 / 60)
    one_cell_but_strong, _ = gate._boxes(strengths((5, 5, 1, 1, 100.0), (20, 30, 5, 5, 2.0)))
    assert one_cell_but_strong[0][0] == pytest.approx(4 / 60)


def test_a_cell_changes_when_it_is_above_its_threshold():
    assert len(gate._boxes(strengths((5, 5, 2, 2, 1.0)))[0]) == 0
    assert len(gate._boxes(strengths((5, 5, 2, 2, 1.5)))[0]) == 1


def test_blobs_that_nearly_touch_are_one():
    assert len(gate._boxes(strengths((10, 10, 3, 3, 3.0), (10, 15, 3, 3, 3.0)))[0]) == 1
    assert len(gate._boxes(strengths((10, 10, 3, 3, 3.0), (10, 17, 3, 3, 3.0)))[0]) == 2


def test_an_ignored_polygon_covers_its_cells_and_their_border():
    watched = gate._weights((160, 240), [((0.25, 0.25), (0.5, 0.25), (0.5, 0.5), (0.25, 0.5))])
    assert watched.shape == (40, 60)
    rows, columns = np.nonzero(watched == 0)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 21, 14, 31)
    assert set(np.unique(watched)) == {0.0, 1.0}


@pytest.mark.parametrize(
    "options", [{"sensitivity": 0}, {"ignore": [((0, 0), (1, 1), (1, 1.5))]}, {"ignore": [((0, 0), (1, 1), (-0.1, 1))]}]
)
def test_settings_just_outside_the_limits_are_refused(options):
    with pytest.raises(ValueError, match=r"above 0|fractions"):
        Gate(**options)


def test_the_smallest_settings_are_accepted():
    Gate(max_gap=0.5, sensitivity=0.1, ignore=[((0, 0), (1, 1), (1, 0))])
