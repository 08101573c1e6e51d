"""The contracts over a cluster's session: what a Cassandra and an Astra DB have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Where
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema
from tests.indexer.store import catalog_contract, store_contract

OTHER = Space("test_one", 16)
SPACES = (store_contract.SPACE, OTHER)
CATALOG_TABLES = (
    "pin",
    "camera_facts",
    "camera_months",
    "camera_media",
    "places",
    "paths",
    "coverage_notes",
    "documents",
    "lease_holders",
    "sessions",
)


async def create_missing_tables(session: CassandraSession) -> None:
    """Create the tables of both spaces; costs little when they are there."""
    if await schema.find_errors(session, OTHER):
        for space in SPACES:
            await schema.create_tables(session, space)


@asynccontextmanager
async def emptied(session: CassandraSession) -> AsyncIterator[CassandraSession]:
    """The session with tables, which are empty again when the block ends; then it is closed."""
    await create_missing_tables(session)
    yield session
    for space in SPACES:
        await (await CassandraStore.open(session, space)).forget(Where())
    for table in CATALOG_TABLES:
        if await session.select(f"SELECT * FROM @{table} LIMIT 1"):
            await session.execute_ddl(f"TRUNCATE @{table}")
    await session.close()


class ClusterStoreContract(store_contract.StoreContract):
    @pytest.fixture
    def opening(self, session: CassandraSession) -> store_contract.Opening:
        return partial(CassandraStore.open, session)


class ClusterCatalogContract(catalog_contract.CatalogContract):
    photographs = 40  # each takes a transaction; test_cassandra_media has as many starts as the other backend

    @pytest.fixture
    def opening(self, session: CassandraSession) -> catalog_contract.Opening:
        return partial(CassandraCatalog.open, session)
