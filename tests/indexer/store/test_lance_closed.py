"""Tests that a table is opened only when it must be: what the scan column and the ledger know needs no LanceDB."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from footage.indexer.store import lance
from footage.indexer.store.base import Record, Where
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_files import TableLedger
from footage.indexer.store.lance_table import open_table, table_name
from tests.indexer.store.column.harness import assert_best, made, matches
from tests.indexer.store.store_contract import SPACE, at, make_records, scan_all, unit_vectors

RECORDS = [*make_records(100, "a", seed=1), *make_records(50, "b", seed=2)]
LATE = make_records(1, "late", seed=77)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """The folder of a store with records."""
    store = await LanceStore.open(tmp_path / "vectors", SPACE)
    await store.write(RECORDS)
    await store.close()
    return tmp_path / "vectors"


def table(folder: Path) -> Path:
    return folder / f"{table_name(SPACE)}.lance"


async def assert_answers(store: LanceStore, records: list[Record]) -> None:
    """Compare every kind of answer with what there should be."""
    for where in (Where(), Where(("a",), ((at(10), at(30)),)), Where(("late",))):
        left = [r for r in records if matches(r, where)]
        question = unit_vectors(1, seed=5)[0]
        assert_best(await store.nearest(question, 20, where), records, question, 20, where)
        assert len(await scan_all(store, where)) == await store.count(where) == len(left)
    assert sum(await store.read([Where(("a",)), Where(("b",))], len)) == sum(r.camera != "late" for r in records)
    assert len(await store.sample(7)) == 7
    assert await store.find_damage() == ""


async def test_questions_are_answered_without_opening_the_table(folder: Path) -> None:
    store = await LanceStore.open(folder, SPACE)
    await assert_answers(store, RECORDS)
    assert not store._reader.is_open
    await store.write(LATE)  # and now it is
    await assert_answers(store, [*RECORDS, *LATE])
    await store.close()


def test_a_program_that_only_asks_does_not_import_lancedb_or_arrow(folder: Path) -> None:
    code = """if True:
        import asyncio, sys
        from pathlib import Path
        from footage.indexer.store.lance import LanceStore
        from tests.indexer.store.store_contract import SPACE, unit_vectors

        async def ask():
            store = await LanceStore.open(Path(sys.argv[1]), SPACE)
            print(len(await store.nearest(unit_vectors(1)[0], 5)), await store.count(), await store.find_damage())
            await store.close()

        asyncio.run(ask())
        print(*({"lancedb", "pyarrow"} & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout.split()) == (0, ["5", str(len(RECORDS))]), done.stderr


async def write(folder: Path) -> list[Record]:
    other = await LanceStore.open(folder, SPACE)
    await other.write(LATE)
    await other.close()
    return [*RECORDS, *LATE]


async def forget(folder: Path) -> list[Record]:
    other = await LanceStore.open(folder, SPACE)
    assert await other.forget(Where(("a",))) == 100
    await other.close()
    return [r for r in RECORDS if r.camera != "a"]


async def write_without_a_column(folder: Path) -> list[Record]:
    other = await LanceStore.open(folder, SPACE, memory=0)
    await other.write(LATE)
    await other.close()
    return [*RECORDS, *LATE]


async def delete_and_tell_nobody(folder: Path) -> list[Record]:
    await (await open_table(folder, SPACE)).delete("camera = 'b'")
    return [r for r in RECORDS if r.camera != "b"]


async def compact_and_tell_nobody(folder: Path) -> list[Record]:
    await (await open_table(folder, SPACE)).optimize()
    return RECORDS


@pytest.mark.parametrize("before", [True, False], ids=["before it is opened", "afterwards"])
@pytest.mark.parametrize(
    "change", [write, forget, write_without_a_column, delete_and_tell_nobody, compact_and_tell_nobody]
)
async def test_what_others_change_is_noticed(
    folder: Path, change: Callable[[Path], Awaitable[list[Record]]], before: bool
) -> None:
    records = await change(folder) if before else []
    store = await LanceStore.open(folder, SPACE)
    assert before or not store._reader.is_open
    records = records or await change(folder)
    await store.nearest(unit_vectors(1)[0], 1)  # compares the column with the table
    await assert_answers(store, records)
    await made(store)
    await assert_answers(store, records)
    await store.close()


async def test_a_changed_list_of_files_is_not_believed(folder: Path) -> None:
    ledger = TableLedger(folder, table_name(SPACE))
    newest = min((table(folder) / "_versions").glob("*.manifest"))
    content = newest.read_bytes()
    for place in (*range(0, len(content), 50), len(content) - 1):
        newest.write_bytes(content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :])
        assert ledger.confirmed() is None
    newest.write_bytes(content)
    assert ledger.confirmed() is not None
    newest.rename(newest.with_name(f"{int(newest.stem) - 1}.manifest"))  # of another version
    assert ledger.confirmed() is None


async def test_an_older_copy_in_the_place_of_the_table_is_noticed(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(table(folder), tmp_path / "older")
    await write(folder)
    for name in ("_versions", "data"):  # the folder itself stays: the column is that of a table in this place
        shutil.rmtree(table(folder) / name)
        shutil.copytree(tmp_path / "older" / name, table(folder) / name)
    store = await LanceStore.open(folder, SPACE)
    assert "lost" in await store.find_damage()
    assert {hit.camera for hit in await store.nearest(LATE[0].vector, 200)} == {"a", "b"}
    await store.close()


@pytest.mark.parametrize("meanwhile", ["read_state", "open_table"])
async def test_what_is_written_while_a_table_is_opened_stays_noted_and_is_no_loss(
    folder: Path, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The one that opens has seen the table as it was before, when the other notes its commit."""
    other = await LanceStore.open(folder, SPACE)
    step = getattr(lance, meanwhile)

    async def write_behind(*args: Any) -> Any:
        found = await step(*args)
        monkeypatch.undo()
        if meanwhile == "open_table":
            found = Old(found, await found.version(), await found.count_rows())
        await other.write(LATE)
        return found

    ledger = TableLedger(folder, table_name(SPACE))
    ledger.write(replace(ledger.read(), manifest=0))  # so that the table is opened
    monkeypatch.setattr(lance, meanwhile, write_behind)
    store = await LanceStore.open(folder, SPACE)
    noted = ledger.read()
    assert (noted.rows, noted.lost) == (len(RECORDS) + 1, 0)
    assert await store.find_damage() == ""
    await store.close()
    await other.close()


class Old:
    """A table that answers once what it was, and then what it is."""

    def __init__(self, table: Any, version: int, rows: int) -> None:
        self._table, self._version, self._rows = table, [version], [rows]

    async def version(self) -> int:
        return self._version.pop() if self._version else int(await self._table.version())

    async def count_rows(self, *clause: str | None) -> int:
        return self._rows.pop() if self._rows else int(await self._table.count_rows(*clause))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


async def test_a_ledger_of_an_earlier_version_is_completed_once(folder: Path) -> None:
    ledger = folder.with_name("vectors.json")
    content = json.loads(ledger.read_text())
    kept = {name: {key: state[key] for key in ("version", "rows", "lost")} for name, state in content.items()}
    ledger.write_text(json.dumps(kept))
    for is_open in (True, False):
        store = await LanceStore.open(folder, SPACE)
        assert store._reader.is_open is is_open
        await assert_answers(store, RECORDS)
        await store.close()
