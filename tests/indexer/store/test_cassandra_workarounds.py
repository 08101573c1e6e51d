"""Tests that workarounds of server faults are chosen by the server's version, and that the faults are still there.

When a later Cassandra makes a test of a fault fail, its workaround may go.
"""

from __future__ import annotations

from typing import Any, cast

import pytest

from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import CassandraSession, CassandraStore, schema
from footage.indexer.store.cassandra.version import server_version
from footage.indexer.store.errors import StoreError
from tests.indexer.store.store_contract import SPACE, make_records

pytestmark = pytest.mark.slow


class Server:
    """As much of a session as tells a server's version, and the memtable of its tables."""

    keyspace = "k"

    def __init__(self, release: str, memtable: str | None, astra: bool = False) -> None:
        self.astra, self._release, self._memtable = astra, release, memtable

    async def select(self, cql: str, *_: Any) -> list[tuple[Any, ...]]:
        return [(self._memtable,)] if "memtable" in cql else [(self._release,)]


@pytest.mark.parametrize(
    ("release", "memtable", "any_number"),
    [
        ("5.0.9", None, False),
        ("5.0.9", "skiplist", False),
        ("5.0.9", "trie", True),
        ("5.0.9-SNAPSHOT", None, False),
        ("5.0.10", None, True),
        ("5.0.10-SNAPSHOT", None, True),
        ("5.1.0", "skiplist", True),
        ("6.0-alpha1", None, True),
        ("4.1.3", None, False),
        ("unknown", None, False),
    ],
)
async def test_inserts_at_once_are_limited_before_the_version_that_needs_it_no_more(
    release: str, memtable: str | None, any_number: bool
) -> None:
    """CASSANDRA-21644."""
    assert await schema.uses_trie(cast(CassandraSession, Server(release, memtable)), "t") is any_number


async def test_astra_needs_no_limit_whatever_version_it_tells() -> None:
    assert await schema.uses_trie(cast(CassandraSession, Server("4.0.11", None, astra=True)), "t")


async def test_a_table_without_trie_memtables_is_told_of_on_this_version_and_not_on_the_next(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = await schema.find_frames_table(session, SPACE)
    before = await server_version(session)
    assert before < (5, 0, 10), "the limit of inserts at once may go with the oldest version"
    assert await schema.find_errors(session, SPACE) == []
    await session.execute_ddl(f"ALTER TABLE @{table} WITH memtable = 'default'")
    (told,) = await schema.find_errors(session, SPACE)
    assert "CASSANDRA-21644" in told
    assert "5.0.10 and later" in told
    store = await CassandraStore.open(session, SPACE)
    await store.write(make_records(100))
    assert await store.count() == 100
    monkeypatch.setattr(schema, "server_version", lambda _: answer((5, 0, 10)))
    assert await schema.find_errors(session, SPACE) == []


async def answer(version: tuple[int, ...]) -> tuple[int, ...]:
    return version


async def test_a_part_of_the_key_still_restricts_no_search_by_vector(session: CassandraSession) -> None:
    """Why the table of vectors repeats the camera in ``cam``."""
    table = await schema.find_frames_table(session, SPACE)
    store = await CassandraStore.open(session, SPACE)
    records = make_records(3)
    await store.write(records)
    await session.execute_ddl(f"CREATE CUSTOM INDEX ON @{table} (camera) USING 'StorageAttachedIndex'")
    near = f"SELECT time FROM @{table} WHERE {{}} = ? ORDER BY vector ANN OF ? LIMIT 5"
    vector = records[0].vector.astype(">f4").tobytes()
    assert len(await session.select(near.format("cam"), "gate", vector, profile="near")) == 3
    with pytest.raises(StoreError):
        await session.select(near.format("camera"), "gate", vector, profile="near")


async def test_a_search_by_vector_is_still_lowered_to_one_replica(session: CassandraSession) -> None:
    """Why such searches ask for one replica to begin with: asking for more only makes the server warn."""
    table = await schema.find_frames_table(session, SPACE)
    raw = session._session
    vector = ", ".join(["0.1"] * SPACE.dim)
    cql = f"SELECT time FROM {session.keyspace}.{table} ORDER BY vector ANN OF [{vector}] LIMIT 5"
    future = raw.execute_async(cql, execution_profile="read")
    future.result()
    assert any("Downgrading the consistency level" in text for text in future.warnings or ())
