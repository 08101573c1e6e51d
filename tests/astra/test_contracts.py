"""Runs the store and catalog contracts over the stand-in: the same tests as on every other backend."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.astra.fixture import need_cryptography
from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.store.cassandra import CassandraSession, connect_cassandra
from tests.astra.server import Astra
from tests.indexer.store import cluster_contract

pytestmark = pytest.mark.slow


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    """A session in the module's keyspace, whose tables are empty; nothing that it asked was refused."""
    to = astra.contact
    connected = await connect_cassandra(keyspace=to.keyspace, bundle=to.bundle, token=to.token)
    async with cluster_contract.emptied(connected) as session:
        astra.refused.clear()
        yield session
        assert astra.refused == []


class TestAstraStore(cluster_contract.ClusterStoreContract):
    pass


class TestAstraCatalog(cluster_contract.ClusterCatalogContract):
    pass
