"""Measures the reads of a cluster that holds a month of 200 cameras."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from bench.cluster.node import KEYSPACE, SPACE, running_node, table_sizes
from bench.cluster.rows import SEGMENTS_A_DAY, Month, check_sample, fill

from footage.indexer.store.base import Where
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore, schema

WARM, TIMES = 20, 100
"""Reads of a kind: the first ones prepare statements and have the JVM compile, and are not counted."""


async def month(cameras: int, days: int, vectors: int) -> None:
    """Fill a cluster as so many days of cameras would, and time its reads."""
    # The server's own default for the index; and the newest file format, which is what the offline writer makes.
    options = {"sai_options": {"segment_write_buffer_size": "1024MiB"}, "storage_compatibility_mode": "NONE"}
    with tempfile.TemporaryDirectory() as folder:
        async with running_node(Path(folder), options) as (node, connect):
            session = await connect()
            await schema.create_tables(session, SPACE)
            start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
            store = await CassandraStore.open(session, SPACE)
            await check_sample(node, session, store, Path(folder) / "sample", start)
            filled = Month(start, cameras, days * SEGMENTS_A_DAY, vectors)
            catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
            await fill(node, session, store, Path(folder) / "fill", filled)
            node.nodetool("flush", KEYSPACE)
            for table, size in sorted(table_sizes(Path(folder)).items(), key=lambda item: -item[1])[:8]:
                print(f"on disk: {table:24} {size / 1e6:8.1f} MB")
            await _time_reads(session, catalog, store, filled, days)
            await session.close()


async def _time_reads(
    session: CassandraSession,
    catalog: CassandraCatalog,
    store: CassandraStore,
    month: Month,
    days: int,
) -> None:
    generator, start = np.random.default_rng(1), month.start
    names = [month.name(number) for number in range(month.cameras)]
    numbers = range(month.removed, month.segments)
    print(f"{month.cameras * month.segments} media, a third of them deleted, {len(month.records())} vectors")

    def question() -> Any:
        vector = generator.standard_normal(SPACE.dim).astype(np.float32)
        return vector / np.linalg.norm(vector)

    def spans(hours: float) -> tuple[tuple[datetime, datetime], ...]:
        since = start + timedelta(hours=float(generator.uniform(0, days * 24 - hours)))
        return ((since, since + timedelta(hours=hours)),)

    async def coverage_of_a_day() -> None:
        ((since, until),) = spans(24)
        await catalog.coverage([], since, until)

    async def media_of_hits() -> None:
        some = {(int(generator.integers(month.cameras)), int(generator.choice(numbers))) for _ in range(100)}
        if len(await catalog.media([month.media(*each).id for each in some])) != len(some):
            raise RuntimeError("media are missing")

    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "cameras": catalog.cameras,
        "readyz (one row)": lambda: session.select("SELECT version FROM @about WHERE part = 'all'"),
        "numbers of records": lambda: store.counts(names),
        "coverage of a day, all cameras": coverage_of_a_day,
        "segments of an hour, one camera": lambda: catalog.media_between([names[0]], *spans(1)[0]),
        "media of 100 hits": media_of_hits,
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
        for _ in range(WARM + TIMES):
            begun = time.perf_counter()
            await ask()
            seconds.append(time.perf_counter() - begun)
        took = np.array(seconds[WARM:]) * 1e3
        mark = f"  mark {marks[name]:5} ms" if name in marks else ""
        print(f"{name:34} p50 {np.median(took):8.1f} ms  p95 {np.quantile(took, 0.95):8.1f} ms{mark}", flush=True)
