"""Tests that a scan column that is damaged, older, another one or missing changes no answer, and is made again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from footage.indexer.store.base import Where
from footage.indexer.store.column import run_file
from footage.indexer.store.column.upkeep import ColumnUpkeep
from footage.indexer.store.errors import StoreDamaged
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_table import table_name
from tests.indexer.store.column.harness import Filled, assert_best, column_files, column_folder, made, matches
from tests.indexer.store.store_contract import SPACE, at, make_records, scan_all, unit_vectors


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def flip(share: float) -> Callable[[Path], None]:
    """Return what changes a byte at this share of a file."""

    def change(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 0x55
        path.unlink()
        path.write_bytes(content)

    return change


def foreign(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def tear(path: Path) -> None:
    """A writer was killed in the midst of an entry."""
    with path.open("ab") as file:
        file.write(path.read_bytes()[:30])


DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": Path.unlink,
    "cut": cut,
    "empty": lambda path: path.write_bytes(b"") and None,
    "foreign": foreign,
    "torn": tear,
    **{f"flipped at {share}": flip(share) for share in (0, 0.003, 0.02, 0.1, 0.3, 0.6, 0.9, 0.99, 1)},
}


@pytest.mark.parametrize("kind", ["current", "run", "log"])
@pytest.mark.parametrize("damage", DAMAGES)
async def test_damaged_files_change_no_answer_and_are_made_again(
    folder: Path, filled: Filled, damage: str, kind: str
) -> None:
    files = [column_folder(folder) / "current.json"] if kind == "current" else column_files(folder, kind)
    DAMAGES[damage](files[0])
    store = await LanceStore.open(folder, SPACE)
    records = filled.records
    for where in (Where(), Where(("a",), ((at(100), at(300)),))):
        question = unit_vectors(1, seed=5)[0]
        for _ in range(3):
            hits = await store.nearest(question, 50, where)
            assert_best(hits, records, question, 50, where)
            assert len(await scan_all(store, where)) == sum(matches(r, where) for r in records)
    await made(store)
    assert len(await store.nearest(question, 5000)) == len(records)
    await store.close()


async def test_damage_is_found_while_the_column_is_loaded_before_any_question(folder: Path, filled: Filled) -> None:
    damaged = column_files(folder, "run")[0]
    content = bytearray(damaged.read_bytes())
    content[footer_of(content)["places"]["codes"][0]] ^= 0x55
    damaged.unlink()
    damaged.write_bytes(content)
    store = await LanceStore.open(folder, SPACE)
    await store.load()
    async with asyncio.timeout(60):
        while damaged.exists() or not (await store.column_status()).usable:
            await asyncio.sleep(0.05)
    question = unit_vectors(1, seed=5)[0]
    assert_best(await store.nearest(question, 50), filled.records, question, 50, Where())
    await store.close()


def footer_of(run: bytes) -> dict[str, Any]:
    length = run_file.TRAILER.unpack(run[-run_file.TRAILER.size :])[0]
    return dict(json.loads(run[-run_file.TRAILER.size - length : -run_file.TRAILER.size]))


def rewrite_with_former_sums(path: Path) -> None:
    """Make a run as former versions wrote it: checksums of 64 kB of vectors each, and no word of that."""
    content = path.read_bytes()
    footer = footer_of(content)
    first, size = footer["places"]["vectors"]
    vectors = content[first : first + size]
    footer["sums"]["vectors"] = [zlib.crc32(vectors[at : at + 65536]) for at in range(0, size, 65536)]
    del footer["blocks"]
    text = json.dumps(footer).encode()
    path.unlink()
    path.write_bytes(
        content[: first + size] + text + run_file.TRAILER.pack(len(text), zlib.crc32(text), run_file.MAGIC)
    )


async def test_runs_of_former_versions_are_read_as_they_are(folder: Path, filled: Filled) -> None:
    runs = column_files(folder, "run")
    for path in runs:
        rewrite_with_former_sums(path)
    store = await LanceStore.open(folder, SPACE)
    question = unit_vectors(1, seed=5)[0]
    for _ in range(2):
        assert_best(await store.nearest(question, 500), filled.records, question, 500, Where())
    assert len(await scan_all(store, Where())) == len(filled.records)
    assert (await store.column_status()).usable
    assert column_files(folder, "run") == runs
    await store.close()


async def test_the_column_of_another_index_is_not_used(folder: Path, tmp_path: Path) -> None:
    """The same keys, the same number of rows and the same version, but other vectors."""
    stores = [await LanceStore.open(tmp_path / name, SPACE) for name in ("one", "two")]
    records = [make_records(200, seed=seed) for seed in (1, 2)]
    for store, part in zip(stores, records, strict=True):
        await store.write(part)
        await store.close()
    shutil.rmtree(column_folder(tmp_path / "one"))
    shutil.copytree(column_folder(tmp_path / "two"), column_folder(tmp_path / "one"))
    store = await LanceStore.open(tmp_path / "one", SPACE)
    hit = (await store.nearest(records[0][50].vector, 1))[0]
    assert (hit.time, round(hit.score, 3)) == (records[0][50].time, 1)
    await store.close()


async def test_an_older_copy_of_the_column_is_brought_up_to_date(folder: Path, filled: Filled) -> None:
    shutil.copytree(column_folder(folder), folder / "older")
    store = await LanceStore.open(folder, SPACE)
    (late,) = make_records(1, "late", seed=77)
    await store.write([late])
    await store.forget(Where(("a",)))
    await store.close()
    shutil.rmtree(column_folder(folder))
    shutil.copytree(folder / "older", column_folder(folder))
    store = await LanceStore.open(folder, SPACE)
    for _ in range(2):
        hits = await store.nearest(late.vector, 5000)
        assert hits[0].camera == "late"
        assert {hit.camera for hit in hits} == {"late", "b", "c"}
        await made(store)
    await store.close()


async def test_a_large_table_is_answered_while_its_column_is_made(tmp_path: Path) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    records = make_records(5000)
    await store.write(records)
    await store.close()
    shutil.rmtree(column_folder(tmp_path))
    store = await LanceStore.open(tmp_path, SPACE)
    assert not (await store.column_status()).usable
    assert (await store.nearest(records[4321].vector, 1))[0].time == records[4321].time
    (late,) = make_records(1, "late", seed=77)
    await store.write([late])
    assert (await store.nearest(late.vector, 1))[0].camera == "late"
    await made(store)
    assert (await store.column_status()).rows == 5001
    assert (await store.nearest(late.vector, 1))[0].camera == "late"
    await store.close()


async def test_a_damaged_table_is_told_while_its_column_is_missing(tmp_path: Path) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    await store.write(make_records(100))
    await store.close()
    shutil.rmtree(column_folder(tmp_path))
    for file in (tmp_path / f"{table_name(SPACE)}.lance" / "data").iterdir():
        file.unlink()
    store = await LanceStore.open(tmp_path, SPACE)
    with pytest.raises(StoreDamaged):
        await store.nearest(unit_vectors(1)[0], 3)
    await store.close()


async def test_a_fault_while_the_column_is_looked_after_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: ColumnUpkeep) -> None:
        raise IndexError("a bug")

    monkeypatch.setattr(ColumnUpkeep, "repair", fail)
    nothing: Any = SimpleNamespace(folder=tmp_path)
    await ColumnUpkeep(nothing, nothing, tmp_path, 10).tend()
    (told,) = [record for record in caplog.records if "could not be looked after" in record.getMessage()]
    assert told.exc_info
    assert isinstance(told.exc_info[1], IndexError)
