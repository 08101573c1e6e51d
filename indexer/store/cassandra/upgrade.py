"""Upgrades older versions of the Cassandra tables: the first by new tables, the second by new kinds of documents."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from footage.indexer.embed.base import Space
from footage.indexer.store.cassandra.cameras import facts_key
from footage.indexer.store.cassandra.months import bound_of, month_of, split_by_month
from footage.indexer.store.cassandra.session import CassandraSession, Row, gather_all
from footage.indexer.store.cassandra.tables import SCHEMA_VERSION, create_index, old_frames_table, shard_of
from footage.indexer.store.cassandra.version import table_exists
from footage.indexer.store.errors import StoreError
from footage.stream.frame import Kind

log = logging.getLogger(__name__)

OLD_TABLES = ("cameras", "buckets", "media", "coverage", "leases")
OLD_KINDS = OUTBOX, TRIGGERS = "watch-outbox", "watch-state"
INSERT_DOCUMENT = "INSERT INTO @documents (kind, name, content) VALUES (?, ?, ?)"
FIRST = -(1 << 62)  # below every key
BATCH = 50  # rows
AT_ONCE = 16
MEDIA_COLUMNS = "given, id, path, kind, clock, since, length, duration, recipe, done, note"
INSERT_MEDIA = f"INSERT INTO @camera_media (camera, month, {MEDIA_COLUMNS}) VALUES (?, ?{', ?' * 11})"
INSERT_FACTS = (
    "INSERT INTO @camera_facts (shard, camera, version, files, first, last, removed, live_added, live_first, "
    "live_last, clocks) VALUES (?, ?, 1, ?, ?, ?, 0, ?, ?, ?, ?)"
)
INSERT_NOTE = (
    "INSERT INTO @coverage_notes (camera, month, stamp, writer, since, until, state, cause) "
    "VALUES (?, ?, ?, 'upgrade', ?, ?, ?, ?)"
)


@dataclass(slots=True)
class _Span:
    """Number of media, and the time that they cover in microseconds."""

    count: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, since: int, until: int) -> None:
        self.count += 1
        self.first = since if self.first is None else min(self.first, since)
        self.last = until if self.last is None else max(self.last, until)


@dataclass(slots=True)
class _Camera:
    files: _Span = field(default_factory=_Span)
    live: _Span = field(default_factory=_Span)
    clocks: set[str] = field(default_factory=set)
    longest: dict[int, int] = field(default_factory=dict)


async def upgrade_tables(session: CassandraSession, version: int) -> None:
    """Bring tables of an older version up to date.

    Every step can be repeated: rows are written under the same keys, and the version is set before anything is
    dropped.

    Raises:
        StoreError: a service still uses them.
    """
    held = "SELECT holder FROM @leases" if version == 1 else "SELECT holder FROM @sessions"
    if holders := {row[0] for row in await session.select(held) if row[0]}:
        raise StoreError(
            f"{session.location}: its tables must be brought up to date, and {', '.join(sorted(holders))} still uses "
            "them; stop every service first, and wait ten seconds"
        )
    log.warning("%s: the tables are brought up to date; this can be interrupted and repeated", session.location)
    if version == 1:
        await _copy_tables(session)
    await _upgrade_documents(session)
    await session.write("INSERT INTO @about (part, version) VALUES ('all', ?)", SCHEMA_VERSION)
    for kind in OLD_KINDS:
        await session.write("DELETE FROM @documents WHERE kind = ?", kind)
    for table in OLD_TABLES:
        await session.execute_ddl(f"DROP TABLE IF EXISTS @{table}")


async def _copy_tables(session: CassandraSession) -> None:
    """Copy media, coverage, partitions and counts into the tables of the second version."""
    for (camera,) in await session.select("SELECT camera FROM @cameras WHERE part = 'all'"):
        await _upgrade_media(session, camera)
        await _upgrade_coverage(session, camera)
    spaces: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for space, camera, bucket in await session.select("SELECT space, camera, bucket FROM @buckets"):
        spaces[space].append((camera, bucket))
    for name, partitions in spaces.items():
        await _upgrade_vectors(session, name, partitions)


async def _upgrade_documents(session: CassandraSession) -> None:
    """Give each watch a queue of deliveries, and each camera one document of triggers in place of one a watch."""
    read, insert = "SELECT name, content FROM @documents WHERE kind = ?", INSERT_DOCUMENT
    for name, content in await session.select(read, OUTBOX):
        delivery = json.loads(content)
        kind = "watch-dead" if delivery.get("dead") else OUTBOX
        await session.write(insert, f"{kind}/{delivery.get('owner', '')}", name, content)
    triggers: dict[str, dict[str, object]] = defaultdict(dict)
    for name, content in await session.select(read, TRIGGERS):
        state = json.loads(content)
        triggers[name.partition("/")[2]][str(state.get("id"))] = state.get("trigger")
    for camera, saved in triggers.items():
        await session.write(insert, "watch-trigger", camera, json.dumps(saved))


async def _upgrade_media(session: CassandraSession, camera: str) -> None:
    facts = _Camera()
    pages = session.select_pages(f"{MEDIA_COLUMNS} FROM @media", "camera = ?", (camera,), "given, id", (FIRST, ""))
    async for page in pages:
        rows = [row for row in page if row[1] is not None]
        for part in _parts(rows, AT_ONCE):
            await gather_all(session.write(INSERT_MEDIA, camera, month_of(row[0]), *row) for row in part)
        for row in rows:
            _add_media(facts, row)
    months = "INSERT INTO @camera_months (camera, month, longest) VALUES (?, ?, ?)"
    for month, length in facts.longest.items():
        await session.write(months, camera, month, bound_of(length))
    files, live = facts.files, facts.live
    counts = (files.count, files.first, files.last, live.count, live.first, live.last)
    await session.write(INSERT_FACTS, *facts_key(camera), *counts, facts.clocks)


def _add_media(facts: _Camera, row: Row) -> None:
    given, _, _, kind, clock, since, length, *_ = row
    span = facts.files if kind in (Kind.VIDEO.value, Kind.PHOTO.value) else facts.live
    span.add(min(given, since), since + length)
    facts.clocks.add(clock)
    month = month_of(given)
    facts.longest[month] = max(facts.longest.get(month, 0), since - given + length)


async def _upgrade_coverage(session: CassandraSession, camera: str) -> None:
    stamp = 0
    columns = "since, until, state, cause FROM @coverage"
    async for page in session.select_pages(columns, "camera = ?", (camera,), "since", (FIRST,)):
        for since, until, state, cause in page:
            for month, start, end in split_by_month(since, until) if since is not None else ():
                stamp += 1
                await session.write("INSERT INTO @camera_months (camera, month) VALUES (?, ?)", camera, month)
                await session.write(INSERT_NOTE, camera, month, stamp, start, end, state, cause)


async def _upgrade_vectors(session: CassandraSession, name: str, partitions: Sequence[tuple[str, int]]) -> None:
    """List the partitions of a space anew, repeat the camera in a column that has an index, and count records."""
    space = Space(name.rpartition("/")[0], int(name.rpartition("/")[2]))
    table = old_frames_table(space)
    if not await table_exists(session, table):
        return
    insert = "INSERT INTO @spaces (part, name, dim, frames) VALUES ('all', ?, ?, ?)"
    await session.write(insert, space.name, space.dim, table)
    asked = "SELECT column_name FROM system_schema.columns WHERE keyspace_name = ? AND table_name = ?"
    if ("cam",) not in await session.select(asked, session.keyspace, table):
        await session.execute_ddl(f"ALTER TABLE @{table} ADD cam text")
    counts: dict[str, int] = defaultdict(int)
    for part in _parts(partitions, AT_ONCE):
        found = await gather_all(_upgrade_partition(session, name, table, *partition) for partition in part)
        for (camera, _), count in zip(part, found, strict=True):
            counts[camera] += count
    for column in ("time", "cam"):
        await session.execute_ddl(create_index(table, column))
    await _set_counts(session, name, counts)


async def _upgrade_partition(session: CassandraSession, space: str, table: str, camera: str, bucket: int) -> int:
    """Give the rows of a partition their camera, and list the partition; returns how many rows there are."""
    count = 0
    update = f"UPDATE @{table} SET cam = ? WHERE camera = ? AND bucket = ? AND time = ? AND region = ?"
    async for page in _keys(session, table, camera, bucket):
        count += len(page)
        for part in _parts(page, BATCH):
            await session.write_batch([(update, (camera, camera, bucket, *key)) for key in part])
    await session.write("INSERT INTO @partitions (space, camera, bucket) VALUES (?, ?, ?)", space, camera, bucket)
    listed = "INSERT INTO @space_cameras (space, shard, camera) VALUES (?, ?, ?)"
    await session.write(listed, space, shard_of(camera), camera)
    return count


def _keys(session: CassandraSession, table: str, camera: str, bucket: int) -> AsyncIterator[list[Row]]:
    where, key = "camera = ? AND bucket = ?", "time, region"
    return session.select_pages(f"{key} FROM @{table}", where, (camera, bucket), key, (FIRST, -1))


async def _set_counts(session: CassandraSession, space: str, counts: dict[str, int]) -> None:
    asked = "SELECT records FROM @record_counts WHERE space = ? AND camera = ?"
    change = "UPDATE @record_counts SET records = records + ? WHERE space = ? AND camera = ?"
    for camera, count in counts.items():
        found = await session.select(asked, space, camera)
        if missing := count - (found[0][0] or 0 if found else 0):
            await session.write_once(change, missing, space, camera)


def _parts(rows: Sequence[Row], size: int) -> list[Sequence[Row]]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
