"""Runs work in a thread to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def run_to_completion(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``work`` in a thread to its end, however often it is cancelled: only then may what it uses be unlocked."""
    bound = partial(work, *args, **kwargs)
    # No task: asyncio.run cancels all of those when it ends, and they would be done before their thread is.
    done = asyncio.get_running_loop().run_in_executor(None, partial(copy_context().run, bound))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        while not done.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([done])
        raise
