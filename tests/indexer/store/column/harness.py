"""Test harness for the scan column: a filled store, brute force, and processes that write."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np

from footage.indexer.store.base import Hit, Record, Where
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_table import table_name
from tests.indexer.store.store_contract import SPACE, unit_vectors

ROOT = Path(__file__).parents[4]


class Filled:
    """A store's folder, and its records."""

    def __init__(self, folder: Path, records: list[Record]) -> None:
        self.folder, self.records = folder, records


def column_folder(folder: Path) -> Path:
    return folder / f"{table_name(SPACE)}.column"


def column_files(folder: Path, kind: str) -> list[Path]:
    """Return the column's runs or logs."""
    return sorted(column_folder(folder).glob(f"{kind}-*"))


async def usable(store: LanceStore) -> bool:
    """Whether searches use the column."""
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
    scores = {key_of(r): float(r.vector.astype(np.float64) @ question) for r in records if matches(r, where)}
    found = [(hit.camera, hit.time, hit.region.code if hit.region else 0) for hit in hits]
    assert len(set(found)) == len(found)
    np.testing.assert_allclose([hit.score for hit in hits], [scores[key] for key in found], atol=1e-6)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(scores.values(), reverse=True)[:k], atol=1e-6)


def key_of(record: Record) -> tuple[str, datetime, int]:
    return record.camera, record.time, record.region.code if record.region else 0


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
