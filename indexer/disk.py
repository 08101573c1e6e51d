"""Watches whether folders can be written to: says once when a disk is full, and when it has room again."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No space, a quota, or a limit on the size of files."""
PROBE_NAME = ".room"
PROBE_SIZE = 1 << 16
"""Bytes that are written to see whether there is room: less than one write of records takes."""
CHECK_INTERVAL = 2.0
"""Seconds between two checks."""
ADVICE = "free some space, let footage expire earlier (keep, recordings_size), or use footage forget"


def find_full_folder(folders: Sequence[Path]) -> str:
    """Say which of the folders has no room for another write; empty when all of them have.

    What the file system says is free may not be for this user (quotas, limits), so a small file is written and removed.
    """
    for folder in folders:
        try:
            if folder.is_dir():
                _write_probe(folder / PROBE_NAME)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                return f"the disk of {folder} is full: nothing new is indexed or recorded there; {ADVICE}"
    return ""


def _write_probe(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = os.write(descriptor, bytes(PROBE_SIZE))
        if written < PROBE_SIZE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(descriptor)
        with suppress(OSError):
            path.unlink()


class DiskMonitor:
    """Checks folders every few seconds, and logs once when one becomes full and when there is room again.

    Used in the event loop; the checks run on worker threads.

    Attributes:
        problem: which folder is full, and what to do; empty while none is.
    """

    def __init__(self, folders: Sequence[Path], find: Callable[[Sequence[Path]], str] = find_full_folder) -> None:
        self.problem = ""
        self._folders, self._find = folders, find

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_INTERVAL)

    async def check(self) -> None:
        """Check now."""
        problem = await asyncio.to_thread(self._find, self._folders)
        if problem and not self.problem:
            log.error("%s; records wait in memory, the oldest frames are dropped", problem)
        if self.problem and not problem:
            log.warning("the disk has room again")
        self.problem = problem
