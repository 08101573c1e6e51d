"""Writes files atomically: to a draft in the same folder, which then replaces the file."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STALE_SECONDS = 86_400.0
"""A draft that was not written to for so long belongs to a process that died."""


@contextmanager
def atomic_write(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Write a draft that replaces ``path`` when the block ends; the draft is deleted when the block raises.

    Args:
        sync: return only when the content and the name would survive a power cut.

    Yields:
        The draft's path, beside ``path``, hidden and with its suffix, for the block to create and close.
    """
    digest = hashlib.blake2b(os.fsencode(path.name), digest_size=8).hexdigest()  # a long name leaves no room for more
    for stale in path.parent.glob(f".{digest}.*.tmp{path.suffix}"):
        if time.time() - stale.stat().st_mtime > STALE_SECONDS:
            stale.unlink(missing_ok=True)
    draft = path.with_name(f".{digest}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield draft
        if sync:
            fsync(draft)
        draft.replace(path)
        if sync:
            fsync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def fsync(path: Path | str) -> None:
    """Flush a file's content, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
