"""Runs the store contract over LanceDB, and tests its index, maintenance and file handling."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store import lance, lance_reader
from footage.indexer.store.base import Record, Where
from footage.indexer.store.error_hints import is_stale
from footage.indexer.store.errors import StoreError
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_import import lancedb
from footage.indexer.store.lance_table import table_name
from tests.indexer.store.store_contract import (
    SPACE,
    Opening,
    StoreContract,
    at,
    make_records,
    record_keys,
    scan_all,
    unit_vectors,
)


class TestLanceStore(StoreContract):
    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        return partial(LanceStore.open, tmp_path / "vectors")


class TestTableAlone(StoreContract):
    """The table answers where the scan column does not."""

    @pytest.fixture
    def opening(self, tmp_path: Path) -> Opening:
        return partial(LanceStore.open, tmp_path / "vectors", memory=0)


def on_disk(folder: Path, needle: bytes) -> list[str]:
    """Return the files that contain these bytes."""
    return [file.name for file in folder.rglob("*") if file.is_file() and needle in file.read_bytes()]


async def test_forgotten_records_are_deleted_from_the_disk(tmp_path: Path) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    reader = await LanceStore.open(tmp_path, SPACE)
    records = make_records(2000) + make_records(2000, "door", seed=1)
    await store.write(records)
    await store.maintain()
    secret = records[777]
    assert on_disk(tmp_path, secret.vector.tobytes())
    assert await store.forget(Where(spans=((secret.time, at(778)),), cameras=("gate",))) == 1
    assert not on_disk(tmp_path, secret.vector.tobytes())
    assert on_disk(tmp_path, records[778].vector.tobytes())
    assert await reader.count() == 3999
    assert record_keys(await scan_all(reader)) == record_keys([r for r in await scan_all(store) if r is not secret])


async def test_a_large_table_gets_a_vector_index_that_finds_what_exact_search_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "INDEX_THRESHOLD", 3000)
    monkeypatch.setattr(lance, "PARTITION_ROWS", 300)
    monkeypatch.setattr(lance_reader, "EXACT_LIMIT", 100)
    store = await LanceStore.open(tmp_path, SPACE, memory=0)
    records = make_records(4000) + make_records(2000, "door", seed=1)
    await store.write(records)
    await store.maintain()
    vectors = np.stack([record.vector for record in records])
    await store.write(make_records(1, "late", seed=5))
    assert (await store.nearest(make_records(1, seed=5)[0].vector, 1))[0].camera == "late"
    for where, left in ((Where(), slice(None)), (Where(cameras=("door",)), slice(4000, None))):
        found = 0
        for question in unit_vectors(20, seed=8):
            scores = vectors[left] @ question
            hits = await store.nearest(question, 10, where)
            found += len({round(hit.score, 5) for hit in hits} & {round(float(s), 5) for s in np.sort(scores)[-10:]})
        assert found >= 190
    monkeypatch.setattr(lance, "PARTITION_ROWS", 50)
    await store.maintain()  # the table has outgrown the index: it is trained again, and the old one is removed
    table = await (await lancedb.connect_async(tmp_path)).open_table(table_name(SPACE))
    assert [index.name for index in await table.list_indices() if "vector" in index.columns] == ["vector_120"]
    assert await store.forget(Where(cameras=("door",))) == 2000
    assert {hit.camera for hit in await store.nearest(unit_vectors(1)[0], 50)} <= {"gate", "late"}


async def test_a_filter_searches_more_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that leaves a tenth of the rows spreads the best ones over ten times as many partitions."""
    monkeypatch.setattr(lance, "INDEX_THRESHOLD", 3000)
    monkeypatch.setattr(lance, "PARTITION_ROWS", 100)
    monkeypatch.setattr(lance_reader, "EXACT_LIMIT", 100)
    monkeypatch.setattr(lance_reader, "PROBES", 6)  # of 60 partitions
    store = await LanceStore.open(tmp_path, SPACE, memory=0)
    door = make_records(600, "door", seed=1)
    await store.write(make_records(5400) + door)
    await store.maintain()
    vectors = np.stack([record.vector for record in door])
    found = 0
    for query in unit_vectors(20, seed=8):
        best = {door[i].time for i in np.argsort(vectors @ query)[-10:]}
        found += len({hit.time for hit in await store.nearest(query, 10, Where(cameras=("door",)))} & best)
    assert found >= 190
    await store.close()


