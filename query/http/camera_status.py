"""Lists cameras with what is indexed of them, and publishes the status of live cameras in the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from footage.indexer.store.base import Catalog, Store, StoreError, StoreFull, Where
from footage.query.http.schemas import CameraOut, CamerasOut, LiveOut, LoadOut, StageOut
from footage.query.values.documents import parse_documents
from footage.query.values.times import format_time

if TYPE_CHECKING:  # importing them costs a second, which footage status should not pay
    from footage.indexer.live.cameras import CameraState
    from footage.indexer.live.service import LiveService
    from footage.indexer.supervisor import Supervisor

log = logging.getLogger(__name__)

STATUS_KIND, LOAD_KIND = "live", "load"
"""Kinds of the catalog documents in which a service publishes the status of its cameras for other processes."""
MAX_STATUS_AGE = timedelta(seconds=15)
"""Age at which a published status is ignored."""
PUBLISH_INTERVAL = 2.0
"""Seconds between two publications."""


async def list_cameras(
    store: Store,
    catalog: Catalog,
    live: LiveService | None = None,
    can_see: Callable[[str], bool] = lambda _: True,
    worker: str = "",
    misconfigured: Mapping[str, str] = MappingProxyType({}),
    supervisor: Supervisor | None = None,
) -> CamerasOut:
    """Every camera that ``can_see`` allows. Live status comes from ``live``, else from what other processes published.

    Args:
        worker: the name of this process, if several share the cameras.
        misconfigured: why cameras of the settings cannot be watched, by name.
        supervisor: holds the background stages of this process.
    """
    indexed = {c.camera: c for c in await catalog.cameras()}
    here = {s.name: _live_status(s, worker) for s in live.cameras()} if live else {}
    now = here if live and not worker else await _published_cameras(catalog) | here
    now = {name: _misconfigured(text) for name, text in misconfigured.items()} | now
    rows = []
    for name in sorted(filter(can_see, {*indexed, *now})):
        c = indexed.get(name)
        rows.append(
            CameraOut(
                camera=name,
                media=c.media if c else 0,
                records=await store.count(Where((name,))) if c else 0,
                start=c.start if c else None,
                end=c.end if c else None,
                clocks=list(c.clocks) if c else [],
                live=now.get(name),
            )
        )
    published = [] if live else await _published_by_services(catalog)
    loads = [_load(live)] if live else [load for load, _ in published]
    failing = [*failing_stages(supervisor, live), *(stage for _, stages in published for stage in stages)]
    return CamerasOut(
        cameras=rows,
        load=max(loads, key=lambda load: load.busy, default=None),
        failing=[stage for stage in failing if not stage.camera or can_see(stage.camera)],
    )


def failing_stages(supervisor: Supervisor | None, live: LiveService | None = None) -> list[StageOut]:
    """The background stages that died and are not well again, and the cameras whose reader failed itself."""
    stages = [s for s in supervisor.stages if s.error] if supervisor else []
    failing = [StageOut(stage=s.name, camera="", state=s.state.value, error=s.error, since=s.since) for s in stages]
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


async def _published_by_services(catalog: Catalog) -> list[tuple[LoadOut, list[StageOut]]]:
    """What each service published of itself: its load, and its failing stages."""
    oldest = datetime.now(UTC) - MAX_STATUS_AGE
    found = parse_documents(LOAD_KIND, await catalog.documents(LOAD_KIND), _parse_service)
    return [(load, failing) for at, load, failing in found.values() if at > oldest]


def _live_status(s: CameraState, worker: str) -> LiveOut:
    facts = {name: getattr(s.status, name, None) for name in LiveOut.model_fields}
    own: dict[str, Any] = {"worker": worker}
    own |= {"recording": s.recording, "rate": round(s.rate, 2), "seen": s.seen, "kept": s.kept, "dropped": s.dropped}
    return LiveOut.model_validate(facts | {"state": s.status.state.value, "clock": s.status.clock.value} | own)


async def _published_cameras(catalog: Catalog) -> dict[str, LiveOut]:
    oldest = datetime.now(UTC) - MAX_STATUS_AGE
    published = parse_documents(STATUS_KIND, await catalog.documents(STATUS_KIND), _parse_live)
    return {name: live for name, (at, live) in published.items() if at > oldest}


def _parse_live(document: Mapping[str, Any]) -> tuple[datetime, LiveOut]:
    return datetime.fromisoformat(document["at"]), LiveOut.model_validate(document["live"])


def _parse_service(document: Mapping[str, Any]) -> tuple[datetime, LoadOut, list[StageOut]]:
    failing = [StageOut.model_validate(stage) for stage in document.get("failing", [])]
    return datetime.fromisoformat(document["at"]), LoadOut.model_validate(document["load"]), failing


async def publish_status(
    catalog: Catalog, live: LiveService, worker: str = "", supervisor: Supervisor | None = None
) -> None:
    """Publish the status of the live cameras every few seconds, until cancelled."""
    while True:
        try:
            await _publish(catalog, live, worker, supervisor)
        except StoreFull:
            log.debug("the status of the cameras is not published: the disk is full")
        except StoreError:
            log.warning("the status of the cameras could not be published for other processes", exc_info=True)
        await asyncio.sleep(PUBLISH_INTERVAL)


async def _publish(catalog: Catalog, live: LiveService, worker: str, supervisor: Supervisor | None) -> None:
    now = format_time(datetime.now(UTC))
    for state in live.cameras():
        status = _live_status(state, worker).model_dump(mode="json")
        await catalog.put_document(STATUS_KIND, state.name, {"at": now, "live": status})
    failing = [stage.model_dump(mode="json") for stage in failing_stages(supervisor, live)]
    document = {"at": now, "load": _load(live).model_dump(mode="json"), "failing": failing}
    await catalog.put_document(LOAD_KIND, worker or "service", document)
