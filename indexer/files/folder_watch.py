"""A folder that a recorder writes into: files are taken when they have stopped growing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import watchfiles

from footage.stream import source

QUIET = 2.0
"""Seconds without growth after which a file is taken to be finished."""


async def finished(folder: Path, stop: asyncio.Event, quiet: float = QUIET) -> AsyncIterator[list[Path]]:
    """Files below ``folder``, there already or written later, when they have stopped growing; ends with ``stop``.

    Args:
        quiet: seconds for which a file must have kept its size and time.
    """
    folder = await asyncio.to_thread(folder.resolve)
    options: dict[str, Any] = {"rust_timeout": 200, "yield_on_timeout": True, "ignore_permission_denied": True}
    watch = watchfiles.awatch(folder, stop_event=stop, watch_filter=None, **options)
    growing = dict.fromkeys(await asyncio.to_thread(_there, folder), ((-1, -1), 0.0))
    async for changes in watch:
        for kind, name in changes:
            path = Path(name)
            if kind is watchfiles.Change.deleted:
                growing.pop(path, None)
            elif source.is_media(path, folder):
                growing.setdefault(path, ((-1, -1), 0.0))
        if done := await asyncio.to_thread(_still, growing, quiet):
            yield done


def _there(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if source.is_media(path, folder) and path.is_file()]


def _still(growing: dict[Path, tuple[tuple[int, int], float]], quiet: float) -> list[Path]:
    """Takes out what has kept its size for ``quiet`` seconds; notes new sizes."""
    now = time.monotonic()
    done = []
    for path, (size, since) in list(growing.items()):
        try:
            stat = path.stat()
        except FileNotFoundError:
            del growing[path]
            continue
        if (stat.st_size, stat.st_mtime_ns) != size:
            growing[path] = ((stat.st_size, stat.st_mtime_ns), now)
        elif now - since >= quiet:
            del growing[path]
            done.append(path)
    return sorted(done)
