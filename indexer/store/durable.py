"""Flushes what LanceDB has written to the disk, so that it survives a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from footage.stream.atomic import fsync

MTIME_SLACK = 0.1  # seconds: the clock that file times come from is coarser than time.time()


def fsync_written(folder: Path, since: float) -> None:
    """Fsync every file written since a time in the folders of ``folder``, and those folders.

    LanceDB leaves this to the operating system, which may take half a minute and may keep a table's newest list of
    files without the files.

    Args:
        folder: a table's folder; files directly in its subfolders are flushed, deeper ones are not.
        since: seconds since 1970, as ``time.time()`` gives them.
    """
    for place in (entry.path for entry in os.scandir(folder) if entry.is_dir()):
        fresh = False
        for entry in os.scandir(place):
            with suppress(FileNotFoundError):  # maintenance in another process may remove it meanwhile
                if entry.is_file() and entry.stat().st_mtime >= since - MTIME_SLACK:
                    fsync(entry.path)
                    fresh = True
        if fresh:
            fsync(place)
