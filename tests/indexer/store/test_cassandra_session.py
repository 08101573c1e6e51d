"""Tests the Cassandra session, error translation, schema checks, and vectors as bytes."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Coverage, CoverageState, Record, Where
from footage.indexer.store.errors import StoreError, StoreUnreachable
from tests.cassandra.fixture import need_driver
from tests.indexer.store.store_contract import at, make_records, scan_all, unit_vectors

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionShutdown
from cassandra.cqltypes import lookup_casstype

from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    connect_cassandra,
    driver,
    nearest,
    schema,
)
from footage.indexer.store.cassandra.media import separate_start
from footage.indexer.store.cassandra.vectors import _bytes
from tests.cassandra.server import Contact
from tests.indexer.store import cluster_contract
from tests.ports import free_port

SPACE = Space("test/one", 32)
IN_FLIGHT = 64


async def connect(server: Contact, keyspace: str) -> CassandraSession:
    login = {"user": server.user, "password": server.password}
    return await connect_cassandra([server.host], server.port, keyspace, **login, in_flight=IN_FLIGHT)


@pytest.fixture
async def fresh(cassandra: Contact) -> AsyncIterator[CassandraSession]:
    """A session in a keyspace of its own that does not exist yet."""
    session = await connect(cassandra, f"t_{uuid.uuid4().hex[:12]}")
    yield session
    await session.execute_ddl(f"DROP KEYSPACE IF EXISTS {session.keyspace}")
    await session.close()


@pytest.fixture(scope="module")
def keyspace() -> str:
    return f"t_{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def session(cassandra: Contact, keyspace: str) -> AsyncIterator[CassandraSession]:
    """A session in the module's keyspace, whose tables are empty."""
    async with cluster_contract.emptied(await connect(cassandra, keyspace)) as session:
        yield session


def test_a_vector_is_sent_as_the_driver_would_send_it() -> None:
    (vector,) = unit_vectors(1, dim=512)
    kind = lookup_casstype("org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType, 512)")
    assert _bytes(vector) == kind.serialize(vector.tolist(), 5)


async def test_missing_tables_are_reported_and_created(fresh: CassandraSession) -> None:
    assert await schema.find_errors(fresh, SPACE) == [
        f"the keyspace {fresh.keyspace} is missing; run `footage store init`"
    ]
    with pytest.raises(StoreError, match="footage store init"):
        await CassandraStore.open(fresh, SPACE)
    for _ in range(2):
        await schema.create_tables(fresh, SPACE, rate=5)
        assert await schema.find_errors(fresh, SPACE) == []
    assert await schema.bucket_duration(fresh) == schema.HOUR_MICROS
    other = Space("test/other", 8)
    assert await schema.find_errors(fresh, other) == ["there is no table for test/other; run `footage store init`"]
    await fresh.execute_ddl(f"DROP INDEX {fresh.keyspace}.frames_test_one_vector")
    await fresh.execute_ddl("ALTER TABLE @camera_media ADD color text")
    (fault,) = await schema.find_errors(fresh, SPACE)
    assert fault.startswith("the table camera_media is of another version: color;")
    await fresh.execute_ddl("ALTER TABLE @camera_media DROP color")
    (fault,) = await schema.find_errors(fresh, SPACE)
    assert "no dot_product index" in fault


async def test_the_tables_of_a_newer_version_are_refused(fresh: CassandraSession) -> None:
    await schema.create_tables(fresh, SPACE)
    await fresh.write("INSERT INTO @about (part, version) VALUES ('all', ?)", schema.SCHEMA_VERSION + 1)
    with pytest.raises(StoreError, match="newer version"):
        await CassandraStore.open(fresh, SPACE)


async def test_sixty_four_inserts_at_once_all_succeed_and_are_all_found(session: CassandraSession) -> None:
    """On skip-list memtables a part of them fails, and what is repeated is missing from the index (CASSANDRA-21644)."""
    store = await CassandraStore.open(session, SPACE)
    records = make_records(960)
    await asyncio.gather(*(store.write([record]) for record in records))
    assert await store.count() == len(records)
    hits = await store.nearest(records[0].vector, 1000)
    assert {hit.time for hit in hits} == {record.time for record in records}


async def test_a_record_goes_when_its_time_to_live_is_over(session: CassandraSession) -> None:
    store, began = await CassandraStore.open(session, SPACE, ttl=4), time.monotonic()
    await store.write(make_records(3))
    count, took = await store.count(), time.monotonic() - began
    assert count == 3 or took > 2  # by then a busy machine may have let them expire: whole seconds count
    async with asyncio.timeout(60):
        while await store.count() or await store.nearest(unit_vectors(1)[0], 1):
            await asyncio.sleep(0.1)
    await (await CassandraStore.open(session, SPACE)).write(make_records(2))
    assert await store.count() == 2


