"""Tests that an index in the first version of the tables is brought up to date without loss, and that this can stop."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator

import pytest

pytest.importorskip("cassandra")

from footage.indexer.store.base import CameraSummary, Where
from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    connect_cassandra,
    schema,
    upgrade,
)
from footage.indexer.store.errors import StoreError
from footage.stream.frame import Kind
from footage.stream.instants import to_micros
from tests.cassandra.server import Contact
from tests.indexer.store.catalog_contract import at, span, video
from tests.indexer.store.store_contract import SPACE, make_records, record_keys

OLD = """
CREATE TABLE @about (part text, version int, bucket bigint, PRIMARY KEY (part))
CREATE TABLE @buckets (space text, camera text, bucket bigint, PRIMARY KEY (space, camera, bucket))
CREATE TABLE @holdings (space text, media text, camera text, bucket bigint, PRIMARY KEY ((space, media), camera, bucket))
CREATE TABLE @cameras (part text, camera text, PRIMARY KEY (part, camera))
CREATE TABLE @media (camera text, given bigint, id text, path text, kind text, clock text, since bigint, length bigint, duration double, recipe text, done boolean, note text, version bigint static, longest bigint static, PRIMARY KEY (camera, given, id))
CREATE TABLE @places (id text, camera text, given bigint, PRIMARY KEY (id))
CREATE TABLE @paths (path text, id text, PRIMARY KEY (path, id))
CREATE TABLE @coverage (camera text, since bigint, until bigint, state text, cause text, version bigint static, PRIMARY KEY (camera, since))
CREATE TABLE @leases (name text, holder text, number bigint, PRIMARY KEY (name))
CREATE TABLE @{table} (camera text, bucket bigint, time bigint, region bigint, media text, offset double, vector VECTOR<FLOAT, {dim}>, PRIMARY KEY ((camera, bucket), time, region)) WITH memtable = 'trie'
"""  # noqa: E501
SIX_HOURS = 6 * 3_600_000_000


@pytest.fixture
async def session(cassandra: Contact) -> AsyncIterator[CassandraSession]:
    """A keyspace with the tables and rows that the first version left."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    session = await connect_cassandra(
        [cassandra.host], cassandra.port, name, user=cassandra.user, password=cassandra.password
    )
    await session.execute_ddl(f"CREATE KEYSPACE {name} WITH replication = {schema.DEFAULT_REPLICATION}")
    table = upgrade.old_frames_table(SPACE)
    old = OLD.replace("{table}", table).replace("{dim}", str(SPACE.dim))
    for statement in old.strip().splitlines():
        await session.execute_ddl(statement)
    await session.write("INSERT INTO @about (part, version, bucket) VALUES ('all', 1, ?)", SIX_HOURS)
    await _write_old_rows(session, table)
    yield session
    await session.execute_ddl(f"DROP KEYSPACE {name}")
    await session.close()


