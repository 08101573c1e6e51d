"""Tests the scan column beside a LanceDB table: exact answers, other processes, crashes and damaged files."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Hit, Record, StoreDamaged, Where
from footage.indexer.store.column import upkeep
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_table import table_name
from tests.indexer.store.store_contract import BOX, SPACE, at, make_records, record_keys, scan_all, unit_vectors

ROOT = Path(__file__).parents[3]


def column_folder(folder: Path) -> Path:
    return folder / f"{table_name(SPACE)}.column"


def column_files(folder: Path, kind: str) -> list[Path]:
    """Return the column's runs or logs."""
    return sorted(column_folder(folder).glob(f"{kind}-*"))


async def usable(store: LanceStore) -> bool:
    """Whether searches use the column, once what is done in the background is done."""
    await store.column_settled()
    return (await store.column_status()).usable


async def made(store: LanceStore) -> None:
    """Ask until the column is used again."""
    async with asyncio.timeout(60):
        while not await usable(store):
            await store.nearest(unit_vectors(1)[0], 1)
            await asyncio.sleep(0.05)


def matches(record: Record, where: Where) -> bool:
    """Whether a filter leaves a record."""
    in_span = not where.spans or any(start <= record.time < end for start, end in where.spans)
    in_media = not where.media or record.media in where.media
    return in_span and in_media and (not where.cameras or record.camera in where.cameras)


def assert_best(hits: list[Hit], records: list[Record], question: np.ndarray, k: int, where: Where) -> None:
    """Compare with brute force: the best scores, each of the record that has it."""
    scores = {_key(r): float(r.vector.astype(np.float64) @ question) for r in records if matches(r, where)}
    found = [(hit.camera, hit.time, hit.region.code if hit.region else 0) for hit in hits]
    assert len(set(found)) == len(found)
    np.testing.assert_allclose([hit.score for hit in hits], [scores[key] for key in found], atol=1e-6)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(scores.values(), reverse=True)[:k], atol=1e-6)


def _key(record: Record) -> tuple[str, datetime, int]:
    return record.camera, record.time, record.region.code if record.region else 0


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a few hundred rows, so that little footage has many of them."""
    monkeypatch.setattr(upkeep, "SEAL_ROWS", 64)
    monkeypatch.setattr(upkeep, "RUN_ROWS", 512)


class Filled:
    """A store's folder, and its records."""

    def __init__(self, folder: Path, records: list[Record]) -> None:
        self.folder, self.records = folder, records


@pytest.fixture(scope="module")
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


SECONDS = st.integers(-5, 405)
SPANS = st.lists(st.tuples(SECONDS, SECONDS).map(lambda s: (at(s[0]), at(s[1]))), max_size=3)
CAMERAS = st.lists(st.sampled_from(["a", "b", "c", "nobody"]), max_size=3, unique=True)
MEDIA = st.lists(st.sampled_from(["a-0", "b-0", "none"]), max_size=2, unique=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CAMERAS, SPANS, MEDIA, st.integers(1, 200), st.integers(0, 50))
def test_every_filter_gives_what_brute_force_gives(
    filled: Filled,
    cameras: list[str],
    spans: list[tuple[datetime, datetime]],
    media: list[str],
    k: int,
    seed: int,
) -> None:
    folder, records = filled.folder, filled.records
    where = Where(tuple(cameras), tuple(spans), tuple(media))
    question = unit_vectors(1, seed=1000 + seed)[0]

    async def ask() -> None:
        store = await LanceStore.open(folder, SPACE)
        assert await usable(store)
        hits = await store.nearest(question, k, where)
        assert_best(hits, records, question, k, where)
        left = sorted((r for r in records if matches(r, where)), key=lambda r: (r.time, r.camera, _key(r)[2]))
        assert record_keys(await scan_all(store, where)) == record_keys(left)
        assert await store.count(where) == len(left)
        (read,) = await store.read([where])
        np.testing.assert_array_equal(read.vectors, np.array([r.vector for r in left]).reshape(-1, SPACE.dim))
        await store.close()

    asyncio.run(ask())


async def test_questions_that_wait_together_are_each_answered(folder: Path) -> None:
    store = await LanceStore.open(folder, SPACE)
    wheres = [Where(), Where(("a",)), Where(("b",), ((at(50), at(90)),)), Where(media=("c-0",))] * 4
    questions = unit_vectors(16, seed=3)
    together = await asyncio.gather(*(store.nearest(q, 20, w) for q, w in zip(questions, wheres, strict=True)))
    alone = [await store.nearest(q, 20, w) for q, w in zip(questions, wheres, strict=True)]
    assert together == alone
    cancelled = asyncio.create_task(store.nearest(questions[0], 5))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert len(await store.nearest(questions[1], 5)) == 5
    await store.close()


