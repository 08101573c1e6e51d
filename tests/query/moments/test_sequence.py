from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.query.moments.sequence import RangeMaximum, find_pairs
from footage.query.values.moment import Moment
from footage.stream.frame import Clock
from tests.query.moments.test_segmentation import at


def moment(start, length=1.0, score=0.9, camera="yard"):
    return Moment(camera, at(start), at(start + length), score, at(start), None, "m", Clock.RTCP)


def moments():
    one = st.builds(
        moment,
        st.integers(0, 60),
        st.integers(0, 20),
        st.sampled_from([0.5, 0.6, 0.75, 1.0]),
        st.sampled_from(["yard", "gate"]),
    )
    return st.lists(one, max_size=25)


def naive(firsts, thens, within):
    for a in firsts:
        for b in thens:
            same = (a.camera, a.start, a.end) == (b.camera, b.start, b.end)
            if not same and a.start <= b.start and b.start - a.end <= within:
                yield a, b


@given(moments(), moments(), st.integers(0, 15), st.integers(1, 40))
def test_the_best_of_all_pairs_are_found(firsts, thens, within, limit):
    span = timedelta(seconds=within)
    expected = sorted((a.score * b.score for a, b in naive(firsts, thens, span)), reverse=True)
    found = find_pairs(firsts, thens, span, limit)
    assert [p.score for p in found] == pytest.approx(expected[:limit])
    everything = find_pairs(firsts, thens, span, 10_000)
    assert sorted(map(repr, ((p.first, p.then) for p in everything))) == sorted(map(repr, naive(firsts, thens, span)))
    assert everything[: len(found)] == found


def test_the_gap_is_from_the_end_of_the_first_to_the_start_of_the_second():
    (after,) = find_pairs([moment(0, 5)], [moment(9, camera="gate")], timedelta(seconds=10), 5)
    assert (after.gap, after.first.camera, after.then.camera) == (4.0, "yard", "gate")
    (during,) = find_pairs([moment(0, 5)], [moment(3)], timedelta(), 5)
    assert during.gap == -2.0
    assert find_pairs([moment(0, 5)], [moment(9)], timedelta(seconds=3), 5) == []
    assert find_pairs([moment(5)], [moment(4)], timedelta(seconds=3), 5) == []


def test_long_lists_that_all_overlap_do_not_multiply():
    many = [moment(0, 100_000 + i, score=0.5 + i / 100_000) for i in range(20_000)]
    later = [moment(1 + i, 5, score=0.5 + i / 100_000) for i in range(20_000)]
    found = find_pairs(many, later, timedelta(seconds=10), 10)  # of 400 million
    assert len(found) == 10
    assert found[0].score == pytest.approx(many[-1].score * later[-1].score)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_the_highest_of_a_range_is_the_first_of_equals(values, data):
    low = data.draw(st.integers(0, len(values) - 1))
    high = data.draw(st.integers(low + 1, len(values)))
    assert RangeMaximum(values).argmax(low, high) == low + int(np.argmax(values[low:high]))
