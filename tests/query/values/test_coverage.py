"""Tests that coverage is made coarser without hiding what most of a time was."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from footage.indexer.store.base import Coverage, CoverageState
from footage.query.values.coverage import coarsen

START = datetime(2026, 5, 4, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def spans(text, camera="yard"):
    """Coverage from a drawing: a character a second, ``#`` watched, ``-`` a gap, a space nothing known."""
    found, first = [], 0
    for i in range(1, len(text) + 1):
        if i == len(text) or text[i] != text[first]:
            if text[first] != " ":
                state = CoverageState.WATCHED if text[first] == "#" else CoverageState.GAP
                cause = "" if text[first] == "#" else "connection lost"
                found.append(Coverage(camera, START + first * SECOND, START + i * SECOND, state, cause))
            first = i
    return found


def drawing(coverage, length):
    drawn = [" "] * length
    for one in coverage:
        first, end = ((at - START) // SECOND for at in (one.start, one.end))
        drawn[first:end] = ("#" if one.state is CoverageState.WATCHED else "-") * (end - first)
    return "".join(drawn)


@pytest.mark.parametrize(
    ("fine", "coarse"),
    [
        ("##########", "##########"),
        ("####-#####", "##########"),
        ("-#-#---#--", "----------"),
        ("#####-----#####", "#####-----#####"),
        ("#####     #####", "#####     #####"),
        ("#### #####", "##########"),
        ("#####-###------", "#########------"),
        ("", ""),
    ],
)
def test_spans_shorter_than_the_resolution_become_what_most_around_them_is(fine, coarse):
    assert drawing(coarsen(spans(fine), 4 * SECOND), len(fine)) == coarse


def test_cameras_are_not_joined_and_a_gap_keeps_its_cause():
    found = coarsen([*spans("----", "a"), *spans("-----", "b")], 60 * SECOND)
    assert [(c.camera, c.cause) for c in found] == [("a", "connection lost"), ("b", "connection lost")]


def test_a_camera_that_comes_and_goes_for_days_has_few_spans():
    flapping = spans("#-" * 5000)
    found = coarsen(flapping, 100 * SECOND)
    assert len(found) <= 101
    assert (found[0].start, found[-1].end) == (flapping[0].start, flapping[-1].end)
    assert all(one.end == other.start for one, other in pairwise(found))
