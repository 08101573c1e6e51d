"""Tests the scan column between processes: what one changes the others see, also when it is killed."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from footage.indexer.store.base import Where
from footage.indexer.store.lance import LanceStore
from tests.indexer.store.column.harness import Filled, column_folder, made, worker
from tests.indexer.store.store_contract import SPACE, at, make_records, scan_all, unit_vectors


async def test_other_instances_see_what_is_written_merged_and_forgotten(tmp_path: Path, small_runs: None) -> None:
    writer, reader = [await LanceStore.open(tmp_path, SPACE) for _ in range(2)]
    for i in range(12):
        records = make_records(50, first=50 * i, seed=i)
        await writer.write(records)
        assert (await reader.nearest(records[7].vector, 1))[0].time == records[7].time
        await (reader if i % 2 else writer).maintain()
        assert await writer.forget(Where(spans=((records[7].time, records[8].time),))) == 1
        assert (await reader.nearest(records[7].vector, 1))[0].time != records[7].time
        for store in (writer, reader):
            assert (await store.column_status()).usable
            assert (await store.column_status()).rows == 49 * (i + 1)
    await asyncio.gather(writer.close(), reader.close())


async def test_a_writer_without_a_column_is_noticed(folder: Path, filled: Filled) -> None:
    """An older version of Footage writes and tells nothing; one whose column is switched off takes it away."""
    reader = await LanceStore.open(folder, SPACE)
    (late,) = make_records(1, "late", seed=77)
    without = await LanceStore.open(folder, SPACE, memory=0)
    await without.write([late])
    assert (await reader.nearest(late.vector, 1))[0].camera == "late"
    await without.forget(Where(("late",)))
    assert all(hit.camera != "late" for hit in await reader.nearest(late.vector, 5))
    await made(reader)
    assert len(await reader.nearest(late.vector, 5000)) == len(filled.records)
    await asyncio.gather(reader.close(), without.close())


async def test_a_change_that_nobody_told_of_is_noticed(folder: Path) -> None:
    from footage.indexer.store.lance_table import open_table

    table = await open_table(folder, SPACE)
    await table.delete("camera = 'a'")
    store = await LanceStore.open(folder, SPACE)
    assert {hit.camera for hit in await store.nearest(unit_vectors(1)[0], 50)} <= {"b", "c"}
    await made(store)
    assert await store.count(Where(("b", "c"))) == len(await store.nearest(unit_vectors(1)[0], 5000))
    await table.delete("camera = 'b'")  # while it is open
    async with asyncio.timeout(30):
        while {hit.camera for hit in await store.nearest(unit_vectors(1)[0], 50)} != {"c"}:
            await asyncio.sleep(0.1)
    await store.close()


async def test_a_column_is_used_again_after_a_writer_was_killed_before_it_changed_the_table(folder: Path) -> None:
    killed = await LanceStore.open(folder, SPACE)
    assert killed._column._column.begin(await killed.count())  # and that is all it did
    for _ in range(2):
        store = await LanceStore.open(folder, SPACE)
        await made(store)
        await store.close()
    await killed.close()


async def test_a_column_without_its_list_of_files_is_taken_from_those_who_use_it(folder: Path) -> None:
    """As a process leaves it that was killed while it took the column away."""
    reader = await LanceStore.open(folder, SPACE)
    (late,) = make_records(1, "late", seed=77)
    assert (await reader.nearest(late.vector, 1))[0].camera != "late"
    (column_folder(folder) / "current.json").unlink()
    writer = await LanceStore.open(folder, SPACE, memory=0)
    await writer.write([late])
    assert (await reader.nearest(late.vector, 1))[0].camera == "late"
    await asyncio.gather(reader.close(), writer.close())


async def test_no_question_waits_for_ever_when_the_store_is_closed(folder: Path, filled: Filled) -> None:
    store = await LanceStore.open(folder, SPACE)
    asked = [asyncio.create_task(store.nearest(record.vector, 5)) for record in filled.records[:50]]
    await asyncio.sleep(0)
    await asyncio.gather(store.close(), return_exceptions=True)
    async with asyncio.timeout(60):
        await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.slow
async def test_a_killed_process_leaves_a_column_that_answers_rightly(tmp_path: Path) -> None:
    """Killed while it writes, merges or forgets; a reader that stays open and one that comes later both agree."""
    chance = random.Random(3)
    reader = await LanceStore.open(tmp_path, SPACE)
    written, gone = 0, set()
    for round_number in range(8):
        with worker(tmp_path, written, round_number) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randrange(2, 30))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        said = [line.split() for line in lines if line.endswith("\n")]
        written = max([written, *(int(n) + 1 for what, n in said if what == "written")])
        gone |= {int(n) for what, n in said if what == "forgotten"}
        maybe = {int(n) for what, n in said if what == "forgetting"} - gone
        fresh = await LanceStore.open(tmp_path, SPACE)
        truth = await LanceStore.open(tmp_path, SPACE, memory=0)
        rows = {record.time for record in await scan_all(truth)}
        for store in (reader, fresh):
            for i in range(written):
                records = make_records(20, "gate", first=20 * i, seed=i)
                kept = [r for n, r in enumerate(records) if i not in gone or n >= 5]
                hits = {h.time for h in await store.nearest(records[10].vector, 1)}
                assert hits == {records[10].time}
                assert i in maybe or all(r.time in rows for r in kept)
            found = {hit.time for hit in await store.nearest(unit_vectors(1)[0], 100_000)}
            assert found == rows
        gone |= {i for i in maybe if at(20 * i) not in rows}
        await made(reader)
        await made(fresh)
        assert {hit.time for hit in await reader.nearest(unit_vectors(1)[0], 100_000)} == rows
        await asyncio.gather(fresh.close(), truth.close())
    assert written > 20
    assert gone
    await reader.close()


@pytest.mark.slow
async def test_a_reader_beside_processes_that_write_merge_and_forget(tmp_path: Path) -> None:
    reader = await LanceStore.open(tmp_path, SPACE)
    with worker(tmp_path, 0, 1) as process:
        assert process.stdout is not None
        seen, pending = 0, set()
        while seen < 60:
            what, number = (await asyncio.to_thread(process.stdout.readline)).split()
            i = int(number)
            records = make_records(20, "gate", first=20 * i, seed=i)
            if what == "written":
                assert (await reader.nearest(records[12].vector, 1))[0].time == records[12].time
                seen += 1
            elif what == "forgotten":
                pending.add(i)
                assert all(hit.time != records[2].time for hit in await reader.nearest(records[2].vector, 5))
        process.kill()
    assert pending
    await reader.close()
