"""With a copy on each of three nodes, the cluster goes on without one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows imports the driver
need_driver()

from cassandra import ConsistencyLevel, DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable
from cassandra.policies import ConstantSpeculativeExecutionPolicy, RoundRobinPolicy

from tests.cassandra.frames import fill, make, nearest, units
from tests.cassandra.server import Server, until


def persist(action: Callable[[], None]) -> None:
    """Do ``action`` again until it succeeds: a node that has just gone is still asked for a while."""

    def done() -> bool:
        try:
            action()
        except (NoHostAvailable, DriverException):
            return False
        return True

    until(done, 120, lambda: "two of three nodes did not go on")


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_one_node_dies_and_another_freezes(cassandra3: list[Server]) -> None:
    first, second, third = cassandra3
    profile = ExecutionProfile(
        RoundRobinPolicy(),
        consistency_level=ConsistencyLevel.QUORUM,
        request_timeout=2,  # seconds; what fails is done again
        speculative_execution_policy=ConstantSpeculativeExecutionPolicy(0.5, 2),
    )
    cluster = first.contact.cluster(execution_profiles={EXEC_PROFILE_DEFAULT: profile})
    session = cluster.connect()
    make(session, replicas=3)
    vectors = units(60)

    def found(ts: int) -> None:
        assert nearest(session, vectors[ts], 1)[0][0] == ts

    persist(lambda: fill(session, vectors[:20]))
    persist(lambda: found(0))
    third.kill()
    persist(lambda: fill(session, vectors[20:40], 20))
    persist(lambda: found(39))
    third.start()
    third.wait(peers=2)
    second.pause()
    persist(lambda: fill(session, vectors[40:], 40))
    persist(lambda: found(59))
    second.resume()
    rows: list[Any] = []
    persist(lambda: rows.extend(session.execute("SELECT ts FROM frames").all()))  # the node that froze may time out
    assert {row.ts for row in rows} == set(range(60))
    cluster.shutdown()
