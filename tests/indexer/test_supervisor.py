"""Tests the supervisor: what dies is logged and shown, restarted or ends the service, and ends with it."""

import asyncio
import logging

import pytest

from footage.indexer.supervisor import StageFailed, StageState, Supervisor


async def until(condition):
    async with asyncio.timeout(60):
        while not (value := condition()):
            await asyncio.sleep(0.005)
        return value


class Dying:
    """Work that raises, each time that it is started, until it is told to live."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.starts = 0
        self.ended = asyncio.Event()

    async def __call__(self):
        self.starts += 1
        if self.errors:
            raise self.errors.pop(0)
        await self.ended.wait()


async def test_a_stage_that_dies_is_started_again_and_is_well_after_a_while(supervisor, caplog):
    work = Dying(RuntimeError("boom"), MemoryError(), RuntimeError("other"))
    stage = supervisor.start("one", work)
    await until(lambda: supervisor.failures["one"] == 1)
    assert stage.state is StageState.RESTARTING
    assert stage.error == "RuntimeError; see the service's log"
    assert supervisor.health() == {"one": False}
    await until(lambda: stage.state is StageState.RUNNING)
    assert work.starts == 4
    assert supervisor.failures["one"] == 3
    assert supervisor.health() == {"one": True}
    traces = [r for r in caplog.records if r.exc_info]
    assert [r.exc_info[0] for r in traces] == [RuntimeError, MemoryError, RuntimeError]
    assert all("'one'" in r.getMessage() for r in traces)
    work.ended.set()
    await stage.task
    assert supervisor.stages == []


async def test_the_same_death_again_is_one_line(supervisor, caplog):
    work = Dying(*[RuntimeError("boom")] * 4)
    supervisor.start("one", work)
    await until(lambda: work.starts == 5)
    assert [bool(r.exc_info) for r in caplog.records if r.levelno == logging.ERROR] == [True, False, False, False]


async def test_pauses_double_up_to_the_longest(supervisor, caplog):
    work = Dying(*[RuntimeError("boom")] * 5)
    supervisor.start("one", work)
    await until(lambda: work.starts == 6)
    pauses = [r.getMessage().rpartition(" in ")[2] for r in caplog.records]
    assert pauses == ["0.01 s", "0.02 s", "0.04 s", "0.05 s", "0.05 s"]


async def test_the_death_of_what_cannot_restart_is_told_to_whoever_waits(supervisor, caplog):
    told = []
    stage = supervisor.start("one", Dying(OSError("gone")), restart=False, on_failed=told.append)
    other = supervisor.start("other", Dying())
    async with asyncio.timeout(60):
        with pytest.raises(StageFailed, match=r"'one' died \(OSError: gone\)"):
            await supervisor.wait_failed()
    assert stage.state is StageState.FAILED
    assert other.state is StageState.RUNNING, "the others go on until the service has ended in order"
    assert told == ["OSError; see the service's log"]
    assert supervisor.health() == {"one": False, "other": True}
    assert any(r.exc_info for r in caplog.records)
    assert not await stage.finish(1)


async def test_finish_waits_for_the_end_and_says_whether_there_was_one(supervisor):
    good, slow, pausing = Dying(), Dying(), Dying(RuntimeError("boom"))
    stages = [supervisor.start("good", good), supervisor.start("slow", slow)]
    patient = Supervisor(pauses=(60, 60))
    async with patient:
        paused = patient.start("pausing", pausing)
        await until(lambda: paused.error)
        good.ended.set()
        pausing.ended.set()
        assert await stages[0].finish(5)
        assert not await stages[1].finish(0.05)
        assert await paused.finish(5), "what waits for its restart is restarted at once when it shall finish"
    assert stages[1].task.cancelled()


async def test_what_dies_while_it_finishes_is_not_started_again(supervisor):
    release = asyncio.Event()

    async def work():
        await release.wait()
        raise RuntimeError("boom")

    stage = supervisor.start("one", work)
    asyncio.get_running_loop().call_later(0.02, release.set)
    assert not await stage.finish(5)
    assert stage.state is StageState.FAILED


async def test_a_cancellation_from_within_is_a_death(supervisor):
    async def work():
        inner = asyncio.get_running_loop().create_future()
        inner.cancel()
        await inner

    supervisor.start("one", work)
    await until(lambda: supervisor.failures["one"] > 1)


async def test_nothing_runs_after_the_block_and_its_error_comes_out():
    stages = []

    async def use():
        async with Supervisor() as supervisor:
            stages.append(supervisor.start("one", Dying()))
            async with supervisor.running(two=Dying(), three=Dying()):
                assert len(supervisor.stages) == 3
            assert [s.name for s in supervisor.stages] == ["one"]
            raise KeyError

    with pytest.raises(KeyError):
        await use()
    assert stages[0].task.cancelled()
