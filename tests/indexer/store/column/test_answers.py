"""Tests that the scan column answers exactly, under every filter and with little memory."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record, Where
from footage.indexer.store.lance import LanceStore
from tests.indexer.store.column.harness import Filled, assert_best, column_files, key_of, matches, usable
from tests.indexer.store.store_contract import SPACE, at, make_records, record_keys, scan_all, unit_vectors

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
        left = sorted((r for r in records if matches(r, where)), key=lambda r: (r.time, r.camera, key_of(r)[2]))
        assert record_keys(await scan_all(store, where)) == record_keys(left)
        assert await store.count(where) == len(left)
        (read,) = await store.read([where], lambda rows: rows)
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


async def test_few_rows_stay_in_memory_until_they_are_in_a_run(tmp_path: Path) -> None:
    """Each takes 2.6 kB of own memory with vectors of 512 numbers: 4,096 of them rose and fell by 11 MB."""
    store = await LanceStore.open(tmp_path, SPACE)
    await store.write(make_records(1_200))
    await store.maintain()
    (run,) = column_files(tmp_path, "run")
    (log,) = column_files(tmp_path, "log")
    assert run.stat().st_size > 1_200 * 4 * SPACE.dim > log.stat().st_size
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


async def test_two_spaces_have_two_columns(tmp_path: Path) -> None:
    other = Space("test/two", 16)
    one, two = await LanceStore.open(tmp_path, SPACE), await LanceStore.open(tmp_path, other)
    await one.write(make_records(10))
    await two.write([Record("gate", at(0), "m", 0, unit_vectors(1, dim=16)[0])])
    assert [(await store.column_status()).rows for store in (one, two)] == [10, 1]
    assert [json.loads(p.read_text())[1]["dim"] for p in sorted(tmp_path.glob("*.column/current.json"))] == [32, 16]
    await asyncio.gather(one.close(), two.close())
