"""The contracts over a cluster's session: what a Cassandra and an Astra DB have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema
from footage.stream.frame import Region
from tests.indexer.store import catalog_contract, store_contract
from tests.indexer.store.store_contract import START, unit_vectors

OTHER = Space("test_one", 16)
SPACES = (store_contract.SPACE, OTHER)
KEPT_TABLES = {"about", "spaces"}
"""What says which tables there are."""


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
    await empty_tables(session)
    await session.close()


async def empty_tables(session: CassandraSession) -> None:
    """Truncate every table that holds anything, with the cameras and partitions that a store remembers for ever."""

    async def empty(table: str) -> None:
        if await session.select(f"SELECT * FROM @{table} LIMIT 1"):
            await session.execute_ddl(f"TRUNCATE @{table}")

    asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"
    found = {name for (name,) in await session.select(asked, session.keyspace)}
    await asyncio.gather(*(empty(name) for name in found - KEPT_TABLES))


class ClusterStoreContract(store_contract.StoreContract):
    @staticmethod
    def crowd() -> list[Record]:
        """Each camera is a partition, which costs much to make; one of these has more records than a scan holds."""
        cameras, boxes = 120, 2050
        vectors = unit_vectors(cameras + boxes)
        crowd = [Record(f"cam{i:03}", START, "m", 0, vectors[i]) for i in range(cameras)]
        return crowd + [Record("gate", START, "m", 0, vectors[-i], Region.of(i)) for i in range(1, boxes + 1)]

    @pytest.fixture
    def opening(self, session: CassandraSession) -> store_contract.Opening:
        return partial(CassandraStore.open, session)


class ClusterCatalogContract(catalog_contract.CatalogContract):
    at_once = 10  # that hinder each other
    photographs = 40  # each takes a transaction; test_cassandra_media has as many starts as the other backend

    @pytest.fixture
    def opening(self, session: CassandraSession) -> catalog_contract.Opening:
        return partial(CassandraCatalog.open, session)
