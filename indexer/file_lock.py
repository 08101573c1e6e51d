"""Locks a file so that one task, in any thread or process, holds it at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def lock_file(path: Path, pause: float = 0.005) -> AsyncIterator[None]:
    """Hold the lock file ``path`` while the block runs; the kernel releases it when the process dies.

    Args:
        path: the lock's file, created when absent and never removed (a new file would be a second lock).
        pause: seconds between two tries while somebody else holds it.
    """
    # Every holder opens its own descriptor, so flock also excludes other tasks of the same process.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _try_lock(descriptor):  # noqa: ASYNC110 - the other holder may be another process
            await asyncio.sleep(pause)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
