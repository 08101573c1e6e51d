"""Watches whether folders can be written to: says once when a disk is full or fails, and when that is over."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
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
    return next((text for folder, error in _failures(folders) if (text := _describe_full(folder, error))), "")


def find_unwritable_folder(folders: Sequence[Path]) -> str:
    """Say which of the folders cannot be written to, because its disk is full or for another reason; else empty."""
    for folder, error in _failures(folders):
        return _describe_full(folder, error) or (
            f"{folder} cannot be written to ({error.strerror}): nothing new is indexed or recorded there; look at its "
            "owner, and at the system's log (dmesg): a disk that fails is made read-only"
        )
    return ""


def _failures(folders: Sequence[Path]) -> Iterator[tuple[Path, OSError]]:
    for folder in folders:
        try:
            if folder.is_dir():
                _write_probe(folder / PROBE_NAME)
        except OSError as error:
            yield folder, error


def _describe_full(folder: Path, error: OSError) -> str:
    if error.errno not in FULL_ERRNOS:
        return ""
    return f"the disk of {folder} is full: nothing new is indexed or recorded there; {ADVICE}"


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
    """Checks folders every few seconds, and logs once when one cannot be written to and when all can be again.

    Used in the event loop; the checks run on worker threads.

    Attributes:
        problem: which folder is full or cannot be written to, and what to do; empty while all can be.
    """

    def __init__(self, folders: Sequence[Path], find: Callable[[Sequence[Path]], str] = find_unwritable_folder) -> None:
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
            log.warning("the disk can be written to, and has room again")
        self.problem = problem
