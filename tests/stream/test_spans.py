"""Tests joining spans, and times as microseconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST, EPOCH, from_micros, to_micros
from footage.stream.spans import merge


@pytest.mark.parametrize(
    ("spans", "joined"),
    [
        ([], []),
        ([(3, 5), (1, 2)], [(1, 2), (3, 5)]),
        ([(1, 3), (3, 5)], [(1, 5)]),
        ([(1, 9), (2, 3), (4, 12)], [(1, 12)]),
        ([(1, 2), (1, 2)], [(1, 2)]),
    ],
)
def test_spans_that_overlap_or_touch_are_joined(spans: list[tuple[int, int]], joined: list[tuple[int, int]]) -> None:
    assert merge(spans) == joined


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9)).map(lambda s: (s[0], s[0] + s[1] + 1))))
def test_joined_spans_cover_the_same_and_keep_apart(spans: list[tuple[int, int]]) -> None:
    joined = merge(spans)
    assert {i for a, b in joined for i in range(a, b)} == {i for a, b in spans for i in range(a, b)}
    assert all(one[1] < other[0] for one, other in pairwise(joined))


@given(st.datetimes(timezones=st.just(UTC)))
def test_microseconds_lose_nothing(time: datetime) -> None:
    assert from_micros(to_micros(time)) == time


def test_times_of_any_zone_count_from_1970_utc() -> None:
    assert to_micros(datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))) == 0
    assert to_micros(EPOCH + timedelta(seconds=1)) == 1_000_000
    assert from_micros(-1) == EPOCH - timedelta(microseconds=1)
    with pytest.raises(OverflowError):
        from_micros(10**18)


def test_the_distant_past_and_future_can_be_shown_in_any_zone() -> None:
    for zone in (timezone(timedelta(hours=14)), timezone(-timedelta(hours=14))):
        assert DISTANT_PAST.astimezone(zone) < DISTANT_FUTURE.astimezone(zone)
