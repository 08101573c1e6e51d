"""Lists cameras with what is indexed of them, and publishes the status of live cameras in the catalog."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.errors import PASSING, StoreError
from footage.query.http.schemas import CameraOut, CamerasOut, LiveOut, LoadOut, StageOut
from footage.query.values.documents import parse_documents

if TYPE_CHECKING:  # importing them costs a second, which footage status should not pay
    from footage.indexer.live.cameras import CameraState
    from footage.indexer.live.service import LiveService
    from footage.indexer.supervisor import Supervisor

log = logging.getLogger(__name__)

STATUS_KIND = "status"
"""Kind of the catalog documents, one a service, in which it publishes the status of its cameras for other processes."""
MAX_DOCUMENT_AGE = timedelta(days=1)
"""Age at which the document of a service that is gone is deleted."""
MAX_STATUS_AGE = timedelta(seconds=15)
"""Age at which a published status is ignored."""
PUBLISH_INTERVAL = 2.0
"""Seconds between two publications."""
WITHDRAW_TIMEOUT = 2.0
"""Seconds that a service which ends waits for the catalog to forget its status."""


class _Published(BaseModel):
    """What a service publishes of itself."""

    at: datetime
    load: LoadOut
    cameras: dict[str, LiveOut]
    failing: list[StageOut] = []


async def list_cameras(
    store: Store,
    catalog: Catalog,
    live: LiveService | None = None,
    can_see: Callable[[str], bool] = lambda _: True,
    worker: str = "",
    misconfigured: Mapping[str, str] = MappingProxyType({}),
    supervisor: Supervisor | None = None,
    refused: Mapping[str, int] = MappingProxyType({}),
) -> CamerasOut:
    """Every camera that ``can_see`` allows. Live status comes from ``live``, else from what other processes published.

    Args:
        worker: the name of this process, if several share the cameras.
        refused: numbers of records that are set aside, by camera.
        misconfigured: why cameras of the settings cannot be watched, by name.
        supervisor: holds the background stages of this process.
    """
    indexed = {c.camera: c for c in await catalog.cameras()}
    here = {s.name: _live_status(s, worker) for s in live.cameras()} if live else {}
    published = [] if live and not worker else await _published(catalog)
    now = {name: status for service in published for name, status in service.cameras.items()} | here
    now = {name: _misconfigured(text) for name, text in misconfigured.items()} | now
    names = sorted(filter(can_see, {*indexed, *now, *refused}))
    counted = [name for name in names if name in indexed]
    records = await store.counts(counted) if counted else {}
    rows = []
    for name in names:
        c = indexed.get(name)
        rows.append(
            CameraOut(
                camera=name,
                media=c.media if c else 0,
                records=records.get(name, 0),
                start=c.start if c else None,
                end=c.end if c else None,
                clocks=list(c.clocks) if c else [],
                refused=refused.get(name, 0),
                live=now.get(name),
            )
        )
    failing = failing_stages(supervisor, live)
    if not live:
        failing += [stage for service in published for stage in service.failing]
    return CamerasOut(
        cameras=rows,
        load=_load(live) if live else _busiest(published),
        failing=[stage for stage in failing if not stage.camera or can_see(stage.camera)],
    )


def failing_stages(supervisor: Supervisor | None, live: LiveService | None = None) -> list[StageOut]:
    """The background stages that died and are not well again, and the cameras whose reader failed itself."""
    stages = [s for s in supervisor.stages if s.error] if supervisor else []
    failing = [
        StageOut(stage=s.name, camera=s.camera, state=s.state.value, error=s.error, since=s.since) for s in stages
    ]
    for name, status in ((c.name, c.status) for c in live.cameras()) if live else ():
        if status.fault:
            fault = StageOut(stage="camera", camera=name, state="restarting", error=status.fault, since=status.since)
            failing.append(fault)
    return failing


def _misconfigured(text: str) -> LiveOut:
    """The status of a camera whose settings are wrong."""
    nothing = dict.fromkeys(("last_frame", "last_packet", "skew", "fps"))
    counts = dict.fromkeys(("reconnects", "dropped", "rate", "seen", "kept", "width", "height"), 0)
    texts = {"state": "misconfigured", "error": text, "recording": "not recorded", "clock": "", "codec": ""}
    return LiveOut.model_validate({"since": datetime.now(UTC), **nothing, **counts, **texts})


def _load(live: LiveService) -> LoadOut:
    return LoadOut.model_validate(live.load(), from_attributes=True)


def _live_status(s: CameraState, worker: str) -> LiveOut:
    facts = {name: getattr(s.status, name, None) for name in LiveOut.model_fields}
    own: dict[str, Any] = {"worker": worker}
    own |= {"recording": s.recording, "rate": round(s.rate, 2), "seen": s.seen, "kept": s.kept, "dropped": s.dropped}
    return LiveOut.model_validate(facts | {"state": s.status.state.value, "clock": s.status.clock.value} | own)


async def published_cameras(catalog: Catalog) -> set[str]:
    """The names of the cameras that services which run now have published."""
    return {name for service in await _published(catalog) for name in service.cameras}


async def published_load(catalog: Catalog) -> LoadOut | None:
    """The load of the busiest of the services that run now and have published it."""
    return _busiest(await _published(catalog))


def _busiest(services: Iterable[_Published]) -> LoadOut | None:
    return max((service.load for service in services), key=lambda load: load.busy, default=None)


async def _published(catalog: Catalog) -> list[_Published]:
    """What the services that run now have published, the oldest first."""
    found = parse_documents(STATUS_KIND, await catalog.documents(STATUS_KIND), _Published.model_validate)
    oldest = datetime.now(UTC) - MAX_STATUS_AGE
    return sorted((status for status in found.values() if status.at > oldest), key=lambda status: status.at)


async def publish_status(
    catalog: Catalog, live: LiveService, worker: str = "", supervisor: Supervisor | None = None
) -> None:
    """Publish the status of the live cameras every few seconds, until cancelled; then withdraw it."""
    name, cleaned = worker or f"{platform.node()}~{os.getpid()}", False
    try:
        while True:
            try:
                await catalog.put_document(STATUS_KIND, name, _status_document(live, worker, supervisor))
                cleaned = cleaned or await _delete_old(catalog)
            except PASSING as error:  # these are told elsewhere
                log.debug("the status of the cameras is not published: %s", error)
            except StoreError:
                log.warning("the status of the cameras could not be published for other processes", exc_info=True)
            await asyncio.sleep(PUBLISH_INTERVAL)
    finally:
        with suppress(StoreError, TimeoutError):  # else it is ignored when it is old
            async with asyncio.timeout(WITHDRAW_TIMEOUT):
                await catalog.put_document(STATUS_KIND, name, None)


async def _delete_old(catalog: Catalog) -> bool:
    """Delete the documents of services that are long gone, or that cannot be read; returns True."""
    documents = await catalog.documents(STATUS_KIND)
    readable = parse_documents(STATUS_KIND, documents, _Published.model_validate)
    oldest = datetime.now(UTC) - MAX_DOCUMENT_AGE
    for name in documents:
        if name not in readable or readable[name].at < oldest:
            await catalog.put_document(STATUS_KIND, name, None)
    return True


def _status_document(live: LiveService, worker: str, supervisor: Supervisor | None) -> dict[str, Any]:
    cameras = {state.name: _live_status(state, worker) for state in live.cameras()}
    failing = failing_stages(supervisor, live)
    published = _Published(at=datetime.now(UTC), load=_load(live), cameras=cameras, failing=failing)
    return published.model_dump(mode="json")
