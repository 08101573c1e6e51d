"""Tests that partitions of vectors that no list names are counted, found again, and forgotten."""

from __future__ import annotations

import pytest

from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver
need_driver()

from footage.indexer.store.base import Where
from footage.indexer.store.cassandra import CassandraSession, CassandraStore
from tests.indexer.store.store_contract import SPACE, make_records, record_keys, scan_all

pytestmark = pytest.mark.slow


async def test_what_is_not_listed_is_counted_and_listed_again(
    session: CassandraSession, caplog: pytest.LogCaptureFixture
) -> None:
    store = await CassandraStore.open(session, SPACE)
    records = make_records(40) + make_records(40, "door")
    await store.write(records)
    assert await store.count() == 80
    assert await store.list_partitions() == 0
    for table in ("partitions", "holdings", "space_cameras"):
        await session.execute_ddl(f"TRUNCATE @{table}")
    store = await CassandraStore.open(session, SPACE)
    media = Where(media=(records[0].media,))
    assert (await store.count(), await store.count(Where(("gate",))), await store.count(media)) == (80, 0, 0)
    assert await scan_all(store) == []
    assert await store.list_partitions() == 2
    assert "2 partitions" in caplog.text
    assert record_keys(await scan_all(store)) == record_keys(sorted(records, key=lambda r: (r.time, r.camera)))
    assert await store.forget(media) == 40
    assert await store.forget(Where()) == 40
    assert (await store.count(), await store.list_partitions()) == (0, 0)


async def test_a_camera_that_is_not_listed_is_listed_again(session: CassandraSession) -> None:
    store = await CassandraStore.open(session, SPACE)
    await store.write(make_records(3))
    await session.execute_ddl("TRUNCATE @space_cameras")
    assert await scan_all(store) == []
    assert await store.list_partitions() == 1
    assert len(await scan_all(store)) == 3
