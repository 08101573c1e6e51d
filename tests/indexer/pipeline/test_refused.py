"""Tests that records which a store refuses for good are set aside with the reason, and can be given back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.embed.base import Space
from footage.indexer.pipeline.refused import RefusedRecords, write_isolating
from footage.indexer.pipeline.retry import Reminder, SpoolingWriter, retry_forever
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreBlocked, StoreError, StoreUnreachable
from footage.indexer.supervisor import Supervisor
from tests.indexer.store.store_contract import SPACE, make_records, record_keys

LIMIT = 10_000_000


class PickyStore:
    """A store in memory that refuses batches with records at some seconds, or everything while it has an error."""

    def __init__(self, bad: Sequence[float] = (), most: int = 1_000) -> None:
        self.bad, self.most = set(bad), most
        self.error: StoreError | None = None
        self.records: list[Record] = []
        self.writes = 0

    async def write(self, records: Sequence[Record]) -> None:
        self.writes += 1
        if self.error:
            raise self.error
        if len(records) > self.most:
            raise StoreError("too many values in IN")
        if wrong := [r.offset for r in records if r.offset in self.bad]:
            raise StoreError(f"the record at {wrong[0]:g} s cannot be stored")
        self.records += records


@given(st.sets(st.integers(0, 39)), st.integers(1, 40))
def test_whatever_is_refused_the_rest_is_written_once(bad: set[int], most: int) -> None:
    store, records = PickyStore([float(i) for i in bad], most), make_records(40)
    refused = asyncio.run(write_isolating(store, records))
    assert {r.offset for r, _ in refused} == bad
    assert sorted(r.offset for r in store.records) == sorted(set(range(40)) - bad)


async def test_one_of_a_hundred_is_found_in_few_writes() -> None:
    store = PickyStore([37.0])
    ((record, reason),) = await write_isolating(store, make_records(100))
    assert (record.offset, reason) == (37.0, "the record at 37 s cannot be stored")
    assert store.writes < 20


async def test_the_spool_goes_on_past_what_can_never_pass(tmp_path: Path, supervisor: Supervisor) -> None:
    records, store = make_records(60), PickyStore([3.0, 41.0])
    store.error = StoreUnreachable("away")
    refused, spool = RefusedRecords(tmp_path, SPACE), Spool(tmp_path / "spool", LIMIT)
    writer = SpoolingWriter(store, spool, refused, supervisor=supervisor)
    await writer.write(records[:50])
    assert writer.problem == "away"
    store.error = None
    await writer.write(records[50:])
    async with asyncio.timeout(20):
        while spool.pending:
            await asyncio.sleep(0.01)
    assert [r.offset for r in store.records] == [float(i) for i in range(60) if i not in (3, 41)]
    assert writer.problem == ""
    assert writer.refused_count == 2
    summary = await refused.summary()
    assert (dict(summary.cameras), summary.reason) == ({"gate": 2}, "the record at 41 s cannot be stored")
    await writer.close()


@pytest.mark.parametrize("error", [StoreUnreachable("away"), StoreBlocked("the disk is full")])
async def test_what_is_not_about_the_records_is_waited_for(tmp_path: Path, error: StoreError) -> None:
    refused, store = RefusedRecords(tmp_path, SPACE), PickyStore()
    store.error = error
    writer = SpoolingWriter(store, None, refused, (StoreUnreachable, StoreBlocked))
    writing = asyncio.create_task(writer.write(make_records(5)))
    async with asyncio.timeout(20):
        while not store.writes:
            await asyncio.sleep(0.01)
        store.error = None
        await writing
    assert len(store.records) == 5
    assert (await refused.summary()).total == 0


async def test_a_fault_of_the_program_is_not_set_aside(tmp_path: Path) -> None:
    class Faulty:
        async def write(self, records: Sequence[Record]) -> None:
            raise TypeError("a bug")

    refused = RefusedRecords(tmp_path, SPACE)
    with pytest.raises(TypeError, match="a bug"):
        await SpoolingWriter(Faulty(), None, refused).write(make_records(2))
    assert not refused.path.exists()


async def test_what_was_set_aside_is_given_back_unchanged(tmp_path: Path) -> None:
    records, refused = make_records(6), RefusedRecords(tmp_path / "data", SPACE)
    await refused.append([(r, "no") for r in records[:4]])
    other = RefusedRecords(tmp_path / "data", Space("test/other", 3))
    await other.append([(Record("yard", records[0].time, "m", 9.0, np.array([1, 0, 0], np.float32)), "no")])
    assert refused.path.stat().st_mode & 0o077 == 0
    store = PickyStore([2.0])
    assert await refused.replay(store) == (3, 2)
    assert record_keys(store.records) == record_keys([records[0], records[1], records[3]])
    np.testing.assert_array_equal([r.vector for r in store.records], [records[i].vector for i in (0, 1, 3)])
    summary = await other.summary()
    assert dict(summary.cameras) == {"yard": 1, "gate": 1}
    store.bad = set()
    assert await refused.replay(store) == (1, 1)
    assert await other.replay(PickyStore()) == (1, 0)
    assert not refused.path.exists()
    assert (await refused.summary()).total == 0


async def test_the_file_is_bounded_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    records, refused = make_records(10), RefusedRecords(tmp_path, SPACE, size=2_000)
    for record in records:
        await refused.append([(record, "no")])
    summary = await refused.summary()
    assert refused.path.stat().st_size <= 2_000
    assert summary.total + summary.dropped == 10
    assert summary.total > 0
    assert f"{summary.dropped} more found no room" in summary.describe()


async def test_a_line_that_a_killed_process_left_half_written_is_cut_off(tmp_path: Path) -> None:
    records, refused = make_records(3), RefusedRecords(tmp_path, SPACE)
    await refused.append([(records[0], "no")])
    with refused.path.open("ab") as file:
        file.write(b'{"camera": "ga')
    assert (await refused.summary()).total == 1
    await refused.append([(records[1], "no")])
    assert [json.loads(line)["camera"] for line in refused.path.read_text().splitlines()] == ["gate", "gate"]
    assert (await RefusedRecords(tmp_path, SPACE).summary()).total == 2


@pytest.mark.parametrize("line", [b"\0\0\0", b"[]", b"{}", b'{"camera": "gate"}', b'{"camera":', b'"gate"', b"7"])
async def test_a_damaged_line_takes_no_other_along(tmp_path: Path, line: bytes) -> None:
    records, refused = make_records(2), RefusedRecords(tmp_path, SPACE)
    await refused.append([(records[0], "no")])
    with refused.path.open("ab") as file:
        file.write(line + b"\n")
    await refused.append([(records[1], "no")])
    summary = await RefusedRecords(tmp_path, SPACE).summary()
    assert (summary.total, summary.unreadable, summary.reason) == (2, 1, "no")
    assert "1 lines of the file of refused records are damaged" in summary.describe()
    store = PickyStore()
    assert await refused.replay(store) == (2, 0)
    assert len(store.records) == 2


async def test_what_is_retried_speaks_up_again(caplog: pytest.LogCaptureFixture) -> None:
    failures = 3

    async def work() -> str:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreError("the disk is full")
        return "done"

    assert await retry_forever(work, StoreError, Reminder(0.0)) == "done"
    first, second, third = (r.getMessage() for r in caplog.records if r.name == "footage.indexer.pipeline.retry")
    assert first == "the disk is full; it is tried again until it succeeds"
    assert "tried 2 times" in second
    assert "tried 3 times" in third