async def test_the_column_is_used_and_its_runs_are_merged(tmp_path: Path, small_runs: None) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    for i in range(40):
        await store.write(make_records(40, first=40 * i, seed=i))
        await store.maintain()
    assert await usable(store)
    sizes = [run.stat().st_size for run in column_files(tmp_path, "run")]
    assert 3 <= len(sizes) <= 12
    assert (await store.column_status()).rows == 1600
    await store.close()


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


async def test_what_is_forgotten_leaves_the_columns_files(folder: Path, filled: Filled) -> None:
    store = await LanceStore.open(folder, SPACE)
    secrets = filled.records[::150]
    everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
    assert all(secret.vector.tobytes() in everything for secret in secrets)
    for secret in secrets:
        await store.forget(Where((secret.camera,), ((secret.time, at(1 + (secret.time - at(0)).total_seconds())),)))
        everything = b"".join(path.read_bytes() for path in column_folder(folder).iterdir())
        assert secret.vector.tobytes() not in everything
    await store.forget(Where())
    assert not column_files(folder, "run")
    assert await store.nearest(secrets[0].vector, 3) == []
    await store.close()


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


async def test_with_little_memory_the_newest_are_in_the_column_and_the_table_has_the_rest(
    tmp_path: Path, small_runs: None
) -> None:
    memory = 300 * (SPACE.dim + 32)
    store = await LanceStore.open(tmp_path, SPACE, memory)
    records = [r for i, camera in enumerate(("a", "b")) for r in make_records(400, camera, seed=i)]
    for part in np.array_split(np.random.default_rng(0).permutation(800), 16):
        await store.write([records[i] for i in part])
        await store.maintain()
    status = await store.column_status()
    assert status.usable
    assert 0 < status.rows <= 300 + 100
    assert status.since is not None
    wheres = (Where(), Where(("a",)), Where(("b",), ((at(10), at(390)),)), Where(spans=((at(0), at(20)),)))
    for where in wheres:
        for question in unit_vectors(3, seed=6):
            hits = await store.nearest(question, 30, where)
            assert_best(hits, records, question, 30, where)
        assert len(await scan_all(store, where)) == await store.count(where) == sum(matches(r, where) for r in records)
    assert len(await store.sample(50)) == 50
    await store.forget(Where(("a",)))
    assert await store.count() == 400
    await store.close()
    again = await LanceStore.open(tmp_path, SPACE, memory)
    assert len(await again.nearest(records[0].vector, 5000)) == 400
    await again.close()


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


async def test_two_spaces_have_two_columns(tmp_path: Path) -> None:
    other = Space("test/two", 16)
    one, two = await LanceStore.open(tmp_path, SPACE), await LanceStore.open(tmp_path, other)
    await one.write(make_records(10))
    await two.write([Record("gate", at(0), "m", 0, unit_vectors(1, dim=16)[0])])
    assert [(await store.column_status()).rows for store in (one, two)] == [10, 1]
    assert [json.loads(p.read_text())[1]["dim"] for p in sorted(tmp_path.glob("*.column/current.json"))] == [32, 16]
    await asyncio.gather(one.close(), two.close())


WORKER = """
import asyncio, random, sys
from pathlib import Path
from footage.indexer.store.base import Where
from footage.indexer.store.column import upkeep
from footage.indexer.store.lance import LanceStore
from tests.indexer.store.store_contract import SPACE, at, make_records

async def main(folder, first, seed):
    upkeep.SEAL_ROWS, upkeep.RUN_ROWS = 64, 512
    store = await LanceStore.open(folder, SPACE)
    chance = random.Random(seed)
    for i in range(first, 10_000):
        await store.write(make_records(20, "gate", first=20 * i, seed=i))
        print("written", i, flush=True)
        await store.maintain()
        if chance.random() < 0.4:
            gone = chance.randrange(i + 1)
            print("forgetting", gone, flush=True)
            await store.forget(Where(spans=((at(20 * gone), at(20 * gone + 5)),)))
            print("forgotten", gone, flush=True)

asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
"""


def worker(folder: Path, first: int, seed: int) -> subprocess.Popen[str]:
    """A process that writes, merges and forgets, and prints what it is about to do and has done."""
    command = [sys.executable, "-c", WORKER, str(folder), str(first), str(seed)]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, text=True, stdout=-1)


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
