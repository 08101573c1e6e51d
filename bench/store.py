"""Measures the stores: writes/s, search p50/p99 and recall@10, next to exact numpy on the same vectors.

Run ``python -m bench.store`` for 10^5 records, ``--large`` for 10^6; ``--cassandra 100000`` adds that many records in a
Cassandra node that runs for the measurement (``tests/cassandra`` says what it needs). The vectors fill a space of 32
dimensions evenly, with noise in all 512: no clusters help the index, and no record is especially near to a query.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from timeit import timeit

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store.base import Record, Store, Where
from footage.indexer.store.lance import LanceStore

DIM = 512
LATENT = 32
CAMERAS = 8
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPACE = Space("bench/1", DIM)
Opener = Callable[[Path], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def open_lance(folder: Path) -> AsyncIterator[Store]:
    """Open the embedded store."""
    store = await LanceStore.open(folder / "vectors", SPACE)
    yield store
    await store.close()


@asynccontextmanager
async def open_cassandra(folder: Path) -> AsyncIterator[Store]:
    """The cluster store, on one node."""
    from tests.cassandra.server import Server

    from footage.indexer.store.cassandra import CassandraStore, connect_cassandra, schema

    node = Server(folder, heap="2g")
    with node:
        at = node.contact
        session = await connect_cassandra([at.host], at.port, "bench", user=at.user, password=at.password)
        await schema.create_tables(session, SPACE)
        yield await CassandraStore.open(session, SPACE)
        await session.close()


STORES: dict[str, Opener] = {"lance": open_lance, "cassandra": open_cassandra}


@dataclass(frozen=True)
class SearchResult:
    """One line of the result: milliseconds, and the part of the true ten best that was found."""

    filter: str
    rows: int
    p50: float
    p99: float
    numpy_p50: float
    recall: float


@dataclass(frozen=True)
class Corpus:
    """The vectors, with the camera and the second of each; cameras take turns, one frame a second each."""

    vectors: Vectors
    questions: Vectors

    def record(self, i: int) -> Record:
        """The ``i``-th record."""
        camera, second = i % CAMERAS, i // CAMERAS
        media = f"{camera}-{second // 3600}"
        return Record(f"cam{camera}", START + timedelta(seconds=second), media, second % 3600, self.vectors[i])

    def where(self, which: str) -> tuple[Where, NDArray[np.intp]]:
        """A filter by name, and the rows that it leaves."""
        every = np.arange(len(self.vectors))
        if which == "none":
            return Where(), every
        if which == "camera":
            return Where(cameras=("cam3",)), every[every % CAMERAS == 3]
        hour = (every % CAMERAS == 3) & (every // CAMERAS // 3600 == 1)
        return Where(cameras=("cam3",), spans=((START + HOUR, START + 2 * HOUR),)), every[hour]


def make_corpus(n: int, questions: int, seed: int = 0) -> Corpus:
    """``n`` unit vectors of intrinsic dimension 32 with noise, and questions of the same kind."""
    random = np.random.default_rng(seed)
    basis = random.standard_normal((LATENT, DIM), dtype=np.float32)

    def make_vectors(count: int) -> Vectors:
        clean = random.standard_normal((count, LATENT), dtype=np.float32) @ basis / np.float32(LATENT**0.5)
        return _unit(clean + np.float32(0.3) * random.standard_normal((count, DIM), dtype=np.float32))

    return Corpus(
        np.concatenate([make_vectors(len(part)) for part in np.array_split(np.arange(n), n // 50_000 + 1)]),
        make_vectors(questions),
    )


def _unit(rows: Vectors) -> Vectors:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / norms, dtype=np.float32)


async def write(store: Store, data: Corpus, batch: int) -> float:
    """Write everything, with maintenance every 50 writes as the pipeline does; records a second."""
    began = time.perf_counter()
    for number, first in enumerate(range(0, len(data.vectors), batch), 1):
        await store.write([data.record(i) for i in range(first, min(first + batch, len(data.vectors)))])
        if number % 50 == 0:
            await store.maintain()
    return len(data.vectors) / (time.perf_counter() - began)


async def measure_search(store: Store, data: Corpus, which: str, k: int = 10) -> SearchResult:
    """Ask every question once under one filter, of the store and of numpy."""
    where, left = data.where(which)
    vectors = data.vectors if which == "none" else data.vectors[left]
    taken, exact, found = [], [], 0
    await store.nearest(data.questions[0], k, where)
    for question in data.questions:
        began = time.perf_counter()
        hits = await store.nearest(question, k, where)
        taken.append(time.perf_counter() - began)
        began = time.perf_counter()
        scores = vectors @ question
        best = left[np.argpartition(-scores, min(k, len(scores)) - 1)[:k]]
        exact.append(time.perf_counter() - began)
        truth = {(data.record(int(i)).camera, data.record(int(i)).time) for i in best}
        found += len(truth & {(hit.camera, hit.time) for hit in hits})
    p50, p99 = np.percentile(taken, [50, 99]) * 1000
    recall = found / (len(data.questions) * min(k, len(left)))
    return SearchResult(which, len(left), float(p50), float(p99), float(np.median(exact)) * 1000, recall)


async def measure(name: str, folder: Path, data: Corpus, batch: int) -> dict[str, object]:
    """Measure one store."""
    async with STORES[name](folder) as store:
        rate = await write(store, data, batch)
        began = time.perf_counter()
        await store.maintain()
        maintained = time.perf_counter() - began
        searched = [
            await measure_search(store, data, which)
            for which in ("none", "camera", "camera-hour")
            if len(data.where(which)[1])
        ]
        size = _size(folder)
    return {
        "store": name,
        "records": len(data.vectors),
        "writes_per_second": round(rate),
        "maintain_seconds": round(maintained, 1),
        "disk_mb": round(size / 1e6),
        "searches": [asdict(one) for one in searched],
    }


def measure_binding(vector: NDArray[np.float32]) -> tuple[float, float]:
    """Microseconds to make what is sent of a vector: by the store, and by the driver of a list."""
    from cassandra.cqltypes import lookup_casstype

    from footage.indexer.store.cassandra.vectors import _bytes

    numbers = vector.tolist()
    kind = lookup_casstype(
        f"org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType, {DIM})"
    )
    assert kind.serialize(numbers, 5) == _bytes(vector)
    each = (timeit(lambda: _bytes(vector), number=10_000), timeit(lambda: kind.serialize(numbers, 5), number=10_000))
    return round(each[0] * 100, 2), round(each[1] * 100, 2)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "commitlog" not in file.parts)


def print_result(result: dict[str, object], searches: list[dict[str, float]]) -> None:
    """Print the result."""
    print(", ".join(f"{name} {value}" for name, value in result.items() if name != "searches"))
    print(f"{'filter':>12} {'rows':>9} {'p50 ms':>8} {'p99 ms':>8} {'numpy p50':>10} {'recall@10':>10}")
    for row in searches:
        numbers = (
            f"{row['rows']:>9} {row['p50']:>8.1f} {row['p99']:>8.1f} {row['numpy_p50']:>10.1f} {row['recall']:>10.3f}"
        )
        print(f"{row['filter']:>12} {numbers}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="10^6 records in place of 10^5")
    parser.add_argument("--records", type=int, help="another number of records")
    parser.add_argument("--cassandra", type=int, default=0, help="so many records in Cassandra too")
    parser.add_argument("--batch", type=int, default=500, help="records a write")
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    runs = [("lance", given.records or (1_000_000 if given.large else 100_000)), ("cassandra", given.cassandra)]
    for name, records in runs:
        if not records:
            continue
        data = make_corpus(records, given.questions)
        with tempfile.TemporaryDirectory() as folder:
            result = asyncio.run(measure(name, Path(folder), data, given.batch))
        if name == "cassandra":
            result["bind_microseconds"], result["bind_list_microseconds"] = measure_binding(data.vectors[0])
        if given.json:
            print(json.dumps(result))
        else:
            print_result(result, result["searches"])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
