"""``footage serve --worker``: what is leased, and the worker that takes its share of the shared cameras."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from footage.commands import parts as made
from footage.commands import shared
from footage.commands.errors import say
from footage.config.settings import CameraSettings, Settings, SettingsError
from footage.indexer import file_lock
from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases
from footage.indexer.cluster.worker import Worker
from footage.indexer.live.service import Live
from footage.indexer.store.base import Catalog
from footage.query.watches.evaluator import Watches

STOPPING = 10.0
"""Seconds that a service which was told to stop may still use its data folder."""


@asynccontextmanager
async def leasing(settings: Settings, parts: made.Parts) -> AsyncIterator[Leases | None]:
    """Keep what is leased in a cluster while the block runs, and give it up; None where nothing is shared.

    The data folder is this service's own meanwhile, because its spool and its recordings are.
    """
    if settings.store == "embedded":
        yield None
        return
    leases = Leases(parts.catalog, f"{settings.worker or 'service'}~{secrets.token_hex(4)}")
    async with alone(settings.data), running(leases.run()):
        try:
            yield leases
        finally:
            await leases.close()


@asynccontextmanager
async def alone(data: Path) -> AsyncIterator[None]:
    """Be the only service of a data folder while the block runs.

    Raises:
        SettingsError: there is another one.
    """
    await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.timeout(STOPPING):  # one that was told to stop may still be at it
                await stack.enter_async_context(file_lock.held(data / "service.lock", pause=0.1))
        except TimeoutError:
            raise SettingsError(f"another footage serve uses {data}; give each its own folder (--data)") from None
        yield


@asynccontextmanager
async def running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that go on while the block runs."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def joined(
    name: str,
    catalog: Catalog,
    leases: Leases,
    fence: Fence,
    live: Live,
    watches: Watches,
    keep: dict[str, timedelta | None],
) -> Worker:
    """A worker over started parts; whoever called this runs and stops it.

    Args:
        keep: learns how long each shared camera is kept.
    """
    listed = partial(_listed, catalog, keep, set[str]())
    say(f"worker '{name}' takes its share of {len(await listed())} shared cameras")
    return Worker(catalog, leases, fence, live, listed, took=watches.took, gave=watches.gave, lost=watches.lost)


async def _listed(catalog: Catalog, keep: dict[str, timedelta | None], said: set[str]) -> dict[str, Camera]:
    """The shared cameras; ``keep`` learns how long theirs are kept, ``said`` which cannot be watched here."""
    found = {c.name: camera(c) for c in await shared.cameras(catalog, said)}
    keep.clear()
    keep.update({name: c.keep for name, c in found.items()})
    return found


def camera(c: CameraSettings) -> Camera:
    """A camera of the settings as the indexer wants it."""
    return Camera(
        name=c.name,
        url=c.url.get_secret_value(),
        every=c.every,
        max_gap=c.max_gap,
        ignore=c.ignore,
        record=c.record,
        keep=timedelta(seconds=c.keep) if c.keep else None,
        regions=c.regions,
        transport=c.transport,
        stall=c.stall,
    )
