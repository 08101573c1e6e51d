"""Fixtures: a film, its index, the store of another space beside it, and a migration into that."""

import pytest

from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.files.file_indexer import FileIndexer
from footage.indexer.migration.migrate import Migration
from footage.indexer.store.lance import LanceStore
from tests import films
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.migration.harness import OtherEmbedder, plain


@pytest.fixture
async def target(tmp_path):
    target = await LanceStore.open(tmp_path / "index" / "vectors", OtherEmbedder.space)
    yield target
    await target.close()


@pytest.fixture
def film(tmp_path):
    return films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue", "white"]), fps=10, gop=10)


@pytest.fixture
def index(store, catalog):
    async def index(*jobs):
        await catalog.bind_space(ColorEmbedder.space, await fingerprint(ColorEmbedder()))
        report = await FileIndexer(ColorEmbedder(), store, catalog).run(list(jobs))
        assert not report.failed

    return index


@pytest.fixture
def migration(store, target, catalog):
    return lambda embedder=None, **more: Migration(store, target, catalog, embedder or OtherEmbedder(), **more)
