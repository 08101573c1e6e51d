"""Creates the Cassandra tables, checks them, and finds the table of a space."""

from __future__ import annotations

import hashlib
import re

from footage.indexer.embed.base import Space
from footage.indexer.store.cassandra.session import CassandraSession
from footage.indexer.store.cassandra.tables import (
    FRAMES_COLUMNS,
    FRAMES_INDEXES,
    SCHEMA_VERSION,
    TABLE_COLUMNS,
    TABLE_OPTIONS,
    column_types,
    create_index,
    old_frames_table,
)
from footage.indexer.store.cassandra.upgrade import upgrade_tables
from footage.indexer.store.cassandra.version import (
    bucket_duration,
    is_outdated,
    server_version,
    table_exists,
    tables_version,
)
from footage.indexer.store.errors import StoreError

HOUR_MICROS = 3_600_000_000  # microseconds
DEFAULT_REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"
TRIE_FIX = (5, 0, 10)
"""Cassandra version that inserts vectors concurrently on any memtable: CASSANDRA-21644, committed in September 2026 and
in no release up to 5.0.9. When the oldest supported version is this one, ``uses_trie`` and what asks it may go."""


def bucket_for(rate: float) -> int:
    """Return the partition duration in microseconds for a rate of records per second and camera: 25 to 50 MB."""
    return HOUR_MICROS if rate > 4 else 6 * HOUR_MICROS


async def create_tables(
    session: CassandraSession, space: Space, *, replication: str = DEFAULT_REPLICATION, rate: float = 1.0
) -> None:
    """Create what is missing of keyspace, tables and indexes, and upgrade those of an older version.

    Can be repeated, by one caller at a time. An upgrade may be interrupted and repeated; no service may run meanwhile.

    Args:
        session: of a user who may create tables.
        space: the space whose vectors the store will hold.
        replication: the keyspace's, as CQL writes it; three copies in a cluster of three nodes and more.
        rate: most records a second and camera to expect; fixed when the tables are first created.

    Raises:
        StoreError: the keyspace is missing on Astra, a newer version of Footage created the tables, or services of an
            older one still use them.
    """
    await create_shared_tables(session, replication=replication, rate=rate)
    await create_frames_table(session, space)


async def create_shared_tables(
    session: CassandraSession, *, replication: str = DEFAULT_REPLICATION, rate: float = 1.0
) -> None:
    """Do what ``create_tables`` does before it needs to know the space: keyspace, tables of all spaces, upgrades."""
    if not await keyspace_exists(session):
        if session.astra:
            raise StoreError(f"{session.location}: make the keyspace {session.keyspace} in Astra's console first")
        await session.execute_ddl(f"CREATE KEYSPACE IF NOT EXISTS {session.keyspace} WITH replication = {replication}")
    version = await tables_version(session)
    for name, columns in TABLE_COLUMNS.items():
        await session.execute_ddl(f"CREATE TABLE IF NOT EXISTS @{name} ({columns})")
    if version is not None and version < SCHEMA_VERSION:
        await upgrade_tables(session, version)
    elif await bucket_duration(session) is None:
        insert = "INSERT INTO @about (part, version, bucket) VALUES ('all', ?, ?)"
        await session.write(insert, SCHEMA_VERSION, bucket_for(rate))


async def tables_exist(session: CassandraSession) -> bool:
    """Whether ``create_tables`` has created tables in the keyspace, of any version."""
    return await table_exists(session, "about")


async def find_frames_table(session: CassandraSession, space: Space) -> str | None:
    """Return the name of the table of a space's vectors, or None where it has none."""
    cql = "SELECT frames FROM @spaces WHERE part = 'all' AND name = ? AND dim = ?"
    found = await session.select(cql, space.name, space.dim)
    return str(found[0][0]) if found and await table_exists(session, found[0][0]) else None


async def uses_trie(session: CassandraSession, table: str) -> bool:
    """Whether any number of vectors may be inserted at once into the table.

    They may with trie memtables, and without them from the version on that fixes CASSANDRA-21644.
    """
    if session.astra or await server_version(session) >= TRIE_FIX:
        return True
    asked = "SELECT memtable FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    return await session.select(asked, session.keyspace, table) == [("trie",)]


