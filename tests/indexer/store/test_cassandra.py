"""Runs the store and catalog contracts over the cluster backend, on a real Cassandra."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.cassandra import CassandraSession, connect_cassandra
from tests.cassandra.server import Contact
from tests.indexer.store import cluster_contract

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def keyspace(cassandra: Contact) -> str:
    return cassandra.keyspace or cassandra.make_keyspace()


@pytest.fixture
async def session(cassandra: Contact, keyspace: str) -> AsyncIterator[CassandraSession]:
    """A session in the module's keyspace, whose tables are empty."""
    at = cassandra
    login = {"user": at.user, "password": at.password, "bundle": at.bundle, "token": at.token}
    async with cluster_contract.emptied(await connect_cassandra([at.host], at.port, keyspace, **login)) as session:
        yield session


class TestCassandraStore(cluster_contract.ClusterStoreContract):
    pass


class TestCassandraCatalog(cluster_contract.ClusterCatalogContract):
    pass
