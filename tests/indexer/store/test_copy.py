"""An index moves between stores, may be broken off, and is the same on arrival."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from footage.indexer.store.base import Catalog, Record, Store, StoreError
from footage.indexer.store.copy import Copied, copy
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.cassandra.fixture import need_driver
from tests.indexer.store.catalog_contract import span, video
from tests.indexer.store.store_contract import BOX, SPACE, at, film, keys, scanned, unit

DAY = 86_400
Index = tuple[Store, Catalog]


async def embedded(folder: Path) -> Index:
    return await LanceStore.open(folder / "vectors", SPACE), await SqliteCatalog.open(folder / "catalog.sqlite")


@pytest.fixture
async def full(tmp_path: Path) -> Index:
    """Three days with a pause, regions, and a record of no known media."""
    store, catalog = await embedded(tmp_path / "full")
    for day in (0, 1, 9):
        await store.write(film(700, first=day * DAY, seed=day) + film(5, "door", first=day * DAY))
        await catalog.admit(video(f"gate-{day}", day * DAY, 700), "every 1 s")
        await catalog.cover(span(day * DAY, day * DAY + 700))
    await catalog.admit(video("gate-again", 0, 700), "every 1 s")
    await store.write(
        [Record("gate", at(3), "m", 3, unit(1)[0], BOX), Record("attic", at(-50 * DAY), "m", 3, unit(1)[0])]
    )
    await catalog.finish("gate-0", "a note")
    await catalog.put("watch", "cat", {"text": "a cat"})
    return store, catalog


@pytest.fixture
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Index]:
    need_driver()
    contact = request.getfixturevalue("cassandra")
    from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, connect, schema

    name = f"t_{uuid.uuid4().hex[:12]}"
    session = await connect([contact.host], contact.port, name, user=contact.user, password=contact.password)
    await schema.init(session, SPACE)
    yield await CassandraStore.open(session, SPACE), await CassandraCatalog.open(session)
    await session.define(f"DROP KEYSPACE {name}")
    await session.close()


async def same(one: Index, other: Index) -> None:
    assert keys(await scanned(one[0])) == keys(await scanned(other[0]))
    ever = at(-100 * DAY), at(100 * DAY)
    assert await one[1].between([], *ever) == await other[1].between([], *ever)
    assert await one[1].coverage([], *ever) == await other[1].coverage([], *ever)
    assert await one[1].get("watch") == await other[1].get("watch")
    assert await one[1].cameras() == await other[1].cameras()


async def test_an_index_is_the_same_after_it_has_moved(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    told: list[int] = []
    assert await copy(*full, *target, told.append) == Copied(2117, 4, 3, 1)
    assert told == sorted(told)
    assert told[-1] == 2117
    await same(full, target)
    assert await copy(*full, *target) == Copied(2117, 4, 3, 1)


async def test_to_the_cluster_and_back(full: Index, cluster: Index, tmp_path: Path) -> None:
    await copy(*full, *cluster)
    await same(full, cluster)
    back = await embedded(tmp_path / "back")
    assert await copy(*cluster, *back) == Copied(2117, 4, 3, 1)
    await same(full, back)


class Stumbling:
    """A store that gives up after some writes."""

    def __init__(self, store: Store, writes: int) -> None:
        self._store, self._writes = store, writes
        self.space, self.scan = store.space, store.scan

    async def write(self, records: Sequence[Record]) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise StoreError("stumbled")
        await self._store.write(records)


async def test_what_was_broken_off_goes_on_and_writes_no_day_twice(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    with pytest.raises(StoreError, match="stumbled"):
        await copy(*full, cast(Store, Stumbling(target[0], 3)), target[1])
    assert 0 < await target[0].count() < 2117
    # One day (two writes) was whole, and the attic's record; the day that was begun is written again.
    await copy(*full, cast(Store, Stumbling(target[0], 4)), target[1])
    await same(full, target)


async def test_another_content_of_the_target_is_told(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    await target[0].write(film(1, seed=99))
    with pytest.raises(StoreError, match="target holds"):
        await copy(*full, *target)
