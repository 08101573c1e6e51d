"""Tests the clock by which footage expires against a machine's clock that is set forward and back; both are fakes."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.indexer.live.expiry_clock import ExpiryClock

START = datetime(2026, 5, 4, tzinfo=UTC)
HOUR = 3600.0


class Machine:
    """A machine whose clock can be set."""

    def __init__(self):
        self.elapsed, self.error = 1000.0, 0.0
        self.clock = ExpiryClock(lambda: self.truth() + timedelta(seconds=self.error), lambda: self.elapsed)

    def truth(self):
        return START + timedelta(seconds=self.elapsed)

    def off(self):
        """By how many seconds footage expires too soon."""
        return (self.clock() - self.truth()).total_seconds()


@pytest.mark.parametrize("step", [61.0, HOUR, 20 * 365 * 24 * HOUR])
def test_a_clock_that_is_set_forward_and_back_deletes_nothing_early(step, caplog):
    machine = Machine()
    assert machine.off() == 0
    machine.error = step
    for _ in range(23):
        machine.elapsed += HOUR
        assert machine.off() == 0
    assert caplog.text.count("was set forward by") == 1
    machine.error = 0.0
    assert machine.off() == 0


def test_a_clock_that_stays_set_forward_is_believed_after_a_day():
    machine = Machine()
    machine.error = 365 * 24 * HOUR
    assert machine.off() == 0
    machine.elapsed += 24 * HOUR
    assert machine.off() == 365 * 24 * HOUR
    machine.error += HOUR  # again
    assert machine.off() == 365 * 24 * HOUR


def test_small_corrections_and_steps_back_are_followed():
    machine = Machine()
    for step in (0.5, 30.0, -HOUR, -HOUR + 20.0):
        machine.error = step
        machine.elapsed += HOUR
        assert machine.off() == step


def test_each_wrong_clock_is_doubted_for_a_day_of_its_own():
    machine = Machine()
    machine.error = HOUR
    assert machine.off() == 0
    machine.elapsed += 23 * HOUR
    machine.error = 0.0
    assert machine.off() == 0
    machine.elapsed += HOUR
    machine.error = HOUR
    assert machine.off() == 0
    machine.elapsed += 23 * HOUR
    assert machine.off() == 0


def test_a_clock_that_is_set_forward_again_is_doubted_anew():
    machine = Machine()
    machine.error = HOUR
    assert machine.off() == 0
    machine.elapsed += 23 * HOUR
    machine.error = 365 * 24 * HOUR
    assert machine.off() == 0
    machine.elapsed += 2 * HOUR
    assert machine.off() == 0
    machine.elapsed += 22 * HOUR
    assert machine.off() == machine.error
