"""The cluster catalogue: media, coverage, documents and leases in Cassandra tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from footage.indexer.embed.base import Space
from footage.indexer.store.base import StoreError
from footage.indexer.store.cassandra import schema
from footage.indexer.store.cassandra.coverage import CoverageRows
from footage.indexer.store.cassandra.leases import LeaseRows
from footage.indexer.store.cassandra.media import MediaRows
from footage.indexer.store.cassandra.session import Session
from footage.indexer.store.pin import compare


class CassandraCatalog(MediaRows, CoverageRows, LeaseRows):
    """The catalogue of one keyspace, shared by any number of processes on any number of machines.

    Rows that two may change at once (a camera's media, its coverage, a lease) are changed by lightweight transactions.
    """

    def __init__(self, session: Session) -> None:
        """Use ``open`` instead."""
        self._session = session

    @classmethod
    async def open(cls, session: Session) -> CassandraCatalog:
        """Open the catalogue that ``schema.init`` made; the session stays open when it is closed.

        Raises:
            StoreError: its tables are missing, or of another version.
        """
        if await schema.about(session) is None:
            raise StoreError(f"{session.place}: its tables were not finished; run `footage store init`")
        return cls(session)

    async def pin(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to a space the first time; later, refuse another one with SpaceMismatch."""
        bind = "INSERT INTO @pin (part, name, dim, fingerprint) VALUES ('all', ?, ?, ?) IF NOT EXISTS"
        known = "SELECT name, dim, fingerprint FROM @pin WHERE part = 'all'"
        found = await self._session.rows(known)
        while not found:
            await self._session.decide((bind, (space.name, space.dim, fingerprint)))
            found = await self._session.rows(known, how="serial")
        ((name, dim, before),) = found
        compare(Space(name, dim), before, space, fingerprint)

    async def pinned(self) -> Space | None:
        """The space that this index is bound to, or None for a new index."""
        found = await self._session.rows("SELECT name, dim FROM @pin WHERE part = 'all'")
        return Space(*found[0]) if found else None

    async def repin(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to another space, in one step; the old one is refused from then on."""
        bind = "UPDATE @pin SET name = ?, dim = ?, fingerprint = ? WHERE part = 'all' IF EXISTS"
        while not await self._session.decide((bind, (space.name, space.dim, fingerprint))):
            if await self.pinned() is None:
                await self.pin(space, fingerprint)

    async def put(self, kind: str, name: str, document: Mapping[str, Any] | None) -> None:
        """Keep a small JSON document under (kind, name); None removes it."""
        if document is None:
            await self._session.write("DELETE FROM @documents WHERE kind = ? AND name = ?", kind, name)
            return
        insert = "INSERT INTO @documents (kind, name, content) VALUES (?, ?, ?)"
        await self._session.write(insert, kind, name, json.dumps(document))

    async def get(self, kind: str) -> dict[str, dict[str, Any]]:
        """All documents of a kind, by name, in order of name."""
        pages = self._session.pages("name, content FROM @documents", "kind = ?", (kind,), "name", ("",), page=500)
        return {name: json.loads(content) async for page in pages for name, content in page}

    async def close(self) -> None:
        """Nothing: the session is its owner's."""
