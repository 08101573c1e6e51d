import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.query.values.schedule import BadSchedule, Schedule, parse_weekdays
from footage.query.values.times import parse_time

START = datetime(2026, 3, 20, tzinfo=UTC)


@pytest.fixture
def berlin(monkeypatch):
    """A zone with summer time: put forward on 2026-03-29, back on 2026-10-25."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
    assert os.environ.get("TZ") != "Europe/Berlin"


def test_days_are_parsed_as_people_write_them():
    assert parse_weekdays("sat-mon") == {5, 6, 0}
    assert parse_weekdays("mon, wed") == {0, 2}
    with pytest.raises(BadSchedule, match="mon-fri"):
        parse_weekdays("monday")
    for wrong in ("8", "8-8", "24-3", "8-25", "a-b"):
        with pytest.raises(BadSchedule, match="8-18"):
            Schedule(hours=wrong)


def test_a_night_belongs_to_the_day_on_which_it_begins(berlin):
    spans = Schedule("22-6", "fri").spans(START, START + timedelta(days=7))
    friday = datetime(2026, 3, 20, 21, tzinfo=UTC)
    assert spans == [(friday, friday + timedelta(hours=8))]


def test_a_night_in_which_clocks_change_is_an_hour_shorter_or_longer(berlin):
    spring = Schedule("22-6", "sat").spans(datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC))
    autumn = Schedule("22-6", "sat").spans(datetime(2026, 10, 24, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC))
    assert [b - a for a, b in spring + autumn] == [timedelta(hours=7), timedelta(hours=9)]


@pytest.mark.parametrize(
    ("hours", "begin", "end"), [("2-3", "00:00", "02:00"), ("1-2", "23:00", "00:00"), ("3-4", "02:00", "03:00")]
)
def test_hours_hold_both_of_the_hour_that_comes_twice(berlin, hours, begin, end):
    ((a, b),) = Schedule(hours).spans(datetime(2026, 10, 24, 20, tzinfo=UTC), datetime(2026, 10, 25, 12, tzinfo=UTC))
    assert (f"{a:%H:%M}", f"{b:%H:%M}") == (begin, end)


def test_an_hour_that_is_left_out_in_spring_has_no_span(berlin):
    day = datetime(2026, 3, 28, 20, tzinfo=UTC)
    assert Schedule("2-3").spans(day, day + timedelta(hours=16)) == []


def test_a_time_in_words_is_the_first_of_two_and_an_offset_decides(berlin):
    assert parse_time("2026-10-25T02:30") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert parse_time("2026-10-25T02:30+01:00") == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_whole_days_are_joined_and_clipped_to_the_span():
    spans = Schedule(days="mon-sun").spans(START, START + timedelta(days=9, hours=5))
    assert spans == [(START, START + timedelta(days=9, hours=5))]
    assert not Schedule()
    assert Schedule().includes(START)


hours = st.tuples(st.integers(0, 23), st.integers(1, 24)).filter(lambda p: p[0] != p[1]).map(lambda p: f"{p[0]}-{p[1]}")
days = st.sampled_from(["", "mon", "sat,sun", "fri-mon"])


@given(hours, days, st.integers(0, 40 * 86400), st.integers(1, 30 * 86400))
def test_an_instant_is_allowed_by_the_local_clock(hours, days, after, length):
    """Against a reading of the clock; hours in which clocks change are left to the tests above."""
    start = START + timedelta(seconds=after)
    this = Schedule(hours, days)
    spans = this.spans(start, start + timedelta(seconds=length))
    assert all(a < b for a, b in spans)
    assert all(before[1] < later[0] for before, later in pairwise(spans))
    first, last = (int(h) for h in hours.split("-"))
    local = start.astimezone()
    inside = first <= local.hour < last if first < last else local.hour >= first or local.hour < last
    day = local - timedelta(days=1) if first > last and local.hour < last else local
    assert this.includes(start) == (inside and day.weekday() in parse_weekdays(days))
    assert this.includes(start) == any(a <= start < b for a, b in spans)
