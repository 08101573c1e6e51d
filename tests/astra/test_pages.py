"""A read is complete whatever pages the server cuts it into: a short page is not the last one."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record, Where
from tests.astra.fixture import need_cryptography, open_session
from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows needs the driver and certificates
need_driver()
need_cryptography()

from footage.indexer.store.cassandra import CassandraSession, CassandraStore, schema
from tests.astra.server import Astra

COUNT = 400
START = datetime(2026, 5, 4, 12, tzinfo=UTC)
WIDE = Space("test/wide", 512)
CUTS = {
    "as Astra does, at 512 KiB": None,
    "one row": lambda _: 1,
    "seven rows": lambda asked: min(asked, 7),
    "one less than asked": lambda asked: asked - 1,
    "any number": lambda asked, chance=random.Random(0): chance.randint(1, min(asked, 150)),
}


@pytest.fixture
async def session(astra: Astra) -> AsyncIterator[CassandraSession]:
    async with open_session(astra, WIDE) as session:
        yield session


@pytest.fixture
async def store(session: CassandraSession) -> CassandraStore:
    """400 records of 512 numbers in one partition: 820 kB, more than a page may hold."""
    store = await CassandraStore.open(session, WIDE)
    vectors = np.random.default_rng(0).normal(size=(COUNT, WIDE.dim)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    await store.write([Record("yard", START + timedelta(seconds=i), "m", float(i), v) for i, v in enumerate(vectors)])
    return store


async def test_every_cut_gives_the_same_rows(astra: Astra, session: CassandraSession, store: CassandraStore) -> None:
    wanted = [START + timedelta(seconds=i) for i in range(COUNT)]
    somewhere = Where(("yard",), ((START, START + timedelta(seconds=300)),))
    vectors = np.stack([r.vector async for r in store.scan(Where())])
    expected = wanted[int(np.argmax(vectors[:300] @ vectors[5]))], 300
    for name, cut in CUTS.items():
        astra.page_size = cut
        scanned = [r async for r in store.scan(Where())]
        assert [r.time for r in scanned] == wanted, name
        np.testing.assert_array_equal(np.stack([r.vector for r in scanned]), vectors)
        assert await store.count(Where()) == COUNT, name
        hits = await store.nearest(vectors[5], 1000, somewhere)
        assert (hits[0].time, len({hit.time for hit in hits})) == expected, name
        assert len(await store.sample(COUNT, Where())) == COUNT, name
        rows = await session.select(f"SELECT time FROM @{await schema.find_frames_table(session, WIDE)}")
        assert sorted(row[0] for row in rows) == sorted({row[0] for row in rows})
        assert len(rows) == COUNT, name


async def test_forgetting_reaches_every_row_whatever_the_cut(astra: Astra, store: CassandraStore) -> None:
    astra.page_size = lambda asked: min(asked, 11)
    assert await store.forget(Where(("yard",), ((START, START + timedelta(seconds=150)),))) == 150
    assert await store.forget(Where(media=("m",))) == COUNT - 150
    astra.page_size = None
    assert [r async for r in store.scan(Where())] == []
