"""Reads the version of the tables and of the server."""

from __future__ import annotations

import re

from footage.indexer.store.cassandra.session import CassandraSession
from footage.indexer.store.cassandra.tables import SCHEMA_VERSION
from footage.indexer.store.errors import StoreError


async def bucket_duration(session: CassandraSession) -> int | None:
    """Return the duration of a partition of vectors in microseconds, or None when the tables are empty.

    Raises:
        StoreError: there are no tables, or another version of Footage created them.
    """
    rows = await session.select("SELECT version, bucket FROM @about WHERE part = 'all'")
    if rows and rows[0][0] > SCHEMA_VERSION:
        raise StoreError(f"{session.location}: a newer version of Footage made its tables; upgrade")
    if rows and rows[0][0] < SCHEMA_VERSION:
        raise StoreError(
            f"{session.location}: an older version of Footage made its tables; stop every service that uses them, "
            "then run `footage store init`, which brings them up to date"
        )
    return int(rows[0][1]) if rows else None


async def tables_version(session: CassandraSession) -> int | None:
    """Return the version of the tables, or None where there are none, or empty ones."""
    if not await table_exists(session, "about"):
        return None
    rows = await session.select("SELECT version FROM @about WHERE part = 'all'")
    return int(rows[0][0]) if rows else None


async def is_outdated(session: CassandraSession) -> bool:
    """Whether the keyspace holds tables of an older version."""
    return (await tables_version(session) or SCHEMA_VERSION) < SCHEMA_VERSION


async def table_exists(session: CassandraSession, table: str) -> bool:
    """Whether the keyspace has a table of this name."""
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    return bool(await session.select(asked, session.keyspace, table))


async def server_version(session: CassandraSession) -> tuple[int, ...]:
    """Return the version of the node that answers, such as (5, 0, 9); (0,) where it does not say."""
    found = await session.select("SELECT release_version FROM system.local")
    digits = re.match(r"\d+(\.\d+)*", str(found[0][0]) if found else "")
    return tuple(int(part) for part in digits.group().split(".")) if digits else (0,)
