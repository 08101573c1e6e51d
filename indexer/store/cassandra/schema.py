"""The tables: made once by ``init``, verified by ``check``, named by ``frames``."""

from __future__ import annotations

import hashlib
import re

from footage.indexer.embed.base import Space
from footage.indexer.store.base import StoreError
from footage.indexer.store.cassandra.session import Session

VERSION = 1
HOUR = 3_600_000_000  # microseconds
REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"

TABLES = {
    # One row: what the tables were made for. ``bucket`` is a partition's time in microseconds.
    "about": "part text, version int, bucket bigint, PRIMARY KEY (part)",
    # Which partitions of vectors there are, and which of them hold a media.
    "buckets": "space text, camera text, bucket bigint, PRIMARY KEY (space, camera, bucket)",
    "holdings": "space text, media text, camera text, bucket bigint, PRIMARY KEY ((space, media), camera, bucket)",
    "pin": "part text, name text, dim int, fingerprint blob, PRIMARY KEY (part)",
    "cameras": "part text, camera text, PRIMARY KEY (part, camera)",
    # ``given`` is the start that the media came with, ``since`` the one it was admitted under; ``version`` counts
    # admissions, so that two at once see each other, and ``longest`` is the longest media of the camera.
    "media": "camera text, given bigint, id text, path text, kind text, clock text, since bigint, length bigint, "
    "duration double, recipe text, done boolean, note text, version bigint static, longest bigint static, "
    "PRIMARY KEY (camera, given, id)",
    "places": "id text, camera text, given bigint, PRIMARY KEY (id)",
    "paths": "path text, id text, PRIMARY KEY (path, id)",
    "coverage": "camera text, since bigint, until bigint, state text, cause text, version bigint static, "
    "PRIMARY KEY (camera, since)",
    "documents": "kind text, name text, content text, PRIMARY KEY (kind, name)",
    "leases": "name text, holder text, number bigint, PRIMARY KEY (name)",
}
FRAMES = (
    "camera text, bucket bigint, time bigint, region bigint, media text, offset double, vector VECTOR<FLOAT, {dim}>, "
    "PRIMARY KEY ((camera, bucket), time, region)"
)
INDEX = (
    "CREATE CUSTOM INDEX IF NOT EXISTS {table}_vector ON @{table} (vector) USING 'StorageAttachedIndex' "
    "WITH OPTIONS = {{'similarity_function': 'dot_product'}}"
)
# Unified compaction, so that forgotten rows leave the disk in time: docs/decisions/0007-cassandra.md
OPTIONS = "compaction = {'class': 'UnifiedCompactionStrategy'}"
TRIE = "memtable = 'trie'"  # on the default one concurrent vector inserts fail: CASSANDRA-21644


def frames(space: Space) -> str:
    """The table of a space: its name as far as a table's name can hold it, and a digest of the whole."""
    digest = hashlib.sha256(f"{space.name}/{space.dim}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", space.name.lower()).strip("_")[:20]
    return f"frames_{plain}_{digest}"


def bucket_for(rate: float) -> int:
    """A partition's time in microseconds for so many records a second and camera: 25 to 50 MB of 512 numbers."""
    return HOUR if rate > 4 else 6 * HOUR


async def init(session: Session, space: Space, *, replication: str = REPLICATION, rate: float = 1.0) -> None:
    """Make what is missing of keyspace, tables and vector index; repeat it at will, one caller at a time.

    Args:
        session: as somebody who may create tables.
        space: whose vectors the store is to hold.
        replication: the keyspace's, as CQL writes it; three copies in a cluster of three nodes and more.
        rate: records a second and camera to expect at most; fixed when the tables are first made.

    Raises:
        StoreError: the keyspace is missing on Astra, or a newer version of Footage made the tables.
    """
    if not session.astra:
        await session.define(f"CREATE KEYSPACE IF NOT EXISTS {session.keyspace} WITH replication = {replication}")
    elif not await exists(session):
        raise StoreError(f"{session.place}: make the keyspace {session.keyspace} in Astra's console first")
    for name, columns in TABLES.items():
        await session.define(f"CREATE TABLE IF NOT EXISTS @{name} ({columns})")
    made = await about(session)
    if made is None:
        await session.write(
            "INSERT INTO @about (part, version, bucket) VALUES ('all', ?, ?)", VERSION, bucket_for(rate)
        )
    await _make_frames(session, space)


