"""What is held of every camera, and what the live ones do now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from footage.indexer.live.service import CameraState, Live
from footage.indexer.store.base import Catalog, Store, StoreError, Where
from footage.query.http.schemas import CameraOut, CamerasOut, LiveOut, LoadOut
from footage.query.values.times import iso

log = logging.getLogger(__name__)

KIND, LOAD = "live", "load"
"""Documents of the catalogue in which a service tells other processes what its cameras do."""
STALE = timedelta(seconds=15)
EVERY = 2.0


async def overview(
    store: Store,
    catalog: Catalog,
    live: Live | None = None,
    sees: Callable[[str], bool] = lambda _: True,
    worker: str = "",
) -> CamerasOut:
    """Every camera that ``sees`` allows: from ``live`` where this process runs it, else from what another told last.

    Args:
        worker: the name of this process, where several share the cameras.
    """
    held = {c.camera: c for c in await catalog.cameras()}
    here = {s.name: _live(s, worker) for s in live.cameras()} if live else {}
    now = here if live and not worker else await _told(catalog) | here
    rows = []
    for name in sorted(filter(sees, {*held, *now})):
        c = held.get(name)
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
    load = _load(live) if live else await _told_load(catalog)
    return CamerasOut(cameras=rows, load=load)


def _load(live: Live) -> LoadOut:
    return LoadOut.model_validate(live.load(), from_attributes=True)


async def _told_load(catalog: Catalog) -> LoadOut | None:
    """That of the busiest service."""
    fresh = [d for d in (await catalog.get(LOAD)).values() if _at(d) > datetime.now(UTC) - STALE]
    return max((LoadOut.model_validate(d["load"]) for d in fresh), key=lambda load: load.busy, default=None)


def _live(s: CameraState, worker: str) -> LiveOut:
    facts = {name: getattr(s.status, name, None) for name in LiveOut.model_fields}
    own: dict[str, Any] = {"worker": worker}
    own |= {"recording": s.recording, "rate": round(s.rate, 2), "seen": s.seen, "kept": s.kept, "dropped": s.dropped}
    return LiveOut.model_validate(facts | {"state": s.status.state.value, "clock": s.status.clock.value} | own)


async def _told(catalog: Catalog) -> dict[str, LiveOut]:
    told = await catalog.get(KIND)
    fresh = datetime.now(UTC) - STALE
    return {n: LiveOut.model_validate(d["live"]) for n, d in told.items() if _at(d) > fresh}


def _at(document: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(document["at"])


async def tell(catalog: Catalog, live: Live, worker: str = "") -> None:
    """Tell other processes every few seconds what the cameras do, until cancelled."""
    while True:
        try:
            await _tell(catalog, live, worker)
        except StoreError:
            log.warning("other processes could not be told what the cameras do", exc_info=True)
        await asyncio.sleep(EVERY)


async def _tell(catalog: Catalog, live: Live, worker: str) -> None:
    now = iso(datetime.now(UTC))
    for state in live.cameras():
        await catalog.put(KIND, state.name, {"at": now, "live": _live(state, worker).model_dump(mode="json")})
    await catalog.put(LOAD, worker or "service", {"at": now, "load": _load(live).model_dump(mode="json")})
