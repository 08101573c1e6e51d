"""Tests that acknowledged writes survive a killed process, and that processes work side by side."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from footage.indexer.store.base import Where
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.store.catalog_contract import video
from tests.indexer.store.store_contract import SPACE, make_records, scan_all

ROOT = Path(__file__).parents[3]

WRITER = """
import asyncio, sys
from pathlib import Path
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.store.catalog_contract import video
from tests.indexer.store.store_contract import SPACE, make_records

async def main(folder, camera, first, batches, maintained):
    store = await LanceStore.open(folder / "vectors", SPACE)
    catalog = await SqliteCatalog.open(folder / "catalog.sqlite")
    for i in range(first, first + batches):
        if maintained and i % 7 == 3:
            await store.maintain()
        await catalog.add_media(video(f"{camera}-{i}", 0, 0, camera), "r")
        await store.write(make_records(10, camera, first=10 * i, seed=i))
        print(i, flush=True)

asyncio.run(main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
"""


def writer(folder: Path, camera: str, first: int, batches: int, maintained: bool) -> subprocess.Popen[str]:
    """A process that writes batches of ten records and prints the number of each when it is acknowledged."""
    command = [sys.executable, "-c", WRITER, str(folder), camera, str(first), str(batches), str(int(maintained))]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, stdout=-1)


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_or_doubled_by_sigkill(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged: list[int] = []
    for _ in range(10):
        first = acknowledged[-1] if acknowledged else 0  # the last one again, as a pipeline that resumes does
        with writer(tmp_path, "gate", first, 10_000, maintained=True) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randrange(1, 12))]
            process.send_signal(signal.SIGKILL)  # in the midst of the next batch or of maintenance
            lines += process.stdout.readlines()
        acknowledged += [int(line) for line in lines if line.endswith("\n")]
        store = await LanceStore.open(tmp_path / "vectors", SPACE)
        times = Counter(record.time for record in await scan_all(store))
        wanted = {record.time for i in set(acknowledged) for record in make_records(10, first=10 * i)}
        assert wanted <= times.keys()
        assert set(times.values()) == {1}
        assert len(times) <= len(wanted) + 10  # at most the batch that was under way
        await store.close()
    store = await LanceStore.open(tmp_path / "vectors", SPACE)
    await store.maintain()
    assert await store.forget(Where()) == len(times)
    catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
    entries = await catalog.media([f"gate-{i}" for i in acknowledged])
    assert len(entries) == len(set(acknowledged)) == len({entry.media.start for entry in entries.values()})
    assert await catalog.add_media(video(f"gate-{acknowledged[0]}", 0, 0), "r") in entries.values()
    await catalog.close()


@pytest.mark.slow
async def test_two_writing_processes_a_reader_and_maintenance_at_once(tmp_path: Path) -> None:
    reader = await LanceStore.open(tmp_path / "vectors", SPACE)
    writers = [writer(tmp_path, camera, 0, 60, maintained=False) for camera in ("a", "b", "a")]  # "a" twice on purpose
    while any(process.poll() is None for process in writers):
        seen = await reader.count()
        assert len(await reader.nearest(make_records(1)[0].vector, 20)) >= min(20, seen)
        assert len(await scan_all(reader)) >= seen
        await reader.maintain()
    for process in writers:
        process.communicate()
        assert process.returncode == 0
    assert [record.camera for record in await scan_all(reader)] == ["a", "b"] * 600
