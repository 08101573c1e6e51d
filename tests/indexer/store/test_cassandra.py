"""Runs the store and catalog contracts over the cluster backend, on a real Cassandra."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Catalog, Where
from tests.cassandra.fixture import need_driver
from tests.indexer.store import catalog_contract, store_contract

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    connect_cassandra,
    schema,
)
from tests.cassandra.server import Contact

OTHER = Space("test_one", 16)


@pytest.fixture(scope="module")
def keyspace(cassandra: Contact) -> str:
    return cassandra.keyspace or f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def session(cassandra: Contact, keyspace: str) -> AsyncIterator[CassandraSession]:
    """A session in the module's keyspace, whose tables are empty."""
    at = cassandra
    login = {"user": at.user, "password": at.password, "bundle": at.bundle, "token": at.token}
    session = await connect_cassandra([at.host], at.port, keyspace, **login)
    if await schema.find_errors(session, OTHER):
        for space in (store_contract.SPACE, OTHER):
            await schema.create_tables(session, space)
    yield session
    for space in (store_contract.SPACE, OTHER):
        await (await CassandraStore.open(session, space)).forget(Where())
    for table in ("pin", "cameras", "media", "places", "paths", "coverage", "documents", "leases"):
        rows = await session.select(f"SELECT * FROM @{table} LIMIT 1")
        if rows:
            await session.execute_ddl(f"TRUNCATE @{table}")
    await session.close()


class TestCassandraStore(store_contract.StoreContract):
    @pytest.fixture
    def opening(self, session: CassandraSession) -> store_contract.Opening:
        return partial(CassandraStore.open, session)


class TestCassandraCatalog(catalog_contract.CatalogContract):
    @pytest.fixture
    def opening(self, session: CassandraSession) -> catalog_contract.Opening:
        return partial(CassandraCatalog.open, session)

    @pytest.mark.slow
    async def test_many_photographs_of_one_moment_each_get_their_own(self, catalog: Catalog) -> None:
        await super().test_many_photographs_of_one_moment_each_get_their_own(catalog)
