"""Holds a service's leases in a cluster, and creates the worker that takes its share of the shared cameras."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial

from footage.commands import shared_cameras
from footage.commands.errors import print_message
from footage.config.cameras import CameraSettings
from footage.config.settings import Settings
from footage.indexer.camera import Camera
from footage.indexer.cluster.fence import Fence
from footage.indexer.cluster.leases import Leases
from footage.indexer.cluster.worker import Hook, Worker
from footage.indexer.live.service import LiveService
from footage.indexer.store.base import Catalog
from footage.indexer.supervisor import Supervisor
from footage.query.watches.evaluator import WatchEvaluator


@asynccontextmanager
async def open_leases(settings: Settings, catalog: Catalog, supervisor: Supervisor) -> AsyncIterator[Leases | None]:
    """Renew this service's leases while the block runs, then give them up; None where nothing is shared."""
    if settings.store == "embedded":
        yield None
        return
    leases = Leases(catalog, f"{settings.worker or 'service'}~{secrets.token_hex(4)}")
    renewal = supervisor.start("leases", leases.run, max_pause=leases.seconds / 4)  # as often as it renews
    try:
        yield leases
    finally:
        await leases.close()
        await renewal.cancel()


async def create_worker(
    name: str,
    catalog: Catalog,
    leases: Leases,
    fence: Fence,
    live: LiveService,
    watches: WatchEvaluator,
    supervisor: Supervisor,
    keep: dict[str, timedelta | None],
    note_recorder: Hook,
) -> Worker:
    """A worker over started services; the caller runs and stops it.

    Args:
        keep: is filled with how long each shared camera is kept.
        note_recorder: awaited with a camera's name before it is recorded here.
    """

    async def on_added(camera: str) -> None:
        await note_recorder(camera)
        await watches.on_camera_added(camera)

    list_cameras = partial(_list_cameras, shared_cameras.SharedCameras(catalog), keep, set[str]())
    print_message(f"worker '{name}' takes its share of {len(await list_cameras())} shared cameras")
    return Worker(
        catalog,
        leases,
        fence,
        live,
        list_cameras,
        on_added=on_added,
        on_removed=watches.on_camera_removed,
        on_lost=watches.on_camera_lost,
        supervisor=supervisor,
    )


async def _list_cameras(
    shared: shared_cameras.SharedCameras, keep: dict[str, timedelta | None], reported: set[str]
) -> dict[str, Camera]:
    """The shared cameras by name; ``keep`` gets how long they are kept, ``reported`` why some were left out."""
    cameras = {c.name: indexer_camera(c) for c in await shared.read(reported)}
    keep.clear()
    keep.update({name: c.keep for name, c in cameras.items()})
    return cameras


def indexer_camera(c: CameraSettings) -> Camera:
    """A camera of the settings as the indexer takes it."""
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
