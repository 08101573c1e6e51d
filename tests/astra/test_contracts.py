"""Runs the store and catalog contracts over the stand-in: the same tests as on every other backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Catalog, Where
from tests.astra.fixture import need_cryptography
from tests.cassandra.fixture import need_driver
from tests.indexer.store import catalog_contract, store_contract

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    connect_cassandra,
    schema,
)
from tests.astra.server import Astra

OTHER = Space("test_one", 16)
CATALOG = ("pin", "cameras", "media", "places", "paths", "coverage", "documents", "leases")


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    """A session in the module's keyspace, whose tables are empty."""
    to = astra.contact
    session = await connect_cassandra(keyspace=to.keyspace, bundle=to.bundle, token=to.token)
    if await schema.find_errors(session, OTHER):
        for space in (store_contract.SPACE, OTHER):
            await schema.create_tables(session, space)
    astra.refused.clear()
    yield session
    assert astra.refused == []
    for space in (store_contract.SPACE, OTHER):
        await (await CassandraStore.open(session, space)).forget(Where())
    for table in CATALOG:
        if await session.select(f"SELECT * FROM @{table} LIMIT 1"):
            await session.execute_ddl(f"TRUNCATE @{table}")
    await session.close()


class TestAstraStore(store_contract.StoreContract):
    @pytest.fixture
    def opening(self, session: CassandraSession) -> store_contract.Opening:
        return partial(CassandraStore.open, session)


class TestAstraCatalog(catalog_contract.CatalogContract):
    @pytest.fixture
    def opening(self, session: CassandraSession) -> catalog_contract.Opening:
        return partial(CassandraCatalog.open, session)

    @pytest.mark.slow
    async def test_many_photographs_of_one_moment_each_get_their_own(self, catalog: Catalog) -> None:
        await super().test_many_photographs_of_one_moment_each_get_their_own(catalog)