async def find_errors(session: CassandraSession, space: Space) -> list[str]:
    """Return what is wrong with the tables, as sentences; an empty list when the store can be used."""
    if not await keyspace_exists(session):
        return [f"the keyspace {session.keyspace} is missing; run `footage store init`"]
    if await is_outdated(session):
        return ["the tables are of an older version; stop every service, then run `footage store init`"]
    asked = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?"
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await session.select(asked, session.keyspace):
        found.setdefault(table, {})[column] = kind
    frames = await find_frames_table(session, space) if "spaces" in found else None
    wanted = {name: column_types(columns) for name, columns in TABLE_COLUMNS.items()}
    wanted |= {frames: column_types(FRAMES_COLUMNS.format(dim=space.dim))} if frames else {}
    wrong = []
    for name, columns in wanted.items():
        if name not in found:
            wrong.append(f"the table {name} is missing; run `footage store init`")
        elif found[name] != columns:
            differ = sorted(dict(found[name].items() ^ columns.items()))
            wrong.append(f"the table {name} is of another version: {', '.join(differ)}; use another keyspace")
    if frames is None:
        wrong.append(f"there is no table for {space.name}; run `footage store init`")
    if wrong or frames is None:
        return wrong
    return [*await _index_errors(session, frames), *await _memtable_errors(session, frames)]


async def _index_errors(session: CassandraSession, table: str) -> list[str]:
    asked = "SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?"
    options = [
        {k: v.lower() for k, v in row[0].items()} for row in await session.select(asked, session.keyspace, table)
    ]
    wrong = []
    for column in FRAMES_INDEXES:
        right = {"target": column} | ({"similarity_function": "dot_product"} if column == "vector" else {})
        if not any(right.items() <= each.items() for each in options):
            kind = "dot_product index" if column == "vector" else "index"
            wrong.append(f"the table {table} has no {kind} on {column}; run `footage store init`")
    return wrong


async def _memtable_errors(session: CassandraSession, table: str) -> list[str]:
    if await uses_trie(session, table):
        return []
    return [
        f"the table {table} has no trie memtable, so vectors are written slowly, two requests at once "
        "(CASSANDRA-21644); define `trie` under memtable: configurations: in cassandra.yaml as the distribution "
        f"does, then run: ALTER TABLE {session.keyspace}.{table} WITH memtable = 'trie'; Cassandra "
        f"{'.'.join(map(str, TRIE_FIX))} and later need no such change"
    ]


async def keyspace_exists(session: CassandraSession) -> bool:
    """Whether the keyspace exists."""
    asked = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
    return bool(await session.select(asked, session.keyspace))


async def create_frames_table(session: CassandraSession, space: Space) -> None:
    """Create the table and the indexes of a space's vectors, unless they are there; the shared tables must be."""
    table = await _claim_frames_table(session, space)
    create = f"CREATE TABLE IF NOT EXISTS @{table} ({FRAMES_COLUMNS.format(dim=space.dim)})"
    if session.astra:
        await session.execute_ddl(create)
    else:
        try:
            await session.execute_ddl(f"{create} WITH {TABLE_OPTIONS} AND memtable = 'trie'")
        except StoreError as error:
            if "memtable" not in str(error).lower():
                raise
            await session.execute_ddl(f"{create} WITH {TABLE_OPTIONS}")
    for column in FRAMES_INDEXES:
        await session.execute_ddl(create_index(table, column))


async def _claim_frames_table(session: CassandraSession, space: Space) -> str:
    """Return the name of the space's table, choosing one that can be typed when it has none yet."""
    cql = "SELECT name, dim, frames FROM @spaces WHERE part = 'all'"
    tables = {Space(name, dim): frames for name, dim, frames in await session.select(cql)}
    if space in tables:
        return str(tables[space])
    plain = "frames_" + re.sub(r"[^a-z0-9]+", "_", space.name.lower()).strip("_")[:32]
    if await table_exists(session, old := old_frames_table(space)):
        plain = old  # made by the first version
    elif plain in tables.values():  # of a space whose name differs in signs only, or in its dimension
        plain += f"_{hashlib.sha256(f'{space.name}/{space.dim}'.encode()).hexdigest()[:8]}"
    await session.write(
        "INSERT INTO @spaces (part, name, dim, frames) VALUES ('all', ?, ?, ?)", space.name, space.dim, plain
    )
    return plain
