"""Stores the cluster catalog, of media, coverage, documents and leases, in Cassandra tables."""

from __future__ import annotations

import secrets
from collections import OrderedDict

from footage.indexer.embed.base import Space
from footage.indexer.store.base import CameraSummary
from footage.indexer.store.cassandra.cameras import summarize
from footage.indexer.store.cassandra.coverage import CoverageRows
from footage.indexer.store.cassandra.documents import DocumentRows
from footage.indexer.store.cassandra.leases import LeaseRows
from footage.indexer.store.cassandra.media import MediaRows
from footage.indexer.store.cassandra.session import CassandraSession
from footage.indexer.store.cassandra.version import bucket_duration
from footage.indexer.store.errors import StoreError
from footage.indexer.store.space_binding import check_binding
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST


class CassandraCatalog(MediaRows, CoverageRows, DocumentRows, LeaseRows):
    """A catalog in one keyspace, shared by any number of processes on any number of machines.

    What two may change at once (the files of a camera, a lease) changes by lightweight transactions; what a live
    camera adds is written by the one service that holds it, or in notes that never exclude each other.
    """

    def __init__(self, session: CassandraSession) -> None:
        """Use ``open`` instead."""
        self._session = session
        self._known_cameras, self._known_months, self._live_facts = set(), {}, {}
        self._open, self._noted = OrderedDict(), OrderedDict()
        self._writer, self._last_stamp = secrets.token_hex(6), 0

    @classmethod
    async def open(cls, session: CassandraSession) -> CassandraCatalog:
        """Open the catalog that ``schema.create_tables`` created; closing it leaves the session open.

        Raises:
            StoreError: its tables are missing, or of another version.
        """
        if await bucket_duration(session) is None:
            raise StoreError(f"{session.location}: its tables were not finished; run `footage store init`")
        return cls(session)

    async def bind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to a space the first time; refuse any other one later with SpaceMismatch."""
        bind = "INSERT INTO @pin (part, name, dim, fingerprint) VALUES ('all', ?, ?, ?) IF NOT EXISTS"
        known = "SELECT name, dim, fingerprint FROM @pin WHERE part = 'all'"
        found = await self._session.select(known)
        while not found:
            await self._session.execute_if((bind, (space.name, space.dim, fingerprint)))
            found = await self._session.select(known, profile="serial")
        ((name, dim, before),) = found
        check_binding(Space(name, dim), before, space, fingerprint)

    async def bound_space(self) -> Space | None:
        """Return the space that this index is bound to, or None for a new index."""
        found = await self._session.select("SELECT name, dim FROM @pin WHERE part = 'all'", urgent=True)
        return Space(*found[0]) if found else None

    async def bound_fingerprint(self) -> bytes:
        """Return the fingerprint that this index is bound with; empty for a new index."""
        found = await self._session.select("SELECT fingerprint FROM @pin WHERE part = 'all'")
        return bytes(found[0][0]) if found else b""

    async def rebind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to another space, atomically; the old one is refused afterwards."""
        bind = "UPDATE @pin SET name = ?, dim = ?, fingerprint = ? WHERE part = 'all' IF EXISTS"
        while not await self._session.execute_if((bind, (space.name, space.dim, fingerprint))):
            if await self.bound_space() is None:
                await self.bind_space(space, fingerprint)

    async def cameras(self) -> list[CameraSummary]:
        """Return every camera that has media or coverage, by name; start and end are those of its media."""
        known = await self._all_facts()
        bare = [camera for camera, facts in known.items() if facts.start is None]
        covered = {each.camera for each in await self.coverage(bare, DISTANT_PAST, DISTANT_FUTURE)} if bare else set()
        return [
            summarize(camera, facts)
            for camera, facts in sorted(known.items())
            if facts.start is not None or camera in covered
        ]

    async def close(self) -> None:
        """Do nothing: the owner of the session closes it."""
