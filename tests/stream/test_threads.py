"""Tests that work in a thread ends before its caller goes on."""

import asyncio
import threading

import pytest

from footage.stream.threads import run_to_completion


async def test_cancellation_waits_for_the_thread() -> None:
    begun, go, done = asyncio.Event(), threading.Event(), threading.Event()
    loop, others = asyncio.get_running_loop(), asyncio.all_tasks()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        go.wait(60)
        done.set()

    task = asyncio.ensure_future(run_to_completion(work))
    await begun.wait()
    for _ in range(3):
        for one in asyncio.all_tasks() - others:  # as asyncio.run does when it ends
            one.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
