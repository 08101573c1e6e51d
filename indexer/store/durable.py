"""What was written stays written when the power goes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SLACK = 0.1  # seconds: the clock that file times come from is coarser than time.time()


def settle(folder: Path, since: float) -> None:
    """Have the disk keep every file of ``folder`` that was written since a time, and the folders that name them.

    LanceDB leaves this to the operating system, which may take half a minute and may keep a table's newest list of
    files without the files.

    Args:
        folder: a table's folder; its own folders are looked into, theirs are not.
        since: seconds since 1970, as ``time.time()`` gives them.
    """
    for place in (entry.path for entry in os.scandir(folder) if entry.is_dir()):
        fresh = False
        for entry in os.scandir(place):
            with suppress(FileNotFoundError):  # maintenance elsewhere may remove it meanwhile
                if entry.is_file() and entry.stat().st_mtime >= since - SLACK:
                    _sync(entry.path)
                    fresh = True
        if fresh:
            _sync(place)


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
