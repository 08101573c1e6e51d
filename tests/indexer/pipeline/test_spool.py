"""Tests that spooled records are drained in order once the store is back, also after the process was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.pipeline.spool import Spool, SpoolFull
from footage.indexer.store.base import Record
from footage.indexer.store.errors import StoreError, StoreUnreachable
from tests.indexer.store.store_contract import BOX, START, make_records, record_keys, unit_vectors

LIMIT = 1_000_000
APPEND_AND_DIE = """
import asyncio, os, pathlib, signal, sys
from footage.indexer.pipeline.spool import Spool
from tests.indexer.store.store_contract import make_records
async def main():
    spool = Spool(pathlib.Path(sys.argv[1]), 10**9)
    for i, record in enumerate(make_records(100_000)):
        await spool.append([record])
        print(i, flush=True)
asyncio.run(main())
"""


class FakeStore:
    """A store in memory that cannot be reached after ``writes`` writes."""

    def __init__(self, writes: int = 1 << 30) -> None:
        self.writes_left = writes
        self.records: list[Record] = []

    async def write(self, records: Sequence[Record]) -> None:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise StoreUnreachable("away")
        self.records += records


async def test_records_are_drained_in_order_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "spool"
    odd = Record("Tür 門", START, "m", 1 / 3, unit_vectors(1)[0], BOX)
    records = [*make_records(30), odd]
    spool = Spool(path, LIMIT)
    await spool.append(records[:20])
    await spool.append(records[20:])
    assert spool.pending == path.stat().st_size
    store = FakeStore()
    assert await spool.drain(store.write, batch=7) == 31
    assert record_keys(store.records) == record_keys(records)
    last = store.records[-1]
    assert (last.camera, last.media, last.offset, last.region) == (odd.camera, "m", 1 / 3, BOX)
    np.testing.assert_array_equal([r.vector for r in store.records], [r.vector for r in records])
    assert spool.pending == 0
    assert list(path.parent.iterdir()) == []
    assert await spool.drain(store.write) == 0


async def test_the_rest_stays_spooled_when_the_store_fails_again(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    records = make_records(50)
    spool = Spool(path, LIMIT)
    await spool.append(records[:40])
    store = FakeStore(2)
    with pytest.raises(StoreUnreachable):
        await spool.drain(store.write, batch=10)
    again = Spool(path, LIMIT)
    assert 0 < again.pending < path.stat().st_size
    await again.append(records[40:])
    store.writes_left = 100
    assert await again.drain(store.write, batch=10) == 30
    assert record_keys(store.records) == record_keys(records)


@pytest.mark.parametrize("damaged", [0, 1, 4])
async def test_a_damaged_record_takes_no_other_along(
    tmp_path: Path, damaged: int, caplog: pytest.LogCaptureFixture
) -> None:
    path, records = tmp_path / "spool", make_records(6)
    await Spool(path, LIMIT).append(records)
    content = bytearray(path.read_bytes())
    content[damaged * (len(content) // len(records)) + 20] ^= 0xFF
    path.write_bytes(content + bytes(50))  # and a write that was cut short
    spool, store = Spool(path, LIMIT), FakeStore()
    assert "its last 50 bytes are no record" in caplog.text
    assert await spool.drain(store.write) == 5
    assert "1 records that waited here are damaged, and lost" in caplog.text
    assert record_keys(store.records) == record_keys([*records[:damaged], *records[damaged + 1 :]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", ["", "x", "\0\0"])
async def test_a_damaged_position_gives_everything_again(tmp_path: Path, position: str) -> None:
    path, records, store = tmp_path / "spool", make_records(3), FakeStore()
    await Spool(path, LIMIT).append(records)
    path.with_name("spool.done").write_text(position)
    assert await Spool(path, LIMIT).drain(store.write) == 3
    assert record_keys(store.records) == record_keys(records)


async def test_records_may_be_appended_while_others_are_drained(tmp_path: Path) -> None:
    records = make_records(30)
    spool = Spool(tmp_path / "spool", LIMIT)
    await spool.append(records[:10])
    store, more = FakeStore(), iter([records[10:20], records[20:]])

    async def write(some: Sequence[Record]) -> None:
        await store.write(some)
        if late := next(more, None):
            await spool.append(late)

    assert await spool.drain(write, batch=5) == 30
    assert record_keys(store.records) == record_keys(records)


async def test_a_full_spool_refuses_records_and_keeps_the_others(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 2_000)
    records = make_records(20)
    await spool.append(records[:5])
    with pytest.raises(SpoolFull, match="store still away"):
        await spool.append(records[5:])
    store = FakeStore()
    await spool.drain(store.write)
    await spool.append(records[5:10])
    await spool.drain(store.write)
    assert record_keys(store.records) == record_keys(records[:10])


async def test_what_is_drained_makes_room(tmp_path: Path) -> None:
    records, store = make_records(40), FakeStore(3)
    spool = Spool(tmp_path / "spool", LIMIT)
    await spool.append(records[:10])
    full = Spool(tmp_path / "spool", spool.pending)  # room for ten records
    with pytest.raises(SpoolFull):
        await full.append(records[10:11])
    with pytest.raises(StoreUnreachable):
        await full.drain(store.write, batch=2)
    await full.append(records[10:16])
    with pytest.raises(SpoolFull):
        await full.append(records[16:17])
    store.writes_left = 100
    assert await full.drain(store.write) == 10
    assert record_keys(store.records) == record_keys(records[:16])


@pytest.mark.parametrize("damage", ["short", "head", "flipped"])
async def test_an_incomplete_block_at_the_end_is_truncated(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "spool"
    records = make_records(4)
    spool = Spool(path, LIMIT)
    await spool.append(records[:2])
    whole = path.stat().st_size
    await spool.append(records[2:3])
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes({"short": data[:-3], "head": data[: whole + 5], "flipped": data}[damage])
    spool = Spool(path, LIMIT)
    assert spool.pending == whole
    await spool.append(records[3:])
    store = FakeStore()
    await spool.drain(store.write)
    assert record_keys(store.records) == record_keys([*records[:2], records[3]])


async def test_acknowledged_records_survive_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    command = [sys.executable, "-c", APPEND_AND_DIE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        acknowledgements = [process.stdout.readline() for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        acknowledgements += process.stdout.readlines()
    acknowledged = sum(line.endswith("\n") for line in acknowledgements)
    store = FakeStore()
    spool = Spool(path, 10**9)
    await spool.drain(store.write)
    assert acknowledged >= 50
    assert len(store.records) in (acknowledged, acknowledged + 1)
    assert record_keys(store.records) == record_keys(make_records(100_000)[: len(store.records)])


async def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot wait here"):
        await Spool(tmp_path / "file" / "spool", LIMIT).append(make_records(1))
