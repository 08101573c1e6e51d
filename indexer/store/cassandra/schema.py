"""Creates the Cassandra tables, checks them, and names the table of a space."""

from __future__ import annotations

import hashlib
import re

from footage.indexer.embed.base import Space
from footage.indexer.store.base import StoreError
from footage.indexer.store.cassandra.session import CassandraSession

SCHEMA_VERSION = 1
HOUR_MICROS = 3_600_000_000  # microseconds
DEFAULT_REPLICATION = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}"

TABLE_COLUMNS = {
    # One row: what the tables were created for. ``bucket`` is the duration of a partition in microseconds.
    "about": "part text, version int, bucket bigint, PRIMARY KEY (part)",
    # The partitions of vectors, by camera and by media.
    "buckets": "space text, camera text, bucket bigint, PRIMARY KEY (space, camera, bucket)",
    "holdings": "space text, media text, camera text, bucket bigint, PRIMARY KEY ((space, media), camera, bucket)",
    "pin": "part text, name text, dim int, fingerprint blob, PRIMARY KEY (part)",
    "cameras": "part text, camera text, PRIMARY KEY (part, camera)",
    # ``given`` is the original start of the media, ``since`` the shifted one; ``version`` counts additions, so that
    # two at once see each other, and ``longest`` is the length of the longest media of the camera.
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
FRAMES_COLUMNS = (
    "camera text, bucket bigint, time bigint, region bigint, media text, offset double, vector VECTOR<FLOAT, {dim}>, "
    "PRIMARY KEY ((camera, bucket), time, region)"
)
CREATE_INDEX = (
    "CREATE CUSTOM INDEX IF NOT EXISTS {table}_vector ON @{table} (vector) USING 'StorageAttachedIndex' "
    "WITH OPTIONS = {{'similarity_function': 'dot_product'}}"
)
# Astra wants an index on every column that restricts a search by vector; elsewhere a whole partition key suffices.
CREATE_TIME_INDEX = "CREATE CUSTOM INDEX IF NOT EXISTS {table}_time ON @{table} (time) USING 'StorageAttachedIndex'"
# Unified compaction, so that deleted rows leave the disk in time: docs/decisions/0007-cassandra.md
TABLE_OPTIONS = "compaction = {'class': 'UnifiedCompactionStrategy'}"
TRIE_OPTION = "memtable = 'trie'"  # on the default one concurrent vector inserts fail: CASSANDRA-21644


def frames_table(space: Space) -> str:
    """Return the name of a space's table: what a table name can hold of the space's name, and a digest."""
    digest = hashlib.sha256(f"{space.name}/{space.dim}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", space.name.lower()).strip("_")[:20]
    return f"frames_{plain}_{digest}"


def bucket_for(rate: float) -> int:
    """Return the partition duration in microseconds for a rate of records per second and camera: 25 to 50 MB."""
    return HOUR_MICROS if rate > 4 else 6 * HOUR_MICROS


async def create_tables(
    session: CassandraSession, space: Space, *, replication: str = DEFAULT_REPLICATION, rate: float = 1.0
) -> None:
    """Create what is missing of keyspace, tables and vector index. Can be repeated, by one caller at a time.

    Args:
        session: of a user who may create tables.
        space: the space whose vectors the store will hold.
        replication: the keyspace's, as CQL writes it; three copies in a cluster of three nodes and more.
        rate: most records a second and camera to expect; fixed when the tables are first created.

    Raises:
        StoreError: the keyspace is missing on Astra, or a newer version of Footage created the tables.
    """
    if not await keyspace_exists(session):
        if session.astra:
            raise StoreError(f"{session.location}: make the keyspace {session.keyspace} in Astra's console first")
        await session.execute_ddl(f"CREATE KEYSPACE IF NOT EXISTS {session.keyspace} WITH replication = {replication}")
    for name, columns in TABLE_COLUMNS.items():
        await session.execute_ddl(f"CREATE TABLE IF NOT EXISTS @{name} ({columns})")
    made = await bucket_duration(session)
    if made is None:
        await session.write(
            "INSERT INTO @about (part, version, bucket) VALUES ('all', ?, ?)", SCHEMA_VERSION, bucket_for(rate)
        )
    await _create_frames_table(session, space)


async def bucket_duration(session: CassandraSession) -> int | None:
    """Return the duration of a partition in microseconds, or None when the tables are empty.

    Raises:
        StoreError: there are no tables, or a newer version of Footage created them.
    """
    rows = await session.select("SELECT version, bucket FROM @about WHERE part = 'all'")
    if rows and rows[0][0] > SCHEMA_VERSION:
        raise StoreError(f"{session.location}: a newer version of Footage made its tables; upgrade")
    return int(rows[0][1]) if rows else None


async def tables_exist(session: CassandraSession) -> bool:
    """Whether ``create_tables`` has created tables in the keyspace, of any version."""
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'about'"
    return bool(await session.select(asked, session.keyspace))


async def uses_trie(session: CassandraSession, table: str) -> bool:
    """Whether the table has a trie memtable, into which any number of vectors may be inserted at once."""
    if session.astra:
        return True
    asked = "SELECT memtable FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
    return await session.select(asked, session.keyspace, table) == [("trie",)]


async def find_errors(session: CassandraSession, space: Space) -> list[str]:
    """Return what is wrong with the tables, as sentences; an empty list when the store can be used."""
    if not await keyspace_exists(session):
        return [f"the keyspace {session.keyspace} is missing; run `footage store init`"]
    asked = "SELECT table_name, column_name, type FROM system_schema.columns WHERE keyspace_name = ?"
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in await session.select(asked, session.keyspace):
        found.setdefault(table, {})[column] = kind
    table = frames_table(space)
    wanted = {name: _columns(columns) for name, columns in TABLE_COLUMNS.items()}
    wanted[table] = _columns(FRAMES_COLUMNS.format(dim=space.dim))
    wrong = []
    for name, columns in wanted.items():
        if name not in found:
            wrong.append(f"the table {name} is missing; run `footage store init`")
        elif found[name] != columns:
            differ = sorted(dict(found[name].items() ^ columns.items()))
            wrong.append(f"the table {name} is of another version: {', '.join(differ)}; use another keyspace")
    return wrong or [*await _index_errors(session, table), *await _memtable_errors(session, table)]


async def _index_errors(session: CassandraSession, table: str) -> list[str]:
    asked = "SELECT options FROM system_schema.indexes WHERE keyspace_name = ? AND table_name = ?"
    options = [row[0] for row in await session.select(asked, session.keyspace, table)]
    right = {"target": "vector", "similarity_function": "dot_product"}
    wrong = []
    if not any(right.items() <= {k: v.lower() for k, v in each.items()}.items() for each in options):
        wrong.append(f"the table {table} has no dot_product index on vector; run `footage store init`")
    if session.astra and not any(each.get("target") == "time" for each in options):
        wrong.append(
            f"the table {table} has no index on time, which searches of one camera need; run `footage store init`"
        )
    return wrong


async def _memtable_errors(session: CassandraSession, table: str) -> list[str]:
    if await uses_trie(session, table):
        return []
    return [
        f"the table {table} has no trie memtable, so vectors are written slowly, two requests at once "
        "(CASSANDRA-21644); define `trie` under memtable: configurations: in cassandra.yaml as the distribution "
        f"does, then run: ALTER TABLE {session.keyspace}.{table} WITH memtable = 'trie'"
    ]


async def keyspace_exists(session: CassandraSession) -> bool:
    """Whether the keyspace exists."""
    asked = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?"
    return bool(await session.select(asked, session.keyspace))


async def _create_frames_table(session: CassandraSession, space: Space) -> None:
    table = frames_table(space)
    create = f"CREATE TABLE IF NOT EXISTS @{table} ({FRAMES_COLUMNS.format(dim=space.dim)})"
    if session.astra:
        await session.execute_ddl(create)
        await session.execute_ddl(CREATE_TIME_INDEX.format(table=table))
    else:
        try:
            await session.execute_ddl(f"{create} WITH {TABLE_OPTIONS} AND {TRIE_OPTION}")
        except StoreError as error:
            if "memtable" not in str(error).lower():
                raise
            await session.execute_ddl(f"{create} WITH {TABLE_OPTIONS}")
    await session.execute_ddl(CREATE_INDEX.format(table=table))


def _columns(definition: str) -> dict[str, str]:
    """Return the column names and types of a table's definition, as the server reports them."""
    found = {}
    for part in re.split(r", (?![^<(]*[>)])", definition.partition(", PRIMARY KEY")[0]):
        name, _, kind = part.removesuffix(" static").partition(" ")
        found[name] = kind.lower()
    return found
