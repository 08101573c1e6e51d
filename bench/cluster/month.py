"""Measures the reads of a cluster that holds a month of 200 cameras."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from bench.cluster.node import KEYSPACE, SPACE, running_node, table_sizes
from bench.cluster.rows import fill_catalog

from footage.indexer.store.base import Record, Where
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema

WRITE_ROWS = 500
GOLDEN = (5**0.5 - 1) / 2
"""Multiples of it, without their whole part, fill an interval evenly, however many there are."""


async def month(cameras: int, whole: int, days: int, vectors: int, minutes: float) -> None:
    """Fill a cluster as a month of cameras would, as far as there is time, and time its reads.

    Args:
        whole: cameras with segments of ten seconds at most; those of the others last ten to sixty minutes.
        vectors: at most; half of them are of one camera.
        minutes: that filling may take; the reads take some two more.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with running_node(Path(folder)) as (node, connect):
            session = await connect()
            await schema.create_tables(session, SPACE)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
            names = [f"cam{i:03}" for i in range(cameras)]
            print(await fill_catalog(session, catalog, names, whole, start, days, 36 * minutes), flush=True)
            print(await _fill_vectors(store, names, start, days, vectors, 24 * minutes), flush=True)
            await _time_reads(session, catalog, store, names, start, days)
            node.nodetool("flush", KEYSPACE)
            for table, size in sorted(table_sizes(Path(folder)).items(), key=lambda item: -item[1])[:6]:
                print(f"on disk: {table:24} {size / 1e6:8.1f} MB")
            await session.close()


async def _fill_vectors(
    store: CassandraStore, names: Sequence[str], start: datetime, days: int, vectors: int, seconds: float
) -> str:
    """Half of the vectors of one camera, the others spread over the rest, as far as there is time; says how many.

    They are written in an order in which every part is like the whole: in each request one camera of the rest, and
    times from all over.
    """
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, SPACE.dim)).astype(np.float32)
    written, begun, counts = 0, time.monotonic(), Counter[str]()
    for number in range(vectors // WRITE_ROWS):
        if time.monotonic() - begun > seconds:
            break
        each = generator.standard_normal((WRITE_ROWS, 32)).astype(np.float32) @ basis
        each += generator.standard_normal((WRITE_ROWS, SPACE.dim)).astype(np.float32)
        each /= np.linalg.norm(each, axis=1, keepdims=True)
        records = []
        for i, vector in enumerate(each):
            camera = names[1 + number % (len(names) - 1) if i % 2 else 0]
            counts[camera] += 1
            time_ = start + timedelta(days=days) * (counts[camera] * GOLDEN % 1)
            records.append(Record(camera, time_, f"{camera}-{counts[camera] // 100}", 0.0, vector))
        await store.write(records)
        written += len(records)
    took = time.monotonic() - begun
    return f"{written} vectors, {counts[names[0]]} of {names[0]}: {took:.0f} s, {written / took:.0f} a second"


async def _time_reads(
    session: CassandraSession,
    catalog: CassandraCatalog,
    store: CassandraStore,
    names: Sequence[str],
    start: datetime,
    days: int,
) -> None:
    generator = np.random.default_rng(1)

    def question() -> Any:
        vector = generator.standard_normal(SPACE.dim).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def spans(hours: float) -> tuple[tuple[datetime, datetime], ...]:
        since = start + timedelta(hours=float(generator.uniform(0, days * 24 - hours)))
        return ((since, since + timedelta(hours=hours)),)

    async def coverage_of_a_day() -> None:
        ((since, until),) = spans(24)
        await catalog.coverage([], since, until)

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "cameras": catalog.cameras,
        "readyz (one row)": lambda: session.select("SELECT version FROM @about WHERE part = 'all'"),
        "numbers of records": lambda: store.counts(names),
        "coverage of a day, all cameras": coverage_of_a_day,
        "segments of an hour, one camera": lambda: catalog.media_between([names[0]], *spans(1)[0]),
        "search, camera-hour": lambda: store.nearest(question(), 100, Where((names[0],), spans(1))),
        "search, camera-day": lambda: store.nearest(question(), 100, Where((names[0],), spans(24))),
        "search, one camera": lambda: store.nearest(question(), 100, Where((names[0],))),
        "search, a day of all cameras": lambda: store.nearest(question(), 100, Where((), spans(24))),
        "search, the month of all cameras": lambda: store.nearest(question(), 100, Where((), spans(days * 24 - 1))),
        "search, no filter": lambda: store.nearest(question(), 100, Where()),
    }
    marks = {"cameras": 50, "readyz (one row)": 50, "search, camera-hour": 300, "search, camera-day": 500}
    marks |= {"search, a day of all cameras": 500, "search, no filter": 2_000}
    for name, ask in asked.items():
        seconds = []
        for _ in range(22):
            begun = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - begun)
        took = np.array(seconds[2:]) * 1e3
        mark = f"  mark {marks[name]:5} ms" if name in marks else ""
        print(f"{name:34} p50 {np.median(took):8.1f} ms  p95 {np.quantile(took, 0.95):8.1f} ms{mark}", flush=True)
