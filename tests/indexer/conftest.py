"""Fixtures: a real embedded store and catalog in the test's own folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from footage.indexer.store.base import Catalog, Store
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.indexer.supervisor import Supervisor
from tests.indexer.color_embedder import ColorEmbedder


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = await LanceStore.open(tmp_path / "index" / "vectors", ColorEmbedder.space)
    yield store
    await store.close()


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    """One that restarts at once, almost."""
    async with Supervisor(pauses=(0.01, 0.05)) as supervisor:
        yield supervisor


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    (tmp_path / "index").mkdir(exist_ok=True)
    catalog = await SqliteCatalog.open(tmp_path / "index" / "catalog.sqlite")
    yield catalog
    await catalog.close()
