"""Watches a folder that a recorder writes into, and yields its files when they have stopped growing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import watchfiles

from footage.stream import source

QUIET_SECONDS = 2.0
"""Time without growth after which a file counts as finished."""


async def finished_files(folder: Path, stop: asyncio.Event, quiet: float = QUIET_SECONDS) -> AsyncIterator[list[Path]]:
    """Yield files below ``folder``, present now or written later, once they have stopped growing; ends with ``stop``.

    Args:
        quiet: seconds for which a file must have kept its size and modification time.
    """
    folder = await asyncio.to_thread(folder.resolve)
    options: dict[str, Any] = {"rust_timeout": 200, "yield_on_timeout": True, "ignore_permission_denied": True}
    watch = watchfiles.awatch(folder, stop_event=stop, watch_filter=None, **options)
    pending = dict.fromkeys(await asyncio.to_thread(_list_media, folder), ((-1, -1), 0.0))
    async for changes in watch:
        for kind, name in changes:
            path = Path(name)
            if kind is watchfiles.Change.deleted:
                pending.pop(path, None)
            elif source.is_media_file(path, folder):
                pending.setdefault(path, ((-1, -1), 0.0))
        if finished := await asyncio.to_thread(_take_finished, pending, quiet):
            yield finished


def _list_media(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if source.is_media_file(path, folder) and path.is_file()]


def _take_finished(pending: dict[Path, tuple[tuple[int, int], float]], quiet: float) -> list[Path]:
    """Remove and return the files that have not changed for ``quiet`` seconds; note the new state of the others."""
    now = time.monotonic()
    finished = []
    for path, (state, since) in list(pending.items()):
        try:
            stat = path.stat()
        except FileNotFoundError:
            del pending[path]
            continue
        if (stat.st_size, stat.st_mtime_ns) != state:
            pending[path] = ((stat.st_size, stat.st_mtime_ns), now)
        elif now - since >= quiet:
            del pending[path]
            finished.append(path)
    return sorted(finished)
