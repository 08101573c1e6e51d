"""Starts the Cassandra node that the measurements use, and reads what it says of itself."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from footage.indexer.embed.base import Space
from footage.indexer.store.cassandra import CassandraSession, connect_cassandra

KEYSPACE = "bench"
SPACE = Space("bench/1", 512)
SEGMENT = 10.0
"""Seconds of a segment."""


async def connect(at: Any) -> CassandraSession:
    """Connect to a node of the tests."""
    return await connect_cassandra([at.host], at.port, KEYSPACE, user=at.user, password=at.password)


@asynccontextmanager
async def running_node(
    folder: Path, settings: Mapping[str, Any] | None = None
) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[CassandraSession]]]]:
    """A node, and how to connect to it."""
    from tests.cassandra.server import Server

    with Server(folder, heap="3g", settings=settings) as node:
        yield node, lambda: connect(node.contact)


def read_latencies(node: Any, tables: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return p50, p95 and p99 in milliseconds of the node's own reads of each table that was read."""
    found = {}
    for table in tables:
        lines = node.nodetool("tablehistograms", KEYSPACE, table).splitlines()
        at = {line.split()[0]: line for line in lines if re.match(r"\d\d%", line)}
        values = [_read_latency(at[percent]) for percent in ("50%", "95%", "99%") if percent in at]
        if len(values) == 3 and values[2]:
            found[table] = (values[0] / 1e3, values[1] / 1e3, values[2] / 1e3)
    return found


def _read_latency(line: str) -> float:
    """The first number behind the percentile, in microseconds."""
    numbers = [float(each) for each in re.findall(r"(?<=\s)\d+\.\d+", line)]
    return numbers[0] if numbers else 0.0


def table_sizes(folder: Path) -> Counter[str]:
    """Bytes on disk by table, of live and of compacted files."""
    found: Counter[str] = Counter()
    for file in folder.glob(f"data/{KEYSPACE}/*/*"):
        if file.is_file():
            found[file.parent.name.rpartition("-")[0]] += file.stat().st_size
    return found
