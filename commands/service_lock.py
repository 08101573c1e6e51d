"""Lets one ``footage serve`` at a time use a data folder and a folder of recordings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from footage.commands.composition import recordings_folder
from footage.commands.errors import UsageError, print_message
from footage.config.settings import Settings
from footage.indexer.file_lock import lock_file, read_holder
from footage.stream.private import make_folder

LOCK_NAME = "service.lock"
LOCK_TIMEOUT = 10.0
"""Seconds for which a service that is stopping may still use its folders."""
TELL_AFTER = 0.5
"""Seconds of waiting after which the user is told for whom."""


@asynccontextmanager
async def lock_service_folders(settings: Settings, patience: float = LOCK_TIMEOUT) -> AsyncIterator[None]:
    """Be the only service of these folders while the block runs.

    Two services would take each other's open segments for those of a killed process, record cameras twice and deliver
    alerts twice. Commands that index, search and forget do not ask for this lock.

    Args:
        patience: seconds to wait for a service that may be about to end.

    Raises:
        UsageError: another service uses one of the folders; the message names it.
    """
    async with AsyncExitStack() as stack:
        for folder, option in _folders(settings):
            await asyncio.to_thread(make_folder, folder)
            await _lock(stack, folder, option, patience)
        yield


def _folders(settings: Settings) -> Iterator[tuple[Path, str]]:
    """Folders that one service at a time may use, and the setting that names each."""
    yield settings.data, "--data"
    if settings.store == "embedded" or settings.cameras or settings.worker:  # cameras may be added over HTTP later
        yield recordings_folder(settings), "recordings"


async def _lock(stack: AsyncExitStack, folder: Path, option: str, patience: float) -> None:
    path = folder / LOCK_NAME
    waiting = asyncio.create_task(_tell_wait(folder, path))
    try:
        async with asyncio.timeout(patience):
            await stack.enter_async_context(lock_file(path, pause=0.1, sign=True))
    except TimeoutError:
        raise UsageError(
            f"{_describe_user(folder, path)}; stop that one first, or give each its own folder ({option})"
        ) from None
    finally:
        waiting.cancel()


async def _tell_wait(folder: Path, path: Path) -> None:
    await asyncio.sleep(TELL_AFTER)
    print_message(f"{_describe_user(folder, path)}; waiting for it to end")


def _describe_user(folder: Path, path: Path) -> str:
    holder = read_holder(path)
    return f"another footage serve uses {folder}" + (f" ({holder})" if holder else "")