async def _write_old_rows(session: CassandraSession, table: str) -> None:
    for id, start, kind in (("film", 0, Kind.VIDEO), ("s1", 100, Kind.SEGMENT), ("s2", 110, Kind.SEGMENT)):
        media, given = video(id, start, 10), to_micros(at(start))
        row = (media.camera, given, id, media.path, kind, media.clock, given, 10_000_000, 10.0, "r", id == "film", "")
        columns = "camera, given, id, path, kind, clock, since, length, duration, recipe, done, note"
        await session.write(f"INSERT INTO @media ({columns}) VALUES (?{', ?' * 11})", *row)
        await session.write("INSERT INTO @places (id, camera, given) VALUES (?, ?, ?)", id, media.camera, given)
        await session.write("INSERT INTO @paths (path, id) VALUES (?, ?)", media.path, id)
    await session.write("INSERT INTO @cameras (part, camera) VALUES ('all', 'gate')")
    columns = "camera, since, until, state, cause"
    for start, end, state, cause in ((0, 10, "watched", ""), (10, 100, "gap", "off"), (100, 4 * 86_400, "watched", "")):
        values = ("gate", to_micros(at(start)), to_micros(at(end)), state, cause)
        await session.write(f"INSERT INTO @coverage ({columns}) VALUES (?, ?, ?, ?, ?)", *values)
    name = f"{SPACE.name}/{SPACE.dim}"
    for record in make_records(40):
        time = to_micros(record.time)
        key = (record.camera, time // SIX_HOURS)
        row = (*key, time, record.media, record.offset, record.vector.astype(">f4").tobytes())
        columns = "camera, bucket, time, region, media, offset, vector"
        await session.write(f"INSERT INTO @{table} ({columns}) VALUES (?, ?, ?, 0, ?, ?, ?)", *row)
        await session.write("INSERT INTO @buckets (space, camera, bucket) VALUES (?, ?, ?)", name, *key)
        holding = "INSERT INTO @holdings (space, media, camera, bucket) VALUES (?, ?, ?, ?)"
        await session.write(holding, name, record.media, *key)


async def test_an_older_index_is_refused_until_it_is_brought_up_to_date(session: CassandraSession) -> None:
    with pytest.raises(StoreError, match=r"older version.*stop every service.*footage store init"):
        await CassandraCatalog.open(session)
    assert await schema.find_errors(session, SPACE) == [
        "the tables are of an older version; stop every service, then run `footage store init`"
    ]


async def test_a_running_service_holds_the_upgrade_up(session: CassandraSession) -> None:
    lease = "INSERT INTO @leases (name, holder, number) VALUES ('camera/gate', 'pi~1234', 1)"
    await session.write(lease)
    with pytest.raises(StoreError, match=r"pi~1234 still uses them; stop every service"):
        await schema.create_tables(session, SPACE)


@pytest.mark.parametrize("stopped", [False, True], ids=["at once", "stopped and repeated"])
async def test_an_older_index_is_brought_up_to_date(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    if stopped:
        with monkeypatch.context() as patch:
            patch.setattr(upgrade, "_set_counts", _killed)
            with pytest.raises(RuntimeError, match="killed"):
                await schema.create_tables(session, SPACE)
        with pytest.raises(StoreError, match="older version"):
            await CassandraCatalog.open(session)
    await schema.create_tables(session, SPACE)
    assert await schema.find_errors(session, SPACE) == []
    catalog, store = await CassandraCatalog.open(session), await CassandraStore.open(session, SPACE)
    records = make_records(40)
    assert await catalog.cameras() == [CameraSummary("gate", 3, at(0), at(120), ("given",))]
    entries = await catalog.media_between([], at(-10), at(500))
    assert [(e.media.id, e.media.kind, e.done) for e in entries] == [
        ("film", Kind.VIDEO, True),
        ("s1", Kind.SEGMENT, False),
        ("s2", Kind.SEGMENT, False),
    ]
    assert (await catalog.media_at_path("/videos/film.mp4"))[0].media.id == "film"
    assert await catalog.coverage([], at(-10), at(5 * 86_400)) == [
        span(0, 10),
        span(10, 100, "off"),
        span(100, 4 * 86_400),
    ]
    assert [record_keys([r])[0] async for r in store.scan(Where())] == record_keys(records)
    hits = await store.nearest(records[7].vector, 3, Where((records[7].camera,)))
    assert hits[0].time == records[7].time
    assert sum((await store.counts([records[0].camera])).values()) == 40
    assert await store.forget(Where()) == 40
    tables = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?"
    names = {name for (name,) in await session.select(tables, session.keyspace)}
    assert not names & {"media", "cameras", "buckets", "coverage", "leases"}


async def _killed(*_: object) -> None:
    raise RuntimeError("killed")


async def test_documents_of_the_second_version_become_queues_and_triggers_of_cameras(session: CassandraSession) -> None:
    await schema.create_tables(session, SPACE)
    await session.write("INSERT INTO @about (part, version) VALUES ('all', 2)")
    catalog_of_today = "INSERT INTO @documents (kind, name, content) VALUES (?, ?, ?)"
    waiting = {"id": "f1", "watch": "gate", "owner": "w1", "body": "{}", "created": "2026-11-01T00:00:00Z"}
    old = {
        ("watch-outbox", "w1-1-f1"): waiting,
        ("watch-outbox", "w1-0-f0"): waiting | {"id": "f0", "dead": True},
        ("watch-outbox", "w2-1-f2"): waiting | {"id": "f2", "owner": "w2"},
        ("watch-state", "gate/yard"): {"id": "w1", "trigger": {"peak": 0.5}},
        ("watch-state", "door/yard"): {"id": "w2", "trigger": {"peak": 0.6}},
        ("watch-state", "gate/hall"): {"id": "w1", "trigger": {"peak": 0.7}},
        ("token", "a"): {"role": "view"},
    }
    for (kind, name), document in old.items():
        await session.write(catalog_of_today, kind, name, json.dumps(document))
    await session.write("INSERT INTO @sessions (session, holder) VALUES ('s', 'pi~1234')")
    with pytest.raises(StoreError, match=r"pi~1234 still uses them; stop every service"):
        await schema.create_tables(session, SPACE)
    await session.write("DELETE FROM @sessions WHERE session = 's'")
    await schema.create_tables(session, SPACE)
    catalog = await CassandraCatalog.open(session)
    assert await catalog.documents("watch-outbox/w1") == {"w1-1-f1": waiting}
    assert list(await catalog.documents("watch-dead/w1")) == ["w1-0-f0"]
    assert list(await catalog.documents("watch-outbox/w2")) == ["w2-1-f2"]
    assert await catalog.documents("watch-trigger") == {
        "hall": {"w1": {"peak": 0.7}},
        "yard": {"w1": {"peak": 0.5}, "w2": {"peak": 0.6}},
    }
    assert await catalog.documents("token") == {"a": {"role": "view"}}
    assert await catalog.documents("watch-outbox") == await catalog.documents("watch-state") == {}
