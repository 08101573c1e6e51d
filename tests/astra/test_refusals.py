"""What the stand-in refuses and warns of, on its real connection, and what Footage makes of warnings and refusals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from tests.astra.fixture import need_cryptography, open_session
from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.store.base import Where
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore
from footage.indexer.store.errors import StoreBlocked, StoreError, StoreUnreachable
from tests.astra.server import Astra
from tests.indexer.store.store_contract import SPACE, make_records

MIB = 1024 * 1024


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    async with open_session(astra, SPACE) as session:
        yield session


@pytest.fixture
async def table(session: CassandraSession) -> AsyncIterator[str]:
    await session.execute_ddl("CREATE TABLE @tried (a text, b text, c text, v blob, PRIMARY KEY ((a, b), c))")
    yield "@tried"
    await session.execute_ddl("DROP TABLE @tried")


INSERT = "INSERT INTO @tried (a, b, c, v) VALUES (?, ?, ?, ?)"


async def test_what_is_too_large_is_refused(astra: Astra, session: CassandraSession, table: str) -> None:
    await session.write(INSERT, "a", "b", "c", bytes(5 * MIB))
    with pytest.raises(StoreError, match="greater than the maximum allowed"):
        await session.write(INSERT, "a", "b", "c", bytes(5 * MIB + 1))
    half = bytes(400 * 1024)
    await session.write_batch([(INSERT, ("a", "b", str(i), half)) for i in range(2)])  # one partition
    await session.write_batch([(INSERT, (str(i), "b", "c", half[:9000])) for i in range(2)])
    with pytest.raises(StoreError, match="Batch is of size 819"):
        await session.write_batch([(INSERT, ("a", str(i), "c", half)) for i in range(2)])
    assert len(astra.refused) == 2


async def test_partition_keys_are_counted_over_all_ins(astra: Astra, session: CassandraSession, table: str) -> None:
    cql = "SELECT c FROM @tried WHERE a IN ? AND b IN ?"
    assert await session.select(cql, list("abcd"), list("abcde")) == []
    for a, b, why in (("abcde", "abcde", "25 partitions keys"), ("abcdefg", "abcd", "cartesian product")):
        with pytest.raises(StoreError, match=why):
            await session.select(cql, list(a), list(b))
    assert len(astra.refused) == 2


async def test_columns_indexes_and_roles_are_limited(astra: Astra, session: CassandraSession, table: str) -> None:
    columns = ", ".join(f"c{i} int" for i in range(50))
    for cql, why in (
        (f"CREATE TABLE @wide (a int PRIMARY KEY, {columns})", "more than 50 columns, but 51"),
        (f"ALTER TABLE @tried ADD ({columns})", "more than 50 columns, but 54"),
        ("CREATE CUSTOM INDEX ON @tried (c) USING 'org.apache.cassandra.index.sasi.SASIIndex'", "0 SASI"),
    ):
        with pytest.raises(StoreError, match=why):
            await session.execute_ddl(cql)
    await session.execute_ddl("CREATE INDEX ON @tried (c)")
    with pytest.raises(StoreError, match="more than 1 secondary"):
        await session.execute_ddl("CREATE INDEX ON @tried (v)")
    with pytest.raises(StoreBlocked):
        await session.execute_ddl("CREATE ROLE somebody")
    assert len(astra.refused) == 5


async def test_a_full_database_is_not_told_to_run_init_again(
    astra: Astra, session: CassandraSession, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.astra.limits.SAI", 3)  # the three of the vectors
    with pytest.raises(StoreError, match="across all keyspaces") as refused:
        await session.execute_ddl("CREATE CUSTOM INDEX ON @tried (c) USING 'StorageAttachedIndex'")
    assert "store init" not in str(refused.value)


async def test_warnings_disturb_nothing_and_are_not_printed(
    astra: Astra, session: CassandraSession, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await session.execute_ddl("CREATE TABLE @odd (a int PRIMARY KEY) WITH comment = 'x' AND default_time_to_live = 60")
    (told,) = astra.warned
    assert "[comment]" in told
    astra.warning = "Scanned over 1001 tombstone rows"
    await session.execute_ddl("DROP TABLE @odd")
    store, catalog = await CassandraStore.open(session, SPACE), await CassandraCatalog.open(session)
    records = make_records(300)
    await store.write(records)
    astra.page_size = lambda asked: min(asked, 7)
    assert [r.time async for r in store.scan(Where())] == [r.time for r in records]
    assert len(await store.nearest(records[0].vector, 10)) == 10
    assert await catalog.add_document("watch", "warned", {"a": 1})
    astra.page_size, astra.warning = None, ""
    assert await store.forget(Where()) == 300
    assert astra.refused == []
    assert [r for r in caplog.records if r.levelno >= logging.WARNING and r.name.startswith("footage")] == []


async def test_a_limit_of_requests_slows_and_fails_nothing(astra: Astra, session: CassandraSession) -> None:
    store = await CassandraStore.open(session, SPACE)
    astra.rate = 100
    await store.write(make_records(300))  # more than three seconds' worth at once
    astra.rate = 0
    assert await store.count() == 300
    astra.rate = 0.001
    with pytest.raises(StoreUnreachable, match=r"overloaded .*Rate limit reached"):
        await store.last_time("m")
    astra.rate = 0
    assert await store.forget(Where()) == 300


async def test_a_conditional_statement_waits_while_the_database_is_overloaded(
    astra: Astra, session: CassandraSession
) -> None:
    catalog = await CassandraCatalog.open(session)
    assert await catalog.add_document("watch", "one", {"a": 1})
    astra.overloaded, before = True, astra.requests
    adding = asyncio.create_task(catalog.add_document("watch", "two", {"a": 2}))
    async with asyncio.timeout(60):
        while astra.requests == before:
            await asyncio.sleep(0.01)
    astra.overloaded = False
    assert await adding
    assert await catalog.document("watch", "two") == {"a": 2}
