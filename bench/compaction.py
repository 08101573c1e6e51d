"""Compares unified compaction with daily time windows in one Cassandra node, over days of synthetic vectors.

Run ``python -m bench.compaction``; ``tests/cassandra`` says what it needs. Two keyspaces get the same records,
alternating: six days of eight cameras, flushed three times a day, each day written with the clock of that day. Then two
days expire, a camera and another camera's day are forgotten, one more day is written, and the rest on the disk is
printed. Unlike a real cluster, tombstones go at once (``gc_grace_seconds`` 0) and each compaction looks for expiry.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from bench.store import SPACE, Corpus, make_corpus
from tests.cassandra.jars import jars, java
from tests.cassandra.server import Server, until

from footage.indexer.store.base import Record, Where
from footage.indexer.store.cassandra import CassandraSession, CassandraStore, connect_cassandra, schema

CAMERAS, DAYS, FLUSHES = 8, 6, 3
EXPIRING = 2  # days, the oldest
DAY = timedelta(days=1)
FREQUENT_EXPIRY_CHECK = "'expired_sstable_check_frequency_seconds': 1"
COMPACTIONS = {
    "unified": f"{{'class': 'UnifiedCompactionStrategy', {FREQUENT_EXPIRY_CHECK}}}",
    "windows": "{'class': 'TimeWindowCompactionStrategy', 'compaction_window_unit': 'DAYS', "
    f"'compaction_window_size': 1, {FREQUENT_EXPIRY_CHECK}}}",
}
FIRST = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - (DAYS + 1) * DAY


class Keyspace:
    """One keyspace with its compaction, and the clock that its writes are stamped with."""

    def __init__(self, name: str, session: CassandraSession, lasting: CassandraStore, expiring: CassandraStore) -> None:
        self.name, self.session, self.lasting, self.expiring = name, session, lasting, expiring
        self.wrote: list[float] = []
        self.found: dict[str, list[float]] = defaultdict(list)

    @classmethod
    async def open(cls, node: Server, name: str, ttl: float, compaction: str = "") -> Keyspace:
        """Make the tables in a keyspace of this name."""
        at = node.contact
        session = await connect_cassandra([at.host], at.port, name, user=at.user, password=at.password)
        await schema.create_tables(session, SPACE)
        if compaction:
            table = await schema.find_frames_table(session, SPACE)
            await session.execute_ddl(f"ALTER TABLE @{table} WITH compaction = {compaction}")
            await session.execute_ddl(f"ALTER TABLE @{table} WITH gc_grace_seconds = 0")
        lasting, expiring = [await CassandraStore.open(session, SPACE, each) for each in (14 * 86_400, ttl)]
        return cls(name, session, lasting, expiring)

    def set_write_day(self, day: float) -> None:
        """Date the following writes to this day after the first."""
        at = iter(range(int((FIRST + day * DAY).timestamp() * 1e6), 1 << 62))
        self.session._cluster.timestamp_generator = lambda: next(at)

    async def write(self, records: list[Record], expires: bool = False) -> None:
        """Write, and record the rate."""
        began = time.perf_counter()
        await (self.expiring if expires else self.lasting).write(records)
        self.wrote.append(len(records) / (time.perf_counter() - began))


def make_records(data: Corpus, day: int, part: int, each: int) -> list[Record]:
    """A third of a day: every camera once a second from noon on."""
    seconds = range(part * each, (part + 1) * each)
    start = FIRST + day * DAY
    first = (day * FLUSHES * each) * CAMERAS
    return [
        Record(f"cam{c}", start + timedelta(seconds=s), f"{c}-{day}", s, data.vectors[first + s * CAMERAS + c])
        for s in seconds
        for c in range(CAMERAS)
    ]


async def write_days(keyspaces: list[Keyspace], node: Server, data: Corpus, days: range, each: int) -> None:
    """Write days as they come, alternating between the two keyspaces, with a flush after each third."""
    for day in days:
        for part in range(FLUSHES):
            new = make_records(data, day, part, each)
            for i in range(0, len(new), 200):
                for keyspace in keyspaces if (i // 200) % 2 else keyspaces[::-1]:
                    keyspace.set_write_day(day + part / 100 + i / 1e6)
                    await keyspace.write(new[i : i + 200], expires=day < EXPIRING)
            await asyncio.to_thread(node.nodetool, "flush")


async def run_queries(keyspaces: list[Keyspace], data: Corpus) -> None:
    """Run every query on both keyspaces under each filter, alternating."""
    day = FIRST + 3 * DAY
    filters = {
        "none": Where(),
        "camera": Where(cameras=("cam3",)),
        "camera-hour": Where(cameras=("cam3",), spans=((day, day + timedelta(hours=1)),)),
    }
    for which, where in filters.items():
        for i, question in enumerate([data.questions[0], *data.questions]):
            for keyspace in keyspaces if i % 2 else keyspaces[::-1]:
                began = time.perf_counter()
                await keyspace.lasting.nearest(question, 10, where)
                if i:
                    keyspace.found[which].append(time.perf_counter() - began)


def wait_for_compactions(node: Server) -> None:
    """Wait until no compaction is running or pending."""
    until(
        lambda: re.search(r"pending tasks\s+0\s", node.nodetool("compactionstats")) is not None,
        300,
        lambda: "compaction goes on",
    )


def disk_usage(node: Server, name: str) -> dict[str, object]:
    """Measure a keyspace's vectors on the disk: files, bytes, rows (expired and hidden ones too)."""
    (folder,) = (node.folder / "data" / name).glob("frames_*")
    tables = sorted(folder.glob("*-Data.db"))
    size = sum(file.stat().st_size for file in folder.glob("*") if file.is_file())
    viewer = [
        java(),
        "-cp",
        f"{jars()}/*",
        *node._java_options(),
        f"-Dcassandra.config=file://{node.folder}/cassandra.yaml",
    ]
    viewer += [f"-Dcassandra.storagedir={node.folder}", "org.apache.cassandra.tools.SSTableMetadataViewer"]
    output = subprocess.run([*viewer, *map(str, tables)], capture_output=True, text=True, check=True).stdout
    return {
        "tables": len(tables),
        "mb": round(size / 1e6, 1),
        "rows": sum(map(int, re.findall(r"totalRows: (\d+)", output))),
    }


