"""Starts the Cassandra node that the measurements use, and reads what it says of itself."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
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
async def running_node(folder: Path) -> AsyncIterator[tuple[Any, Callable[[], Awaitable[CassandraSession]]]]:
    """A node, and how to connect to it."""
    from tests.cassandra.server import Server

    with Server(folder, heap="3g") as node:
        yield node, lambda: connect(node.contact)


def processor_seconds(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_latencies(node: Any, tables: list[str]) -> dict[str, tuple[float, float, float]]:
    """Return p50, p95 and p99 in milliseconds of the node's own reads of each table that was read."""
    found = {}
    for table in tables:
        lines = node.nodetool("tablehistograms", KEYSPACE, table).splitlines()
        at = {line.split()[0]: line for line in lines if re.match(r"\d\d%", line)}
        values = [_third_number(at[percent]) for percent in ("50%", "95%", "99%") if percent in at]
        if len(values) == 3 and values[2]:
            found[table] = (values[0] / 1e3, values[1] / 1e3, values[2] / 1e3)
    return found


def _third_number(line: str) -> float:
    """Percentile, read latency and the others, in microseconds; the order is that of the heading."""
    numbers = [float(each) for each in re.findall(r"(?<=\s)\d+\.\d+", line)]
    return numbers[0] if numbers else 0.0


def table_sizes(folder: Path) -> Counter[str]:
    """Bytes on disk by table, of live and of compacted files."""
    found: Counter[str] = Counter()
    for file in folder.glob(f"data/{KEYSPACE}/*/*"):
        if file.is_file():
            found[file.parent.name.rpartition("-")[0]] += file.stat().st_size
    return found
