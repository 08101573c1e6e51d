"""Files that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: Path, *, sync: bool = False) -> Iterator[Path]:
    """Write ``path`` through a draft that takes its place when the block ends; it is removed when the block raises.

    Args:
        sync: return only when the content and the name would survive a power cut.

    Yields:
        The draft's path, beside ``path`` and with its suffix, for the block to create and close.
    """
    draft = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
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
    """Have the disk keep a file's content, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
