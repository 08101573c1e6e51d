"""Tests that requests to a cluster that is gone are refused at once, and served again when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from footage.indexer.store.cassandra import breaker as breaker_module
from footage.indexer.store.cassandra.breaker import CircuitBreaker
from footage.indexer.store.errors import StoreError, StoreUnreachable

LOGGER = "footage.indexer.store.cassandra.breaker"


class Cluster:
    """Answers pings while it is ``there``."""

    def __init__(self) -> None:
        self.there, self.pings, self.faults = True, 0, 0

    async def ping(self) -> bool:
        self.pings += 1
        if self.faults:
            self.faults -= 1
            raise RuntimeError("a bug")
        return self.there

    async def late(self) -> str:
        """A request that is answered after the second ping."""
        while self.pings < 2:
            await asyncio.sleep(0.02)
        return "late"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def breaker(cluster: Cluster) -> AsyncIterator[CircuitBreaker]:
    breaker = CircuitBreaker("here", cluster.ping)
    yield breaker
    await breaker.close()


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


async def closed(breaker: CircuitBreaker) -> None:
    async with asyncio.timeout(60):
        while breaker.is_open:
            await asyncio.sleep(0.02)


async def test_a_slow_request_to_a_cluster_that_answers_pings_is_waited_for(
    breaker: CircuitBreaker, cluster: Cluster
) -> None:
    slow = asyncio.create_task(cluster.late())
    async with asyncio.timeout(60):
        assert await breaker.watch(slow) == "late"
    assert not breaker.is_open


async def test_silence_opens_it_for_every_waiting_request_and_a_ping_closes_it(
    breaker: CircuitBreaker,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaker_module, "REMIND_SECONDS", 0.1)
    monkeypatch.setattr(breaker_module, "PROBE_SECONDS", 0.1)
    cluster.there = False
    lost = [asyncio.get_running_loop().create_future() for _ in range(5)]
    async with asyncio.timeout(30):  # they would never end
        done = await asyncio.gather(*(breaker.watch(one) for one in lost), return_exceptions=True)
    assert all(isinstance(error, StoreUnreachable) for error in done)
    assert all(one.cancelled() for one in lost)
    with pytest.raises(StoreUnreachable, match="no node answers"):
        breaker.check()
    async with asyncio.timeout(30):
        while len(messages(caplog)) < 3:
            await asyncio.sleep(0.01)
    cluster.there, cluster.faults = True, 1  # a fault while it is asked does not end the asking
    await closed(breaker)
    breaker.check()
    gone, *still, back = messages(caplog)
    assert gone.startswith("here: no node answers")
    assert sum("could not be pinged" in one for one in still) == 1
    assert all("it is asked again" in one or "could not be pinged" in one for one in still)
    assert back.startswith("here: it answers again, after ")


async def test_failures_open_it_only_when_nothing_has_succeeded_for_a_second(
    breaker: CircuitBreaker, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.there, now = False, 100.0
    monkeypatch.setattr(breaker_module, "time", SimpleNamespace(monotonic=lambda: now))
    for _ in range(100):  # sixteen requests on a connection that is cut fail at once
        breaker.note_failure(StoreError("cut"))
    breaker.check()
    now += 1.1
    breaker.note_response()
    breaker.note_failure(StoreError("cut"))
    breaker.check()
    now += 1.1
    breaker.note_failure(StoreError("cut again"))
    with pytest.raises(StoreUnreachable, match="cut again"):
        breaker.check()
    breaker.note_response()  # of a request that was on its way
    breaker.check()
