"""Tests that the live clock follows arrival and sender reports despite jitter, drift and jumps, and never runs back."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footage.stream.frame import Clock
from footage.stream.live.clock import MAX_SKEW, LiveClock, MinimumDelayFit

BEGIN = 1_800_000_000.0  # UTC seconds


def run(
    seconds: float,
    delay: Callable[[float], float] = lambda _: 0.05,
    rate: Callable[[float], float] = lambda _: 1.0,
    sender: Callable[[float], float | None] = lambda _: None,
    after: float | None = None,
    fps: int = 25,
) -> tuple[LiveClock, list[float], list[float]]:
    """Times given to packets, and how far each is from the truth.

    Args:
        delay: seconds from taking a picture to its arrival.
        rate: real seconds that pass for a stamped one.
        sender: what its clock shows, as an error, or None.
    """
    clock = LiveClock(after)
    stamp, true = 1000.0, BEGIN
    given_, errors = [], []
    while true < BEGIN + seconds:
        t = true - BEGIN
        said = sender(t)
        clock.observe(stamp, true + delay(t), None if said is None else true + said)
        given_.append(clock.time(stamp))
        errors.append(given_[-1] - true)
        stamp += 1 / fps
        true += rate(t) / fps
    return clock, given_, errors


def rises(times: list[float]) -> bool:
    return all(a < b for a, b in pairwise(times))


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    jitter=st.floats(0, 0.5),
    rate=st.floats(0.8, 1.25),
    skew=st.one_of(st.none(), st.floats(-4, 4)),
)
def test_times_rise_and_stay_accurate_despite_network_and_clock_errors(
    seed: int, jitter: float, rate: float, skew: float | None
) -> None:
    dice = random.Random(seed)
    _, times, errors = run(
        60, lambda _: 0.05 + dice.random() * jitter, lambda _: rate, lambda t: skew if skew and t > 5 else None
    )
    assert rises(times)
    assert all(abs(error) < 2.3 + jitter for error in errors[40 * 25 :])


def test_jitter_does_not_affect_the_times() -> None:
    dice = random.Random(1)
    _, _, errors = run(60, lambda _: 0.05 + dice.expovariate(5))
    late = errors[20 * 25 :]
    assert max(late) - min(late) < 0.1  # packets came up to more than a second apart
    assert max(late) < 0.2


def test_a_stream_stamped_25_that_ships_21_a_second_is_followed() -> None:
    dice = random.Random(1)
    clock, times, errors = run(90, lambda _: 0.05 + dice.random() * 0.1, lambda _: 25 / 21)
    assert clock.rate == pytest.approx(25 / 21, rel=0.02)
    assert max(map(abs, errors[20 * 25 :])) < 0.3
    assert rises(times)


def test_a_camera_that_ships_less_than_half_of_what_it_stamps_is_followed() -> None:
    clock, times, errors = run(90, rate=lambda _: 2.5)
    assert not clock.jumped
    assert max(map(abs, errors)) < 3  # five seconds until the rate is known, and what it slips in each
    assert max(map(abs, errors[20 * 10 :])) < 0.3
    assert rises(times)


def test_a_rate_that_falls_at_dusk_is_followed() -> None:
    _, times, errors = run(120, rate=lambda t: 1.0 if t < 60 else 1.2)
    assert max(map(abs, errors)) < 2.5
    assert max(map(abs, errors[-30 * 21 :])) < 0.3
    assert rises(times)


def test_a_plausible_sender_clock_is_used_from_its_first_report() -> None:
    dice = random.Random(1)
    clock, times, errors = run(40, lambda _: 0.3 + dice.random() * 0.2, sender=lambda t: 0.0 if t > 5 else None)
    assert clock.clock is Clock.RTCP
    assert clock.skew == pytest.approx(-0.3, abs=0.05)
    assert max(map(abs, errors[30 * 25 :])) < 0.01
    assert rises(times)


@pytest.mark.parametrize("wrong", [MAX_SKEW + 0.5, -MAX_SKEW - 0.5, -3600.0, 86400.0 * 365])
def test_a_wrong_sender_clock_is_measured_and_not_used(wrong: float) -> None:
    clock, _, errors = run(40, sender=lambda _: wrong)
    assert clock.clock is Clock.ARRIVAL
    assert clock.skew == pytest.approx(wrong - 0.05, abs=0.01)
    assert max(map(abs, errors)) < 0.1


def test_a_sender_clock_that_becomes_wrong_is_no_longer_used() -> None:
    clock, times, _ = run(60, sender=lambda t: 0.0 if t < 20 else 50.0)
    assert clock.clock is Clock.ARRIVAL
    assert rises(times)


def test_a_burst_of_buffered_packets_at_the_start_is_not_taken_as_live() -> None:
    clock = LiveClock()
    for i in range(75):  # three seconds that the server had kept
        clock.observe(i / 25, BEGIN)
    assert clock.time(74 / 25) == pytest.approx(BEGIN, abs=0.01)
    assert clock.time(0.0) == pytest.approx(BEGIN - 74 / 25, abs=0.01)


@pytest.mark.parametrize("longest", [1.0, 4.0])
def test_a_reader_that_is_held_up_again_and_again_gives_right_times(longest: float) -> None:
    """What is read first after a pause came late; taken for a trend it put times up to half a minute ahead."""
    for seed in range(100):
        dice = random.Random(seed)
        clock, errors = LiveClock(), []
        now, pause = 0.0, dice.uniform(0.5, 4)
        for i in range(10 * 25):
            now = max(now + 0.001, i / 25 + dice.uniform(0.04, 0.06))
            if now > pause:
                now += dice.uniform(0.1, longest)
                pause = now + dice.uniform(0.5, 4)
            clock.observe(i / 25, BEGIN + now)
            errors.append(clock.time(i / 25) - BEGIN - i / 25)
        assert not clock.jumped
        assert max(map(abs, errors)) < 0.15


def test_a_stream_delivered_in_segments_gets_even_times() -> None:
    clock, errors = LiveClock(), []
    for segment in range(10):  # four seconds at once, as HLS gives them
        for i in range(100):
            stamp = segment * 4 + i / 25
            clock.observe(stamp, BEGIN + 4 + segment * 4 + i / 1000)
            if segment:  # the first one is held back until it is whole
                errors.append(clock.time(stamp) - BEGIN - stamp)
    assert max(errors) - min(errors) < 0.2


@settings(max_examples=25, deadline=None)
@given(ahead=st.floats(-10, 30))
def test_times_of_a_new_connection_begin_after_the_last_one(ahead: float) -> None:
    _, times, errors = run(60, after=BEGIN + ahead)
    assert times[0] > BEGIN + ahead
    assert rises(times)
    assert abs(errors[0]) < 0.1 or ahead > 0
    if ahead < 5:
        assert abs(errors[-1]) < 0.2  # it was worked off


def test_a_machine_whose_clock_is_set_forward_needs_a_new_timeline() -> None:
    clock, times, _ = run(90, delay=lambda t: 0.05 if t < 30 else 3600.0)
    assert clock.jumped
    assert rises(times)


def test_a_machine_whose_clock_is_set_back_gives_no_earlier_times() -> None:
    clock, times, _ = run(90, delay=lambda t: 0.05 if t < 30 else -110.0)
    assert rises(times)
    assert not clock.jumped


@pytest.mark.parametrize("ahead", [121.0, 3600.0, 86400.0 * 365])
def test_a_last_time_that_is_far_ahead_was_a_wrong_clock_s(ahead: float) -> None:
    _, times, errors = run(10, after=BEGIN + ahead)
    assert max(map(abs, errors)) < 0.1
    assert rises(times)


def test_a_clock_without_observations_raises_an_error() -> None:
    with pytest.raises(ValueError, match="no packet"):
        LiveClock().time(0.0)


def test_a_time_stamp_that_comes_twice_counts_as_the_earlier_packet() -> None:
    once, twice = MinimumDelayFit(), MinimumDelayFit()
    for second in range(0, 24, 2):
        utc = 1000 + 1.01 * second + (0.3 if second % 4 else 0.0)
        once.add(second, utc, utc)
        twice.add(second, utc, utc)
        twice.add(second, utc + 0.4, utc + 1.2)  # another second of arrivals
    found, rate = twice.fit(18) or (0.0, 0.0)
    assert (found, rate) == pytest.approx(once.fit(18), abs=1e-6)
    assert rate == pytest.approx(1.01, abs=1e-3)