async def test_pieces_of_many_partitions_are_searched_and_scanned_in_order(session: CassandraSession) -> None:
    store = await CassandraStore.open(session, SPACE)
    vectors = unit_vectors(400)
    hour = timedelta(hours=1)
    records = [Record("gate", at(0) + i * hour, "m", i, vector) for i, vector in enumerate(vectors)]
    await store.write(records)
    assert [r.time for r in await scan_all(store)] == [r.time for r in records]
    for where, left in (
        (Where(cameras=("gate",)), records),
        (Where(media=("m",)), records),
        (Where(spans=((records[7].time, records[200].time),)), records[7:200]),
    ):
        question = unit_vectors(1, seed=8)[0]
        best = sorted(left, key=lambda r: -float(r.vector @ question))[:10]
        assert [hit.time for hit in await store.nearest(question, 10, where)] == [r.time for r in best]
    assert (await store.sample(7)).shape == (7, 32)


@pytest.mark.parametrize(
    "where", [Where(), Where(("gate",)), Where(("gate", "door"), ((at(0), at(400 * 3600)),))], ids=str
)
async def test_more_than_one_query_may_return_is_found(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch, where: Where
) -> None:
    """A window that returned all it may is searched in halves: here down to single partitions and parts of them."""
    store = await CassandraStore.open(session, SPACE)
    vectors = unit_vectors(300)
    records = [Record("gate", at(0) + i * timedelta(minutes=40), "m", i, v) for i, v in enumerate(vectors)]
    await store.write([*records, *make_records(30, "yard", seed=5)])
    monkeypatch.setattr(nearest, "ANN_LIMIT", 20)
    question = unit_vectors(1, seed=8)[0]
    known = [*records, *([] if where.cameras else make_records(30, "yard", seed=5))]
    best = sorted(known, key=lambda r: -float(r.vector @ question))[:100]
    found = await store.nearest(question, 100, where)
    assert [(hit.camera, hit.time) for hit in found] == [(r.camera, r.time) for r in best]


async def test_the_server_is_asked_once_for_a_long_time_of_many_cameras(session: CassandraSession) -> None:
    store = await CassandraStore.open(session, SPACE)
    for camera in ("gate", "door", "yard"):
        await store.write(make_records(60, camera, every=6 * 3600))
    asked: list[str] = []
    select = session.select

    async def counted(cql: str, *values: object, profile: str = "read") -> list[tuple[object, ...]]:
        asked.append(cql)
        return await select(cql, *values, profile=profile)

    session.select = counted  # type: ignore[method-assign]
    assert len(await store.nearest(unit_vectors(1)[0], 10, Where(spans=((at(0), at(50 * 86_400)),)))) == 10
    assert len(asked) == 1
    assert len(await store.nearest(unit_vectors(1)[0], 10, Where(("gate",)))) == 10
    assert len(asked) == 3  # the list of its sixty partitions, which are too many to search one by one


async def test_records_are_counted_as_they_are_written_and_forgotten(session: CassandraSession) -> None:
    store = await CassandraStore.open(session, SPACE)
    for _ in range(2):
        await store.write(make_records(30))
    await store.write(make_records(5, "door"))
    await store.forget(Where(("gate",), ((at(0), at(10)),)))
    assert await store.counts(["gate", "door", *(f"attic {i}" for i in range(50))]) == {"gate": 20, "door": 5}


async def test_two_spaces_of_like_names_have_tables_of_their_own(fresh: CassandraSession) -> None:
    names = []
    for space in (SPACE, Space("test-one", 32), Space("test/one", 16)):
        await schema.create_tables(fresh, space)
        names.append(await schema.find_frames_table(fresh, space))
    assert names[0] == "frames_test_one"
    assert len(set(names)) == 3


async def test_a_request_may_be_cancelled_before_its_answer_comes(session: CassandraSession) -> None:
    heard: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    asked = [asyncio.create_task(session.select("SELECT release_version FROM system.local")) for _ in range(200)]
    await asyncio.sleep(0)
    for number, task in enumerate(asked):
        if number % 2:
            task.cancel()
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in done[1::2])
    assert all(result == done[0] for result in done[::2])
    assert await session.select("SELECT release_version FROM system.local") == done[0]
    assert heard == []