@pytest.mark.parametrize("memory", [None, 0])
async def test_a_reader_survives_the_removal_of_an_older_version(tmp_path: Path, memory: int | None) -> None:
    store, reader = [await LanceStore.open(tmp_path, SPACE, memory) for _ in range(2)]
    await store.write(make_records(5000, every=0.5))
    scan = reader.scan()
    seen = [await anext(scan)]
    await store.forget(Where(spans=((at(0), at(0.5)),)))
    seen += [record async for record in scan]
    assert len(seen) == 5000


async def test_a_missing_file_of_an_older_version_is_recognized(tmp_path: Path) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    await store.write(make_records(2000))
    old = await (await lancedb.connect_async(tmp_path)).open_table(table_name(SPACE))  # stays at the version it opened
    await store.forget(Where(spans=((at(0), at(1)),)))
    with pytest.raises(Exception) as caught:  # noqa: PT011 - LanceDB's classes differ between versions
        await old.query().where("offset > 5.5").select(["vector"]).to_arrow()
    assert is_stale(caught.value)
    await old.checkout_latest()
    assert await old.count_rows() == 1999


async def test_maintenance_removes_replaced_files_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    for i in range(5):
        await store.write(make_records(10, first=10 * i, seed=i))
    versions = tmp_path / f"{table_name(SPACE)}.lance" / "_versions"
    before = len(list(versions.glob("*.manifest")))
    await store.maintain()
    assert len(list(versions.glob("*.manifest"))) == before  # little was added, and nothing is old
    monkeypatch.setattr(lance, "MAX_VERSION_AGE", -1)
    monkeypatch.setattr(lance, "CLEANUP_GRACE", lance.NO_GRACE)
    await store.maintain()
    assert len(list(versions.glob("*.manifest"))) < before
    assert await store.count() == 50


async def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    database = await lancedb.connect_async(tmp_path)
    await database.create_table(table_name(SPACE), schema=pa.schema([("when", pa.int64())]))
    with pytest.raises(StoreError, match="another version"):
        await LanceStore.open(tmp_path, SPACE)


async def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "vectors").write_text("not a folder")
    with pytest.raises(StoreError, match="not a folder"):
        await LanceStore.open(tmp_path / "vectors", SPACE)


def test_table_names_of_different_spaces_differ() -> None:
    spaces = [Space("a/b", 4), Space("a_b", 4), Space("a_2f_b", 4), Space("a/b", 44), Space("A/b", 4), Space("ä", 4)]
    assert len({table_name(space) for space in spaces}) == len(spaces)
    assert table_name(Space("clip/ViT-B-16", 512)) == "clip_2f_ViT-B-16_512"


@pytest.mark.slow
async def test_a_filter_costs_no_matches_among_100_000_records(tmp_path: Path) -> None:
    """Ten cameras, 10,000 s each, with a trained vector index; against exact search in numpy."""
    store = await LanceStore.open(tmp_path, Space("test/large", 64), memory=0)
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(200, 64))
    vectors = centers[rng.integers(0, 200, 100_000)] + 0.7 * rng.normal(size=(100_000, 64))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    for camera in range(10):
        rows = vectors[camera * 10_000 : (camera + 1) * 10_000]
        await store.write([Record(f"c{camera}", at(i), f"m{camera}", float(i), row) for i, row in enumerate(rows)])
    await store.maintain()
    table = await (await lancedb.connect_async(tmp_path)).open_table(table_name(store.space))
    assert any("vector" in index.columns for index in await table.list_indices())
    filters = {
        Where(("c3",), ((at(3600), at(7200)),)): np.arange(33_600, 37_200),
        Where(("c3",), ((at(5000), at(5060)),)): np.arange(35_000, 35_060),
        Where(("c3", "c7")): np.r_[30_000:40_000, 70_000:80_000],
    }
    for where, left in filters.items():
        found = 0
        for i in rng.integers(0, 100_000, 20):
            question = vectors[i] + 0.02 * rng.normal(size=64).astype(np.float32)
            question /= np.linalg.norm(question)
            best = left[np.argsort(vectors[left] @ question)[-10:]]
            exact = {(f"c{n // 10_000}", at(n % 10_000)) for n in best.tolist()}
            found += len({(hit.camera, hit.time) for hit in await store.nearest(question, 10, where)} & exact)
        assert found >= (0.99 if len(left) <= lance_reader.EXACT_LIMIT else 0.97) * 200
    await store.close()