async def about(session: Session) -> int | None:
    """A partition's time in microseconds, or None when the tables are empty.

    Raises:
        StoreError: there are no tables, or a newer version of Footage made them.
    """
    rows = await session.rows("SELECT version, bucket FROM @about WHERE part = 'all'")
    if rows and rows[0][0] > VERSION:
        raise StoreError(f"{session.place}: a newer version of Footage made its tables; upgrade")
    return int(rows[0][1]) if rows else None


async def uses_trie(session: Session, table: str) -> bool:
    """Whether any number of vectors may be inserted into the table at once."""
    if session.astra:
        return True
    asked = "SELECT memtable FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    return await session.rows(asked, session.keyspace, table) == [("trie",)]


async def check(session: Session, space: Space) -> list[str]:
    """What is wrong with the tables, in sentences; nothing when the store can be used."""
    if not await exists(session):
        return [f"the keyspace {session.keyspace} is missing; run `footage store init`"]
    asked = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?"
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await session.rows(asked, session.keyspace):
        found.setdefault(table, {})[column] = kind
    table = frames(space)
    wanted = {name: _columns(columns) for name, columns in TABLES.items()}
    wanted[table] = _columns(FRAMES.format(dim=space.dim))
    wrong = []
    for name, columns in wanted.items():
        if name not in found:
            wrong.append(f"the table {name} is missing; run `footage store init`")
        elif found[name] != columns:
            differ = sorted(dict(found[name].items() ^ columns.items()))
            wrong.append(f"the table {name} is of another version: {', '.join(differ)}; use another keyspace")
    return wrong or [*await _unindexed(session, table), *await _unsafe(session, table)]


async def _unindexed(session: Session, table: str) -> list[str]:
    asked = "SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?"
    options = [row[0] for row in await session.rows(asked, session.keyspace, table)]
    right = {"target": "vector", "similarity_function": "dot_product"}
    if any(right.items() <= {k: v.lower() for k, v in each.items()}.items() for each in options):
        return []
    return [f"the table {table} has no dot_product index on vector; run `footage store init`"]


async def _unsafe(session: Session, table: str) -> list[str]:
    if await uses_trie(session, table):
        return []
    return [
        f"the table {table} has no trie memtable, so vectors are written slowly, two requests at once "
        "(CASSANDRA-21644); define `trie` under memtable: configurations: in cassandra.yaml as the distribution "
        f"does, then run: ALTER TABLE {session.keyspace}.{table} WITH memtable = 'trie'"
    ]


async def exists(session: Session) -> bool:
    """Whether the keyspace and its tables are there."""
    asked = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
    return bool(await session.rows(asked, session.keyspace))


async def _make_frames(session: Session, space: Space) -> None:
    table = frames(space)
    create = f"CREATE TABLE IF NOT EXISTS @{table} ({FRAMES.format(dim=space.dim)})"
    if session.astra:
        await session.define(create)
    else:
        try:
            await session.define(f"{create} WITH {OPTIONS} AND {TRIE}")
        except StoreError as error:
            if "memtable" not in str(error).lower():
                raise
            await session.define(f"{create} WITH {OPTIONS}")
    await session.define(INDEX.format(table=table))


def _columns(definition: str) -> dict[str, str]:
    """Names and types out of a table's definition, as the server tells them."""
    found = {}
    for part in re.split(r", (?![^<(]*[>)])", definition.partition(", PRIMARY KEY")[0]):
        name, _, kind = part.removesuffix(" static").partition(" ")
        found[name] = kind.lower()
    return found
