"""A cluster of services over one real index."""

import pytest

from footage.indexer import shared_reading
from footage.indexer.cluster import directory
from tests.query.peers.nodes import Cluster


@pytest.fixture
async def cluster(store, catalog, tmp_path, monkeypatch):
    """Nothing that is read of the catalog is kept, so that a test need not wait until it is read again."""
    monkeypatch.setattr(directory.ServiceDirectory.services, "__defaults__", (0.0,))
    monkeypatch.setattr(directory, "CACHE_SECONDS", -1.0)
    monkeypatch.setattr(shared_reading, "MISS_SECONDS", 0.0)
    cluster = await Cluster(store, catalog, tmp_path).open()
    yield cluster
    await cluster.close()