async def compare(node: Server, each: int, ttl: float, questions: int) -> dict[str, object]:
    """Measure both compactions."""
    data = make_corpus((DAYS + 1) * FLUSHES * each * CAMERAS, questions)
    keyspaces = [await Keyspace.open(node, name, ttl, compaction) for name, compaction in COMPACTIONS.items()]
    began = time.monotonic()
    await write_days(keyspaces, node, data, range(DAYS), each)
    await asyncio.to_thread(wait_for_compactions, node)
    before = {keyspace.name: disk_usage(node, keyspace.name) for keyspace in keyspaces}
    await run_queries(keyspaces, data)
    asked_at = time.monotonic() - began
    await asyncio.sleep(max(0.0, ttl * 1.1 - asked_at))  # the days that expire have done so, on the server's own clock
    forgotten = []
    day = FIRST + 3 * DAY
    for keyspace in keyspaces:
        keyspace.set_write_day(DAYS - 0.4)
        one = await keyspace.lasting.forget(Where(cameras=("cam3",), spans=((day, day + DAY),)))
        forgotten.append(one + await keyspace.lasting.forget(Where(cameras=("cam5",))))
    await asyncio.to_thread(node.nodetool, "flush")
    await asyncio.to_thread(wait_for_compactions, node)
    at_once = {keyspace.name: disk_usage(node, keyspace.name) for keyspace in keyspaces}
    await write_days(keyspaces, node, data, range(DAYS, DAYS + 1), each)
    await asyncio.to_thread(wait_for_compactions, node)
    after = {keyspace.name: disk_usage(node, keyspace.name) for keyspace in keyspaces}
    result: dict[str, object] = {"forgotten": forgotten, "seconds": round(asked_at)}
    for keyspace in keyspaces:
        result[keyspace.name] = {
            "records_per_second": round(float(np.median(keyspace.wrote))),
            "p50_ms": {which: round(float(np.median(t)) * 1e3, 1) for which, t in keyspace.found.items()},
            "written": before[keyspace.name],
            "forgotten": at_once[keyspace.name],
            "a_day_later": after[keyspace.name],
            "live_rows": await keyspace.lasting.count(),
        }
        await keyspace.session.close()
    return result


async def _run(each: int, ttl: float, questions: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder), heap="2g") as node:
        print(json.dumps(await compare(node, each, ttl, questions), indent=1), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=160, help="records of a camera in a third of a day")
    parser.add_argument("--ttl", type=float, default=400, help="seconds that the two days that expire last")
    parser.add_argument("--questions", type=int, default=60)
    given = parser.parse_args()
    asyncio.run(_run(given.each, given.ttl, given.questions))


if __name__ == "__main__":
    main()
