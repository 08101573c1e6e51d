"""Stores deliveries of alerts in the catalog until they are made: a queue a watch, and those that were given up."""

from __future__ import annotations

import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from footage.indexer.store.base import Catalog
from footage.query.values.documents import parse_documents
from footage.stream.instants import to_micros

OUTBOX_KIND = "watch-outbox"
"""Kind WATCH-OUTBOX/ID of the documents that store what is to be delivered for a watch, named in order of time."""
DEAD_KIND = "watch-dead"
"""Kind WATCH-DEAD/ID of the documents that store what was given up."""
FLOOR_KIND = "watch-floor"
"""Kind of the documents, one a watch id, that say where its queue begins: everything before is done."""
MAX_DEAD = 100
"""Number of dead deliveries that are kept of a watch, the newest."""
MAX_COUNTED = 10_000
"""Number of waiting deliveries of a watch up to which they are counted."""
LATE = timedelta(seconds=60)
"""Age up to which no floor moves over a name: another service may be about to use an earlier one."""
DROP_INTERVAL = 30.0
"""Seconds between two moves of a queue's beginning."""
STAMP_DIGITS = 17


class Delivery(BaseModel):
    """One alert for one webhook. Its body is fixed when it fires, so that every attempt sends the same bytes.

    The catalog stores these fields.
    """

    id: str
    watch: str
    owner: str
    body: str
    created: datetime
    attempts: int = 0
    error: str = ""
    dead: bool = False


class Outbox:
    """Stores what is to be delivered. Any service adds; the one that delivers reads, removes and moves the beginning.

    The deliveries of a watch are done in order of their names, so what is done is in front of what is not. Everything
    before the first that is left is dropped at once, and the place, the queue's floor, is noted: no read passes over
    what was delivered before (``Catalog.documents``). Who adds a delivery looks at the floor afterwards, and who moves
    the floor looks for deliveries below it afterwards: so one that was named by a clock that is late is never lost.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Use ``open`` before anything is read."""
        self._catalog = catalog
        self._floors: dict[str, str] = {}
        self._removed: dict[str, float] = {}  # owners of what was removed since their floors moved, and since when

    async def open(self) -> None:
        """Read where the queues begin; again by a service that takes the deliveries over."""
        self._floors, self._removed = await _floors(self._catalog), {}

    async def add(self, delivery: Delivery) -> str:
        """Store a new delivery, and return its name."""
        name = _name(delivery.owner, to_micros(delivery.created), delivery.id)
        await self.update(name, delivery)
        while name < (floor := await self._floor(delivery.owner)):  # this machine's clock is late
            stamp = int(floor.removeprefix(f"{delivery.owner}-")[:STAMP_DIGITS]) + LATE // timedelta(microseconds=1)
            name = _name(delivery.owner, stamp, delivery.id)
            await self.update(name, delivery)
        return name

    async def update(self, name: str, delivery: Delivery) -> None:
        """Store what has become of a delivery."""
        await self._catalog.put_document(f"{OUTBOX_KIND}/{delivery.owner}", name, delivery.model_dump(mode="json"))

    async def remove(self, name: str, delivery: Delivery) -> None:
        """Remove a delivery that was made."""
        await self._catalog.put_document(f"{OUTBOX_KIND}/{delivery.owner}", name, None)
        self._removed.setdefault(delivery.owner, time.monotonic())

    async def bury(self, name: str, delivery: Delivery) -> None:
        """Give a delivery up: keep it among the newest dead ones of its watch."""
        kind = f"{DEAD_KIND}/{delivery.owner}"
        dead = delivery.model_copy(update={"dead": True})
        await self._catalog.put_document(kind, name, dead.model_dump(mode="json"))
        await self.remove(name, delivery)
        for old in list(await self._catalog.documents(kind))[:-MAX_DEAD]:
            await self._catalog.put_document(kind, old, None)

    async def read(self, owner: str, limit: int) -> dict[str, Delivery]:
        """Return the first deliveries of a watch's queue, by name, in order."""
        kind = f"{OUTBOX_KIND}/{owner}"
        found = await self._catalog.documents(kind, first=self._floors.get(owner, ""), limit=limit)
        return parse_documents(OUTBOX_KIND, found, _parse)

    async def drop_done(self, owner: str, left: Collection[str]) -> None:
        """Move the beginning of a queue forward, if that is due.

        Args:
            left: names of what is not done: all of them, or the earliest.
        """
        since = self._removed.get(owner)
        if since is None or time.monotonic() - since < DROP_INTERVAL:
            return
        before = self._floors.get(owner, "")
        floor = min([_name(owner, to_micros(datetime.now(UTC) - LATE), ""), *left])
        del self._removed[owner]
        if floor <= before:
            return
        await self._put_floor(owner, floor)
        if any(name < floor for name in await self.read(owner, 1)):
            await self._put_floor(owner, before)  # it was added meanwhile, and is read next
            return
        await self._catalog.remove_documents(f"{OUTBOX_KIND}/{owner}", before=floor)
        self._floors[owner] = floor

    async def _put_floor(self, owner: str, name: str) -> None:
        await self._catalog.put_document(FLOOR_KIND, owner, {"name": name})

    async def _floor(self, owner: str) -> str:
        return str((await self._catalog.document(FLOOR_KIND, owner) or {}).get("name", ""))


def _name(owner: str, stamp: int, id: str) -> str:
    """Returns the name of a delivery; ``stamp`` in microseconds."""
    return f"{owner}-{stamp:0{STAMP_DIGITS}d}-{id}"


async def delivery_counts(catalog: Catalog, owners: Collection[str]) -> dict[str, tuple[int, int, str]]:
    """Returns per watch id the number of pending and of dead deliveries, and why the newest attempt failed.

    Of more than ``MAX_COUNTED`` pending deliveries the first are counted.
    """
    counts: dict[str, tuple[int, int, str]] = {}
    floors = await _floors(catalog) if owners else {}
    for owner in owners:
        kinds = ((OUTBOX_KIND, floors.get(owner, ""), MAX_COUNTED), (DEAD_KIND, "", None))
        waiting, dead = [
            parse_documents(kind, await catalog.documents(f"{kind}/{owner}", first=first, limit=limit), _parse)
            for kind, first, limit in kinds
        ]
        errors = [delivery.error for _, delivery in sorted((dead | waiting).items()) if delivery.error]
        if waiting or dead:
            counts[owner] = len(waiting), len(dead), errors[-1] if errors else ""
    return counts


async def discard_deliveries(catalog: Catalog, owner: str) -> None:
    """Deletes the deliveries of a watch that was removed."""
    for kind in (OUTBOX_KIND, DEAD_KIND):
        await catalog.remove_documents(f"{kind}/{owner}")
    await catalog.put_document(FLOOR_KIND, owner, None)


_parse = Delivery.model_validate


async def _floors(catalog: Catalog) -> dict[str, str]:
    found = await catalog.documents(FLOOR_KIND)  # one that cannot be read is none: what was done is removed again
    return {owner: str(document.get("name", "")) for owner, document in found.items()}
