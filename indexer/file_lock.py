"""Locks a file so that one task, in any thread or process, holds it at a time."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import json
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from footage.stream.private import make_file

UNSUPPORTED_ERRNOS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What file systems without locks answer."""


@dataclass(frozen=True, slots=True)
class LockHolder:
    """The process that holds a lock, as it wrote itself into the lock's file.

    Attributes:
        since: when it took the lock, in ISO 8601, UTC.
    """

    pid: int
    host: str
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"


@asynccontextmanager
async def lock_file(path: Path, pause: float = 0.005, *, sign: bool = False) -> AsyncIterator[None]:
    """Hold the lock file ``path`` while the block runs; the kernel releases it when the process dies.

    On a network file system the lock holds between machines as far as its server passes on ``flock``: NFS since
    version 4 and CephFS do; SMB, sshfs and NFS mounted with ``local_lock`` keep it within one machine.

    Args:
        path: the lock's file, created when absent and never removed (a new file would be a second lock).
        pause: seconds between two tries while somebody else holds it.
        sign: write into the file who holds it, for ``read_holder``.

    Raises:
        OSError: the file cannot be made, or its file system has no locks.
    """
    # Every holder opens its own descriptor, so flock also excludes other tasks of the same process.
    make_file(path)
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        while not _try_lock(descriptor, path):  # noqa: ASYNC110 - the other holder may be another process
            await asyncio.sleep(pause)
        if sign:
            _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def hold_file(path: Path) -> Iterator[None]:
    """Hold a lock file as ``lock_file`` does, in a thread that may wait; without it where it cannot be made."""
    descriptor = -1
    try:
        with suppress(OSError):  # a full disk, a folder that is gone, or a file system without locks
            make_file(path)
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def read_holder(path: Path) -> LockHolder | None:
    """Return who signed a lock's file last; None where nobody did. Whether it still holds the lock is not checked."""
    try:
        return LockHolder(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def _sign(descriptor: int) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    content = json.dumps(asdict(LockHolder(os.getpid(), socket.gethostname(), now))).encode()
    with suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in UNSUPPORTED_ERRNOS:
            raise
        text = "its file system has no file locks; choose a local folder, or mount it so that flock works"
        raise OSError(error.errno, text, str(path)) from error
    return True
