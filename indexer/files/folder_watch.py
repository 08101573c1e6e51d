"""Watches a folder that a recorder writes into, and yields its files when they have stopped growing."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from stat import S_ISREG
from typing import Any

import watchfiles

from footage.stream.files.file_filter import FileFilter
from footage.stream.printable import printable

log = logging.getLogger(__name__)

QUIET_SECONDS = 2.0
"""Time without growth after which a file counts as finished."""


async def finished_files(
    folder: Path, stop: asyncio.Event, quiet: float = QUIET_SECONDS, exclude: Sequence[str] = ()
) -> AsyncIterator[list[Path]]:
    """Yield files below ``folder``, present now or written later, once they have stopped growing; ends with ``stop``.

    Args:
        quiet: seconds for which a file must have kept its size and modification time.
        exclude: patterns of what is left out, as of `FileFilter`.
    """
    folder = await asyncio.to_thread(folder.resolve)
    chosen = await asyncio.to_thread(FileFilter, folder, exclude)
    options: dict[str, Any] = {"rust_timeout": 200, "yield_on_timeout": True, "ignore_permission_denied": True}
    watch = watchfiles.awatch(folder, stop_event=stop, watch_filter=None, **options)
    pending = dict.fromkeys(await asyncio.to_thread(_list_media, chosen), ((-1, -1), 0.0))
    async for changes in watch:
        for kind, name in changes:
            path = Path(name)
            if kind is watchfiles.Change.deleted:
                pending.pop(path, None)
            elif chosen.is_media(path):
                pending.setdefault(path, ((-1, -1), 0.0))
        if finished := await asyncio.to_thread(_take_finished, pending, quiet):
            yield finished


def _list_media(chosen: FileFilter) -> list[Path]:
    return [path for path in chosen.root.rglob("*") if chosen.is_media(path)]


def _take_finished(pending: dict[Path, tuple[tuple[int, int], float]], quiet: float) -> list[Path]:
    """Remove and return the files that have not changed for ``quiet`` seconds; note the new state of the others."""
    now = time.monotonic()
    finished = []
    for path, (state, since) in list(pending.items()):
        try:
            stat = path.stat()
        except OSError as error:  # deleted, or a link to itself, or not permitted: of no concern to the others
            del pending[path]
            if not isinstance(error, FileNotFoundError):
                log.warning("%s cannot be read: %s", printable(path), error.strerror)
            continue
        if not S_ISREG(stat.st_mode):
            del pending[path]
        elif (stat.st_size, stat.st_mtime_ns) != state:
            pending[path] = ((stat.st_size, stat.st_mtime_ns), now)
        elif now - since >= quiet:
            del pending[path]
            finished.append(path)
    return sorted(finished)
