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


class Boots:
    """A machine that is switched off and on; its clock may be wrong when it starts."""

    def __init__(self, file):
        self.file, self.passed, self.booted, self.error, self.boots = file, 0.0, 0.0, 0.0, 0

    def start(self, off=0.0, error=0.0):
        """The clock of a service that begins after the machine was off; 0: only the service was."""
        if off:
            self.boots += 1
            self.booted = self.passed = self.passed + off
        self.error = error
        self.clock = ExpiryClock(
            lambda: self.truth() + timedelta(seconds=self.error),
            lambda: self.passed - self.booted,
            self.file,
            f"boot-{self.boots}",
        )
        return self.off()

    def truth(self):
        return START + timedelta(seconds=self.passed)

    def off(self):
        """By how many seconds footage expires too soon."""
        return (self.clock() - self.truth()).total_seconds()

    def run(self, seconds):
        """Run so long, with a look each minute, as the service does; the most by which footage expires too soon."""
        most = self.off()
        for _ in range(round(seconds / 60)):
            self.passed += 60
            most = max(most, self.off())
        return most


DAY, YEAR = 24 * HOUR, 365 * 24 * HOUR


@pytest.fixture
def boots(tmp_path):
    boots = Boots(tmp_path / "clock.json")
    boots.start()
    boots.run(HOUR)
    return boots


@pytest.mark.parametrize("error", [YEAR, 20 * YEAR, 2 * HOUR, -2 * HOUR, -56 * YEAR])
@pytest.mark.parametrize("off", [60.0, HOUR, 14 * DAY])
def test_a_clock_that_is_wrong_at_a_boot_until_a_time_server_sets_it_deletes_nothing_early(boots, error, off):
    assert boots.start(off, error) <= 0
    assert boots.run(HOUR / 2) <= 0
    boots.error = 0.0
    assert boots.run(HOUR) <= 0
    boots.run(25 * HOUR)
    assert boots.off() == 0, "and when the clock has been right for a day, footage expires by it"


def test_a_machine_that_was_off_is_believed_after_an_hour_and_one_that_was_off_long_after_a_day(boots):
    assert -HOUR - 601 <= boots.start(HOUR) <= -HOUR
    boots.run(1.1 * HOUR)
    assert boots.off() == 0
    assert boots.start(14 * DAY) <= -14 * DAY
    boots.run(23 * HOUR)
    assert boots.off() <= -14 * DAY
    boots.run(1.1 * HOUR)
    assert boots.off() == 0


def test_a_machine_that_runs_for_eight_hours_a_day_is_believed_each_day(boots):
    for _ in range(5):
        boots.start(16 * HOUR)
        boots.run(8 * HOUR)
        assert boots.off() == 0
    for _ in range(3):  # after holidays it takes three of them
        boots.start(14 * DAY if boots.off() == 0 else 16 * HOUR)
        boots.run(8.2 * HOUR)
    assert boots.off() == 0


def test_a_service_that_starts_again_goes_on_as_if_it_had_not(boots):
    boots.passed += 10 * DAY
    assert boots.start() == 0
    assert boots.start(error=YEAR) == 0, "the clock was set while it did not run"
    assert boots.run(0.9 * HOUR) == 0


def test_without_a_battery_it_is_known_at_each_boot_that_the_clock_is_wrong(boots, caplog):
    for _ in range(3):
        assert boots.start(HOUR / 2, -56 * YEAR) < -55 * YEAR
        assert "the clock of this machine is behind: it showed 2026-05-0" in boots.clock.problem
        assert boots.clock.problem in caplog.text
        caplog.clear()
        boots.run(60)
        boots.error = 0.0
        boots.run(23 * HOUR)
        assert boots.clock.problem == ""
        assert boots.off() > -2 * HOUR


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff", b'{"boot": 1, "began": "x", "time": 3, "left": null}']
)
def test_a_file_that_cannot_be_read_is_told_and_the_clock_is_believed(tmp_path, content, caplog):
    (tmp_path / "clock.json").write_bytes(content)
    boots = Boots(tmp_path / "clock.json")
    assert boots.start() == 0
    assert "cannot be read" in caplog.text
    boots.run(HOUR)
    assert boots.start(HOUR) < 0


def dated(boots):
    """What the machine's clock shows."""
    return boots.truth() + timedelta(seconds=boots.error)


@pytest.mark.parametrize(
    ("first", "error", "seen"),  # of a first start by a likely time nothing tells that it is wrong, unless it is set
    [
        *((True, -56 * YEAR, True), (True, -56 * YEAR, False), (True, -20 * DAY, True)),
        *((False, -56 * YEAR, True), (False, -56 * YEAR, False), (False, -20 * DAY, True), (False, -20 * DAY, False)),
    ],
)
def test_what_a_clock_that_was_behind_dated_is_as_old_as_it_is(tmp_path, first, error, seen):
    """At the first start of a service or a later one; the clock is set while it runs, or after it was killed."""
    boots = Boots(tmp_path / "clock.json")
    if not first:
        boots.start()
        boots.run(HOUR)
    boots.start(HOUR, error)
    boots.run(0.2 * HOUR)
    recorded, time = boots.truth(), dated(boots)
    boots.run(0.2 * HOUR)
    if seen:
        boots.error = 0.0
    else:
        boots.start(HOUR, 0.0)
    boots.run(60)
    for _ in range(2):
        wrong = (boots.clock.wrong.latest(time, time) - recorded).total_seconds()
        assert wrong == 0 if seen else 0 <= wrong < 2 * HOUR
        boots.run(10 * HOUR)
        boots.start()  # it is kept
        boots.run(60)


def test_a_setting_that_is_taken_back_leaves_nothing(boots):
    before = boots.truth()
    boots.run(HOUR)
    for error in (YEAR, 0.0, -YEAR, 0.0):
        boots.error = error
        boots.run(HOUR)
        shown = dated(boots)
        assert boots.clock.wrong.latest(before, before) >= before, "never older"
        assert boots.clock.wrong.latest(shown, shown) == shown
    assert boots.clock.wrong.latest(before, before) == before


def test_small_steps_are_not_kept(boots):
    boots.error = 30.0
    boots.run(HOUR)
    boots.error = 0.0
    boots.run(HOUR)
    assert list(boots.clock.wrong.spans) == []
