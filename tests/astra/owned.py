"""Lends a keyspace of a real Astra DB to tests: only one that holds nothing of anybody, and drops what they made.

Only tables that Footage defines are ever dropped: those that hold no row when the test begins, as the contract tests
leave them, and at the end those that the test made. No keyspace, and no table of another name, is touched.
"""

from __future__ import annotations

from footage.indexer.store.cassandra import CassandraSession, connect_cassandra
from footage.indexer.store.cassandra.tables import TABLE_COLUMNS
from tests.cassandra.server import Contact

DESCRIPTIVE = {"about", "spaces"}
"""Tables whose rows say which tables there are; the contract tests leave them."""


class Occupied(Exception):
    """The keyspace holds something that is not the test's; the message says what."""


async def take(contact: Contact) -> None:
    """Make the keyspace as it was before Footage was ever used in it.

    Raises:
        Occupied: it holds other tables, or rows.
    """
    session = await _connect(contact)
    try:
        present = await _tables(session)
        own = await _own(session, present)
        if foreign := present - own:
            raise Occupied(
                f"the keyspace {contact.keyspace} holds {', '.join(sorted(foreign))}; give the tests their own"
            )
        for table in sorted(own - DESCRIPTIVE):
            if await session.select(f"SELECT * FROM @{table} LIMIT 1"):
                raise Occupied(
                    f"the table {contact.keyspace}.{table} holds rows; give the tests a keyspace of their own"
                )
        await _drop(session, own)
    finally:
        await session.close()


async def drop(contact: Contact) -> None:
    """Drop the tables of Footage, which the test made in a keyspace that ``take`` has emptied."""
    session = await _connect(contact)
    try:
        await _drop(session, await _own(session, await _tables(session)))
    finally:
        await session.close()


async def _connect(contact: Contact) -> CassandraSession:
    return await connect_cassandra(keyspace=contact.keyspace, bundle=contact.bundle, token=contact.token)


async def _tables(session: CassandraSession) -> set[str]:
    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"
    return {name for (name,) in await session.select(asked, session.keyspace)}


async def _own(session: CassandraSession, present: set[str]) -> set[str]:
    """Which of the tables Footage made: those that it defines, and those of vectors that are listed."""
    listed = await session.select("SELECT frames FROM @spaces WHERE part = 'all'") if "spaces" in present else []
    return present & ({*TABLE_COLUMNS} | {name for (name,) in listed})


async def _drop(session: CassandraSession, tables: set[str]) -> None:
    for table in sorted(tables, key=lambda name: (name in DESCRIPTIVE, name)):  # the list of the others last
        print(f"dropping {session.keyspace}.{table}, which Footage made")
        await session.execute_ddl(f"DROP TABLE IF EXISTS @{table}")
