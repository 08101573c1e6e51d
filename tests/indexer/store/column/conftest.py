"""Fixtures: small runs, and a store with several of them."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.store.base import Record
from footage.indexer.store.column import upkeep
from footage.indexer.store.lance import LanceStore
from tests.indexer.store.column.harness import Filled, column_files, made, usable
from tests.indexer.store.store_contract import BOX, SPACE, make_records, unit_vectors


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few hundred rows, so that little footage has many of them."""
    monkeypatch.setattr(upkeep, "SEAL_ROWS", 64)
    monkeypatch.setattr(upkeep, "RUN_ROWS", 512)


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A store with several runs and a log, and its records."""
    folder = tmp_path_factory.mktemp("filled") / "vectors"
    records = [r for i, camera in enumerate(("a", "b", "c")) for r in make_records(400, camera, seed=i)]
    boxed = zip(records[::7], unit_vectors(172, 9), strict=True)
    records += [Record(r.camera, r.time, r.media, r.offset, vector, BOX) for r, vector in boxed]

    async def fill() -> None:
        store = await LanceStore.open(folder, SPACE)
        order = np.random.default_rng(1).permutation(len(records))
        for part in np.array_split(order, 12):
            await store.write([records[i] for i in part])
            await store.maintain()
        assert await usable(store)
        await store.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "SEAL_ROWS", 150)
        patch.setattr(upkeep, "RUN_ROWS", 300)
        asyncio.run(fill())
    assert len(column_files(folder, "run")) > 2
    return Filled(folder, records)


@pytest.fixture
def folder(filled: Filled, tmp_path: Path) -> Path:
    """The folder of that store as it is found when it has been opened elsewhere: a copy, made usable again."""
    shutil.copytree(filled.folder, tmp_path / "vectors")

    async def adopt() -> None:
        store = await LanceStore.open(tmp_path / "vectors", SPACE)
        await made(store)
        await store.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upkeep, "SEAL_ROWS", 150)
        patch.setattr(upkeep, "RUN_ROWS", 300)
        asyncio.run(adopt())
    assert column_files(tmp_path / "vectors", "run")
    return tmp_path / "vectors"
