"""Tests the estimate of how many cameras a machine sustains."""

import pytest

from footage.indexer.live.load import LoadMeter, Reading


def measured(embed=0.0, own=0.0, others=0.0, cores=4, quota=4.0):
    """The load of four cameras after 80 s that took these shares of a second each second."""
    meter = LoadMeter(cores, quota)
    for second in range(81):
        meter.add(Reading(second, embed * second, own * second, others * second, second))
    return meter.load(4)


def test_nothing_is_known_before_something_was_embedded():
    assert LoadMeter().load(4).sustained is None
    assert measured(own=1.0).sustained is None


def test_an_embedder_that_is_busy_a_quarter_of_the_time_has_room_for_three_times_as_many_cameras():
    load = measured(embed=0.25)
    assert (load.busy, load.dropped) == (pytest.approx(0.25), 60)
    assert 12 <= load.sustained < 16  # all of the time would be 16: then frames wait ever longer


def test_processors_that_are_busy_with_reading_leave_less_room_than_the_embedder():
    assert 6 <= measured(embed=0.1, own=2.0).sustained < 8  # all of four would be 8


def test_what_else_the_machine_does_is_left_to_it():
    alone, shared = measured(embed=0.01, own=1.0), measured(embed=0.01, own=1.0, others=2.0)
    assert shared.sustained < alone.sustained / 2
    assert measured(embed=0.01, own=1.0, others=4.0).sustained == 0


def test_a_container_has_its_quota_while_others_leave_it_room():
    whole, limited = measured(embed=0.01, own=0.5, cores=16), measured(embed=0.01, own=0.5, cores=16, quota=1.0)
    assert limited.sustained < whole.sustained / 3
    assert measured(embed=0.01, own=0.5, others=10.0, cores=16, quota=1.0).sustained == limited.sustained
    assert measured(embed=0.01, own=0.5, others=16.0, cores=16, quota=1.0).sustained == 0
