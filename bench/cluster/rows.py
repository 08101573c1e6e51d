"""Fills a cluster with the rows that weeks of live cameras leave, faster than cameras do.

``Fill.java`` writes them as SSTables with the product's own statements, and the node imports those. What is small
(coverage, the row of a camera, ranges of what retention deleted) is written by the product. Before that a sample is
written both ways, and every row of every table must be the same.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from bench.cluster.node import KEYSPACE, SPACE

from footage.indexer.embed.base import Vectors
from footage.indexer.live.catalog_writer import RECIPE
from footage.indexer.live.retention import EXPIRED
from footage.indexer.store.base import Coverage, CoverageState, Record
from footage.indexer.store.cassandra import CassandraCatalog, CassandraSession, CassandraStore
from footage.indexer.store.cassandra.cameras import LIVE_STEP, NOTE_LIVE, facts_key
from footage.indexer.store.cassandra.media import INSERT_MEDIA
from footage.indexer.store.cassandra.months import bound_of, month_of
from footage.indexer.store.cassandra.removal import PARTITION
from footage.indexer.store.cassandra.session import gather_all
from footage.indexer.store.cassandra.tables import FRAMES_COLUMNS, TABLE_COLUMNS, column_types
from footage.indexer.store.times import micros
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import from_micros

STEP = 10_000_000  # microseconds between starts of segments
SEGMENTS_A_DAY = 86_400_000_000 // STEP
IMPORTED = ("camera_media", "places", "holdings")
SMALL = ("camera_facts", "camera_months", "coverage_notes", "partitions", "space_cameras", "record_counts")
FRAME_COLUMNS = ("camera", "bucket", "time", "region", "media", "offset", "cam", "vector")
INSERTS = {
    "insert_media": INSERT_MEDIA,
    "insert_place": "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?)",
    "delete_place": "DELETE FROM @places WHERE id = ?",
    "insert_frame": "INSERT INTO @{frames} (camera, bucket, time, region, media, offset, cam, vector) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TTL ?",
    "insert_holding": "INSERT INTO @holdings (space, media, camera, bucket) VALUES (?, ?, ?, ?) USING TTL ?",
}
GOLDEN, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Month:
    """What is filled: cameras, segments of ten seconds of each, how many of them retention deleted, and records.

    Attributes:
        start: of the first segments.
        vectors: nine tenths of them, or one a segment, are of the first camera, the others spread over the rest.
    """

    start: datetime
    cameras: int
    segments: int
    vectors: int

    @property
    def removed(self) -> int:
        """Segments of each camera that retention deleted."""
        return self.segments // 3

    def name(self, camera: int) -> str:
        """Name of a camera."""
        return f"cam{camera:03}"

    def begin(self, camera: int, i: int) -> int:
        """Start of a segment in microseconds, somewhat irregular, as those of a camera are."""
        return micros(self.start) + i * STEP + (_mix(camera, i) >> 48)

    def media(self, camera: int, i: int) -> Media:
        """A segment, finished."""
        start, end = from_micros(self.begin(camera, i)), from_micros(self.begin(camera, i + 1))
        name, length = self.name(camera), (end - start).total_seconds()
        path = f"/var/lib/footage/recordings/{name}/{start:%Y-%m-%d}/{start:%Y%m%dT%H%M%S.%f}Z_{length:.6f}s_rtcp.mp4"
        return Media(f"{_mix(camera, i):016x}", name, path, Kind.SEGMENT, start, Clock.RTCP, length)

    def record_time(self, camera: int, i: int) -> int:
        """Time of the record of a segment in microseconds."""
        return self.begin(camera, i) + 1_000_000

    def records(self) -> list[tuple[int, int]]:
        """Camera and segment of each record, in the order of their vectors."""
        first = self.vectors if self.cameras == 1 else min(self.segments, self.vectors * 9 // 10)
        rest = [(self.vectors - first) // (self.cameras - 1)] * (self.cameras - 1) if self.cameras > 1 else []
        return [(camera, i * self.segments // n) for camera, n in enumerate([first, *rest]) for i in range(n)]


def _mix(camera: int, i: int) -> int:
    """A number without a pattern, as a hash gives it (splitmix64)."""
    z = (camera << 32 | i) * GOLDEN & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


async def fill(node: Any, session: CassandraSession, store: CassandraStore, folder: Path, month: Month) -> None:
    """Fill an empty cluster; prints how long each part takes.

    Args:
        folder: for what is imported; on the disk of the node, since files are moved.
    """
    catalog, begun = await CassandraCatalog.open(session), time.monotonic()
    vectors = make_vectors(len(month.records()))
    write_tables(folder, month, store, vectors)
    print(f"tables are written: {time.monotonic() - begun:.0f} s", flush=True)
    for table in IMPORTED:
        begun = time.monotonic()
        _import(node, folder, table)
        print(f"{table} is imported: {time.monotonic() - begun:.0f} s", flush=True)
    begun = time.monotonic()
    for first in range(0, month.cameras, 8):
        numbers = range(first, min(first + 8, month.cameras))
        await gather_all(_finish(session, catalog, month, number) for number in numbers)
    await _list_records(store, month)
    print(f"what is small is written: {time.monotonic() - begun:.0f} s", flush=True)
    begun = time.monotonic()
    _import(node, folder, store._table)
    print(f"{store._table} is imported and indexed: {time.monotonic() - begun:.0f} s", flush=True)


def make_vectors(count: int) -> Vectors:
    """Unit vectors that lie near a space of 32 dimensions: (count, dim) float32."""
    generator = np.random.default_rng(0)
    basis = generator.standard_normal((32, SPACE.dim)).astype(np.float32)
    vectors = generator.standard_normal((count, SPACE.dim), np.float32)
    for i in range(0, count, 10_000):
        part = vectors[i : i + 10_000]
        part += generator.standard_normal((len(part), 32), np.float32) @ basis
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return vectors


def write_tables(folder: Path, month: Month, store: CassandraStore, vectors: Vectors) -> None:
    """Write the SSTables of the large tables into ``folder``."""
    from tests.cassandra.jars import HERE, jars, java

    folder.mkdir()
    vectors.astype(">f4").tofile(folder / "vectors")
    columns = {name: TABLE_COLUMNS[name] for name in IMPORTED} | {store._table: FRAMES_COLUMNS.format(dim=SPACE.dim)}
    given = {name: text.replace("@", f"{KEYSPACE}.").format(frames=store._table) for name, text in INSERTS.items()}
    given |= {name: f"CREATE TABLE {KEYSPACE}.{name} ({text})" for name, text in columns.items()}
    given |= {"folder": str(folder), "file": str(folder / "vectors"), "space": store._buckets._space}
    given |= {"keyspace": KEYSPACE, "frames": store._table}
    numbers = {"origin": micros(month.start), "cameras": month.cameras, "segments": month.segments}
    numbers |= {"removed": month.removed, "vectors": len(vectors), "dim": SPACE.dim, "bucket": store._bucket}
    options = [f"@{HERE / 'jvm17.args'}", "-Xmx4g", f"-Dlogback.configurationFile=file://{HERE}/logback.xml"]
    command = [java(), "-cp", f"{jars()}/*", *options, str(Path(__file__).with_name("Fill.java"))]
    asked = "".join(f"{name}={value}\n" for name, value in (given | numbers).items())
    done = subprocess.run(["nice", "-n", "10", *command], input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"Fill.java failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    (folder / "vectors").unlink()


def _import(node: Any, folder: Path, table: str) -> None:
    node.nodetool("disableautocompaction", KEYSPACE, table)  # a month of them is written before anything is measured
    if parts := sorted(map(str, folder.glob(f"part*/{KEYSPACE}/{table}"))):
        node.nodetool("import", KEYSPACE, table, *parts)
    if left := [*folder.glob(f"part*/{KEYSPACE}/{table}/*-Data.db")]:
        raise RuntimeError(f"{len(left)} files of {table} were not imported")


async def _finish(session: CassandraSession, catalog: CassandraCatalog, month: Month, number: int) -> None:
    """Write what the product keeps of a camera besides its media, and what retention leaves."""
    camera, last = month.name(number), month.removed - 1
    first, reached = month.begin(number, 0), month.begin(number, month.segments - 1)
    end = month.begin(number, month.segments)
    months = range(month_of(first), month_of(reached) + 1)
    for each in months:
        bound = "UPDATE @camera_months SET longest = ? WHERE camera = ? AND month = ?"
        await session.write(bound, bound_of(STEP), camera, each)
    await session.write("INSERT INTO @camera_facts (shard, camera) VALUES (?, ?)", *facts_key(camera))
    reached = end if end > reached + LIVE_STEP else reached
    await session.write(NOTE_LIVE, month.segments, first, reached, {Clock.RTCP.value}, *facts_key(camera))
    removed = month.begin(number, last)
    for each in (each for each in months if each <= month_of(removed)):
        inside = "(given, id) >= (?, ?) AND (given, id) <= (?, ?)"
        delete = f"DELETE FROM @camera_media WHERE {PARTITION} AND {inside}"
        await session.write(delete, camera, each, -(1 << 62), "", removed, month.media(number, last).id)
    await catalog._note_removed(camera, 0, month.removed)
    await _cover(catalog, month, number)


async def _cover(catalog: CassandraCatalog, month: Month, number: int) -> None:
    """Watched without a break, every fourth camera with a lost connection a day; the first third has expired."""
    camera, day = month.name(number), timedelta(days=1)
    start, end = from_micros(month.begin(number, 0)), from_micros(month.begin(number, month.segments))
    breaks = [start + (i + 0.5) * day for i in range((end - start) // day)] if number % 4 == 0 else []
    for lost, back in zip([*breaks, end], [start, *(each + timedelta(minutes=5) for each in breaks)], strict=True):
        await catalog.set_coverage(Coverage(camera, back, lost, CoverageState.WATCHED))
        if lost < end:
            gap = Coverage(camera, lost, lost + timedelta(minutes=5), CoverageState.GAP, "connection lost")
            await catalog.set_coverage(gap)
    expired = from_micros(month.begin(number, month.removed))
    await catalog.set_coverage(Coverage(camera, start, expired, CoverageState.GAP, EXPIRED))


async def _list_records(store: CassandraStore, month: Month) -> None:
    """List the partitions of vectors and count the records, as writing them does."""
    partitions: dict[str, Counter[int]] = defaultdict(Counter)
    for number, i in month.records():
        partitions[month.name(number)][month.record_time(number, i) // store._bucket] += 1
    for camera, buckets in partitions.items():
        await store._buckets.add([(camera, bucket) for bucket in sorted(buckets)], [], 0)
        await store._buckets.count({camera: buckets.total()})


async def check_sample(
    node: Any, session: CassandraSession, store: CassandraStore, folder: Path, start: datetime
) -> None:
    """Write some segments and records by the product and as ``fill`` does, and compare every row of every table.

    Leaves the tables empty.
    """
    month, tables = Month(start, 2, 150, 200), [*SMALL, *IMPORTED, store._table]
    catalog, vectors = await CassandraCatalog.open(session), make_vectors(200)
    for number in range(month.cameras):
        for i in range(month.segments):
            media = month.media(number, i)
            await catalog.add_media(replace(media, path=f"{media.path}.tmp", duration=0.0), RECIPE)
            await catalog.update_media(media)
        await catalog.remove_media([month.media(number, i).id for i in range(month.removed)])
        await _cover(catalog, month, number)
    records = []
    for (number, i), vector in zip(month.records(), vectors, strict=True):
        at = from_micros(month.record_time(number, i))
        records.append(Record(month.name(number), at, month.media(number, i).id, 1.0, vector))
    await store.write(records)
    by_product = await _empty(session, tables)
    await fill(node, session, await CassandraStore.open(session, SPACE), folder, month)
    filled = await _empty(session, tables)
    if differ := [table for table in tables if filled[table] != by_product[table]]:
        example = next(zip(by_product[differ[0]], filled[differ[0]], strict=False), "none")
        raise RuntimeError(f"rows of {', '.join(differ)} are not what the product writes: {example}")
    print(f"the same rows: {', '.join(f'{len(rows)} of {table}' for table, rows in filled.items())}", flush=True)


async def _empty(session: CassandraSession, tables: Sequence[str]) -> dict[str, list[list[Any]]]:
    """Return all rows of tables, which are emptied; without who wrote them and when."""
    found = {}
    for table in tables:
        columns = list(column_types(TABLE_COLUMNS[table])) if table in TABLE_COLUMNS else FRAME_COLUMNS
        cql = f"SELECT {', '.join(name for name in columns if name not in ('stamp', 'writer'))} FROM @{table}"
        found[table] = sorted(map(_plain, await session.select(cql)), key=repr)
        await session.execute_ddl(f"TRUNCATE @{table}")
    return found


def _plain(row: tuple[Any, ...]) -> list[Any]:
    return [sorted(each) if hasattr(each, "__iter__") and not isinstance(each, str | bytes) else each for each in row]
