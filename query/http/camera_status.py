"""Lists cameras with what is indexed of them, and publishes the status of live cameras in the catalog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from footage.indexer.store.base import Catalog, Store, StoreError, StoreFull, Where
from footage.query.http.schemas import CameraOut, CamerasOut, LiveOut, LoadOut
from footage.query.values.documents import parse_documents
from footage.query.values.times import format_time

if TYPE_CHECKING:  # importing them costs a second, which footage status should not pay
    from footage.indexer.live.cameras import CameraState
    from footage.indexer.live.service import LiveService

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
) -> CamerasOut:
    """Every camera that ``can_see`` allows. Live status comes from ``live``, else from what other processes published.

    Args:
        worker: the name of this process, if several share the cameras.
        misconfigured: why cameras of the settings cannot be watched, by name.
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
    load = _load(live) if live else await _published_load(catalog)
    return CamerasOut(cameras=rows, load=load)


def _misconfigured(text: str) -> LiveOut:
    """The status of a camera whose settings are wrong."""
    nothing = dict.fromkeys(("last_frame", "last_packet", "skew", "fps"))
    counts = dict.fromkeys(("reconnects", "dropped", "rate", "seen", "kept", "width", "height"), 0)
    texts = {"state": "misconfigured", "error": text, "recording": "not recorded", "clock": "", "codec": ""}
    return LiveOut.model_validate({"since": datetime.now(UTC), **nothing, **counts, **texts})


def _load(live: LiveService) -> LoadOut:
    return LoadOut.model_validate(live.load(), from_attributes=True)


async def _published_load(catalog: Catalog) -> LoadOut | None:
    """The load of the busiest service."""
    oldest = datetime.now(UTC) - MAX_STATUS_AGE
    published = parse_documents(LOAD_KIND, await catalog.documents(LOAD_KIND), _parse_load)
    return max((load for at, load in published.values() if at > oldest), key=lambda load: load.busy, default=None)


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


def _parse_load(document: Mapping[str, Any]) -> tuple[datetime, LoadOut]:
    return datetime.fromisoformat(document["at"]), LoadOut.model_validate(document["load"])


async def publish_status(catalog: Catalog, live: LiveService, worker: str = "") -> None:
    """Publish the status of the live cameras every few seconds, until cancelled."""
    while True:
        try:
            await _publish(catalog, live, worker)
        except StoreFull:
            log.debug("the status of the cameras is not published: the disk is full")
        except StoreError:
            log.warning("the status of the cameras could not be published for other processes", exc_info=True)
        await asyncio.sleep(PUBLISH_INTERVAL)


async def _publish(catalog: Catalog, live: LiveService, worker: str) -> None:
    now = format_time(datetime.now(UTC))
    for state in live.cameras():
        status = _live_status(state, worker).model_dump(mode="json")
        await catalog.put_document(STATUS_KIND, state.name, {"at": now, "live": status})
    await catalog.put_document(LOAD_KIND, worker or "service", {"at": now, "load": _load(live).model_dump(mode="json")})
