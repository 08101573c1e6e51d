"""Announces this service to the others of a cluster, and tells which of them recorded a camera at a time."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from footage.indexer.shared_reading import SharedReading
from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import StoreError
from footage.stream.frame import Kind, Media

log = logging.getLogger(__name__)

SERVICE_KIND = "service"
"""Kind of the catalog documents in which services announce their address and public key. They outlive a service that
dies, so that its footage can still be said to be with it."""
RECORDER_KIND = "recorder"
"""Kind of the catalog documents, one a camera, that list which service began to record it when."""
ADDRESS_PATTERN = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?")
"""Scheme, host and port. Nothing else can be announced: no path, no query, no user."""
ANNOUNCE_INTERVAL = 5.0
"""Seconds between announcements; a service that is gone was last heard so long before its end, at most."""
CACHE_SECONDS = 10.0
"""Seconds for which what was read of the catalog is used."""
MAX_TURNS = 200
"""Changes of a camera's recorder that are kept; where older ones are needed, every service is asked."""
MAX_CALLER_AGE = timedelta(hours=1)
"""Age at which the announcement of a command that was killed is removed."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the cluster, or a command that asks services.

    Attributes:
        address: scheme, host and port of its HTTP API; empty for a command, which cannot be asked.
        machine: the machine's name.
        key: the public key that verifies its requests, in base64.
        heard: when it last announced itself, by its own clock.
    """

    name: str
    address: str
    machine: str
    key: str
    heard: datetime


class ServiceDirectory:
    """Lists the services of a cluster, and announces this one. Used in one event loop.

    Args:
        name: of this service, unique in the cluster and the same after a restart.
        machine: the name of this machine.
        key: the public key of this process, in base64.
    """

    def __init__(self, catalog: Catalog, name: str, machine: str, key: str) -> None:
        self._catalog, self.name, self.machine, self._key = catalog, name, machine, key
        self.address = ""
        self._announced = False
        self._services: tuple[float, dict[str, Service]] = (float("-inf"), {})
        self._misses = SharedReading(lambda: self.services(max_age=-1.0), lambda: self._services[0])
        self._recorders: dict[str, tuple[float, list[tuple[datetime, str]]]] = {}

    async def announce(self) -> None:
        """Announce this service as it is now."""
        now = datetime.now(UTC)
        document = {"address": self.address, "machine": self.machine, "key": self._key, "at": now.isoformat()}
        await self._catalog.put_document(SERVICE_KIND, self.name, document)
        self._announced = True

    async def announce_once(self) -> None:
        """Announce this process if it was not announced yet, so that its requests can be verified."""
        if not self._announced:
            await self.announce()

    async def run(self) -> None:
        """Announce this service every few seconds, until cancelled."""
        while True:
            try:
                await self.announce()
                await self._remove_old_callers()
            except StoreError as error:
                log.warning("this service could not be announced to the others: %s", error)
            await asyncio.sleep(ANNOUNCE_INTERVAL)

    async def leave(self) -> None:
        """Remove what ``announce_once`` announced of a command; a service stays, since its footage does."""
        if self._announced and not self.address:
            await self._catalog.put_document(SERVICE_KIND, self.name, None)
            self._announced = False

    async def services(self, max_age: float = CACHE_SECONDS) -> dict[str, Service]:
        """Return every announced service and command by name, this one too; read ``max_age`` seconds ago at most."""
        read_at, found = self._services
        if time.monotonic() - read_at > max_age:
            read_at = time.monotonic()
            documents = await self._catalog.documents(SERVICE_KIND)
            found = {name: one for name, text in documents.items() if (one := _parse_service(name, text))}
            self._services = read_at, found
        return found

    async def services_now(self) -> dict[str, Service]:
        """Return what ``services`` does by a reading that began after this call; who waits meanwhile shares it."""
        await self._misses.since(time.monotonic())
        return self._services[1]

    async def note_recorder(self, camera: str) -> None:
        """Note that this service records a camera from now on. One service at a time may: the holder of its lease."""
        turns = (await self._catalog.document(RECORDER_KIND, camera) or {}).get("turns", [])
        if not turns or turns[-1][1] != self.name:
            turns = [*turns, [datetime.now(UTC).isoformat(), self.name]][-MAX_TURNS:]
            await self._catalog.put_document(RECORDER_KIND, camera, {"turns": turns})

    async def recorders(self, media: Media) -> list[str]:
        """Return the services that recorded a media's camera, the one that recorded the media first, then by distance.

        That is exact where the camera's clock agrees with the services'; else the file may be with a neighbor. Empty
        for a media that is not recorded footage, and where it is not known.
        """
        if media.kind is not Kind.SEGMENT:
            return []
        turns = await self._turns(media.camera)
        at = max(0, bisect_right(turns, media.start, key=lambda turn: turn[0]) - 1)
        near = sorted(range(len(turns)), key=lambda i: abs(i - at))
        return list(dict.fromkeys(turns[i][1] for i in near))

    async def _turns(self, camera: str) -> list[tuple[datetime, str]]:
        read_at, turns = self._recorders.get(camera, (float("-inf"), []))
        if time.monotonic() - read_at > CACHE_SECONDS:
            read_at = time.monotonic()
            document = await self._catalog.document(RECORDER_KIND, camera) or {"turns": []}
            turns = [(datetime.fromisoformat(since), name) for since, name in document["turns"]]
            self._recorders[camera] = read_at, turns
        return turns

    async def _remove_old_callers(self) -> None:
        for one in (await self.services()).values():
            if not one.address and datetime.now(UTC) - one.heard > MAX_CALLER_AGE:
                await self._catalog.put_document(SERVICE_KIND, one.name, None)


def _parse_service(name: str, document: Mapping[str, Any]) -> Service | None:
    """The service that a document announces; None for one that is not valid: its address is not to be called."""
    try:
        heard = datetime.fromisoformat(document["at"])
        address, machine, key = (str(document[field]) for field in ("address", "machine", "key"))
    except (KeyError, TypeError, ValueError):
        return None
    if heard.tzinfo is None or (address and not ADDRESS_PATTERN.fullmatch(address)):
        return None
    return Service(name, address, machine, key, heard)
