"""One holder at a time, over tasks, threads and processes."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


@asynccontextmanager
async def held(path: Path, pause: float = 0.005) -> AsyncIterator[None]:
    """Hold the lock file ``path`` during the body; the kernel lets it go when the process dies.

    Args:
        path: the lock's file, made when absent and never removed (removing it would split the holders).
        pause: seconds between two tries while somebody else holds it.
    """
    # Every holder opens its own descriptor, so flock also keeps tasks of one process apart.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        while not _taken(descriptor):  # noqa: ASYNC110 - the other holder is another process
            await asyncio.sleep(pause)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