async def test_where_nothing_listens_the_store_is_unreachable() -> None:
    with pytest.raises(StoreUnreachable, match="no node answers"):
        await connect_cassandra(["127.0.0.1"], free_port("127.0.0.1"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConnectionShutdown("the socket was closed"), "no node answers"),
        (ConnectionResetError(104, "Connection reset by peer"), "no node answers"),
        (NoHostAvailable("none", {"10.0.0.1": ConnectionShutdown("closed")}), "no node answers"),
        (OperationTimedOut(), "does not answer in time"),
        (ConnectionBusy("all streams are in use"), "does not answer in time"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_connection_that_is_cut_is_not_told_as_a_slow_cluster(error: Exception, told: str) -> None:
    with pytest.raises(StoreUnreachable, match=told):
        raise driver.translate_error(error, "here")


async def test_a_wrong_password_is_reported_without_showing_it(cassandra: Contact) -> None:
    with pytest.raises(StoreError, match="refuses this user") as raised:
        await connect_cassandra([cassandra.host], cassandra.port, user="cassandra", password="5ecret")
    assert not isinstance(raised.value, StoreUnreachable)
    assert "5ecret" not in str(raised.value)


async def test_a_missing_driver_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cassandra", None)
    monkeypatch.delitem(sys.modules, "footage.indexer.store.cassandra.driver", raising=False)
    monkeypatch.delattr(sys.modules["footage.indexer.store.cassandra"], "driver", raising=False)
    with pytest.raises(StoreError, match=r"pip install 'footage\[cassandra\]'"):
        await connect_cassandra()


@pytest.mark.parametrize("keyspace", ["Footage", "a-b", "x; DROP", "", "a" * 49])
async def test_a_keyspace_is_a_plain_name(keyspace: str) -> None:
    with pytest.raises(StoreError, match="lower-case"):
        await connect_cassandra(keyspace=keyspace)


async def test_a_missing_bundle_is_reported() -> None:
    with pytest.raises(StoreError, match=r"nowhere\.zip.*Astra"):
        await connect_cassandra(bundle=Path("/nowhere.zip"), token="AstraCS:x")


class Pages:
    """A driver's response of some pages, of which any may be empty."""

    def __init__(self, pages: list[list[int]]) -> None:
        self._pages = pages or [[]]
        self.start_fetching_next_page()

    @property
    def has_more_pages(self) -> bool:
        return bool(self._pages)

    def start_fetching_next_page(self) -> None:
        self._page = self._pages.pop(0)

    def add_callbacks(
        self, callback: Any, errback: Any, callback_args: tuple[Any, ...], errback_args: tuple[Any, ...]
    ) -> None:
        callback(self._page, *callback_args)


@given(st.lists(st.integers(), max_size=30), st.data())
def test_any_cut_into_pages_gives_the_same_rows(rows: list[int], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=10)))
    pages = [rows[a:b] for a, b in pairwise([0, *cuts, len(rows)])]

    async def read() -> list[int]:
        async def wait(page: asyncio.Future[Any]) -> Any:
            return await page

        return await driver.fetch_all(cast(Any, Pages(pages)), asyncio.get_running_loop(), wait)

    assert asyncio.run(read()) == rows


def test_starts_are_shifted_as_in_the_embedded_catalog() -> None:
    assert separate_start(0, 0, []) == 0
    assert separate_start(0, 0, [(0, 0)]) == 10
    photos = [(i * 10, 0) for i in range(1000)]
    assert separate_start(0, 0, photos) == 10_000
    assert separate_start(-1_000_000, 5_000_000, photos[:5]) == -1_000_000 + 50
    assert separate_start(-9_000_000, 1_000_000, photos) == -9_000_000
    assert separate_start(0, 60, [(0, 60), (10, 60)]) == 20


async def test_many_notes_of_coverage_are_written_anew_and_say_the_same(session: CassandraSession) -> None:
    """Retention notes what expired each hour, over what other processes noted; the rows of a month stay few."""
    catalog, other = await CassandraCatalog.open(session), await CassandraCatalog.open(session)
    await other.set_coverage(Coverage("gate", at(0), at(5_000), CoverageState.WATCHED))
    for end in range(10, 1310, 10):
        await catalog.set_coverage(Coverage("gate", at(end - 10), at(end), CoverageState.GAP, "expired"))
        if end == 600:
            await other.set_coverage(Coverage("gate", at(4_000), at(4_100), CoverageState.GAP, "lost"))
    assert len(await session.select("SELECT stamp FROM @coverage_notes")) < 20
    assert [(c.start, c.end, c.cause) for c in await other.coverage([], at(-10), at(6_000))] == [
        (at(0), at(1300), "expired"),
        (at(1300), at(4_000), ""),
        (at(4_000), at(4_100), "lost"),
        (at(4_100), at(5_000), ""),
    ]
