"""The cluster store and catalogue keep the contracts on a real Cassandra."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Where
from tests.cassandra.fixture import need_driver
from tests.indexer.store import catalog_contract, store_contract

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, Session, connect, schema
from tests.cassandra.server import Contact

OTHER = Space("test_one", 16)


@pytest.fixture(scope="module")
def keyspace(cassandra: Contact) -> str:
    return cassandra.keyspace or f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def session(cassandra: Contact, keyspace: str) -> AsyncIterator[Session]:
    """A session in the module's keyspace, whose tables are empty."""
    at = cassandra
    login = {"user": at.user, "password": at.password, "bundle": at.bundle, "token": at.token}
    session = await connect([at.host], at.port, keyspace, **login)
    if await schema.check(session, OTHER):
        for space in (store_contract.SPACE, OTHER):
            await schema.init(session, space)
    yield session
    for space in (store_contract.SPACE, OTHER):
        await (await CassandraStore.open(session, space)).forget(Where())
    for table in ("pin", "cameras", "media", "places", "paths", "coverage", "documents", "leases"):
        rows = await session.rows(f"SELECT * FROM @{table} LIMIT 1")
        if rows:
            await session.define(f"TRUNCATE @{table}")
    await session.close()


class TestCassandraStore(store_contract.StoreContract):
    @pytest.fixture
    def opening(self, session: Session) -> store_contract.Opening:
        return partial(CassandraStore.open, session)


class TestCassandraCatalog(catalog_contract.CatalogContract):
    @pytest.fixture
    def opening(self, session: Session) -> catalog_contract.Opening:
        return partial(CassandraCatalog.open, session)
