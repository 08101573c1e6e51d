"""Measures the reads of a cluster that holds a month of 200 cameras."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from bench.cluster.node import KEYSPACE, SPACE, running_node, table_sizes
from bench.cluster.rows import fill_catalog

from footage.indexer.store.base import Record, Where
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema


async def month(cameras: int, whole: int, days: int, vectors: int) -> None:
    """Fill a cluster as a month of cameras would, and time its reads.

    Args:
        whole: cameras with segments of ten seconds; those of the others last ten minutes.
        vectors: half of them are of one camera.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with running_node(Path(folder)) as (node, connect):
            session = await connect()
            await schema.create_tables(session, SPACE)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
            names = [f"cam{i:03}" for i in range(cameras)]
            begun = time.monotonic()
            count = await fill_catalog(session, catalog, names, whole, start, days)
            print(f"{count} media, and coverage, of {cameras} cameras, {days} days: {time.monotonic() - begun:.0f} s")
            begun = time.monotonic()
            await _fill_vectors(store, names, start, days, vectors)
            print(f"vectors: {time.monotonic() - begun:.0f} s", flush=True)
            await _time_reads(session, catalog, store, names, start, days)
            node.nodetool("flush", KEYSPACE)
            for table, size in sorted(table_sizes(Path(folder)).items(), key=lambda item: -item[1])[:6]:
                print(f"on disk: {table:24} {size / 1e6:8.1f} MB")
            await session.close()


async def _fill_vectors(store: CassandraStore, names: Sequence[str], start: datetime, days: int, vectors: int) -> None:
    """Half of the vectors of one camera, the others spread over the rest."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, SPACE.dim)).astype(np.float32)
    for number, camera in enumerate(names):
        count = vectors // 2 if number == 0 else max(1, vectors // 2 // (len(names) - 1))
        each = generator.standard_normal((count, 32)).astype(np.float32) @ basis
        each += generator.standard_normal((count, SPACE.dim)).astype(np.float32)
        each /= np.linalg.norm(each, axis=1, keepdims=True)
        step = timedelta(days=days) / count
        records = [Record(camera, start + i * step, f"{camera}-{i // 100}", float(i), each[i]) for i in range(count)]
        for i in range(0, count, 1000):
            await store.write(records[i : i + 1000])


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
    for name, ask in asked.items():
        seconds = []
        for _ in range(22):
            begun = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - begun)
        took = np.array(seconds[2:]) * 1e3
        print(f"{name:34} p50 {np.median(took):8.1f} ms  p95 {np.quantile(took, 0.95):8.1f} ms", flush=True)
