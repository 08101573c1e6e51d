"""Tests that an index is copied completely between stores, and that a copy can be resumed."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.indexer.store.copy import CopyResult, copy_index
from footage.indexer.store.errors import SpaceMismatch, StoreError
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.store.catalog_contract import span, video
from tests.indexer.store.store_contract import BOX, SPACE, at, make_records, record_keys, scan_all, unit_vectors

if TYPE_CHECKING:
    from tests.cassandra.server import Contact

DAY = 86_400
Index = tuple[Store, Catalog]


async def embedded(folder: Path) -> Index:
    return await LanceStore.open(folder / "vectors", SPACE), await SqliteCatalog.open(folder / "catalog.sqlite")


@pytest.fixture
async def full(tmp_path: Path) -> Index:
    """Three days with a pause, regions, and a record of no known media."""
    store, catalog = await embedded(tmp_path / "full")
    for day in (0, 1, 9):
        await store.write(make_records(700, first=day * DAY, seed=day) + make_records(5, "door", first=day * DAY))
        await catalog.add_media(video(f"gate-{day}", day * DAY, 700), "every 1 s")
        await catalog.set_coverage(span(day * DAY, day * DAY + 700))
    await catalog.add_media(video("gate-again", 0, 700), "every 1 s")
    await store.write(
        [
            Record("gate", at(3), "m", 3, unit_vectors(1)[0], BOX),
            Record("attic", at(-50 * DAY), "m", 3, unit_vectors(1)[0]),
        ]
    )
    await catalog.finish_media("gate-0", "a note")
    await catalog.put_document("watch", "cat", {"text": "a cat"})
    return store, catalog


@pytest.fixture
async def cluster(cassandra: Contact) -> AsyncIterator[Index]:
    from footage.indexer.store.cassandra import CassandraCatalog, CassandraStore, connect_cassandra, schema

    name = f"t_{uuid.uuid4().hex[:12]}"
    session = await connect_cassandra(
        [cassandra.host], cassandra.port, name, user=cassandra.user, password=cassandra.password
    )
    await schema.create_tables(session, SPACE)
    yield await CassandraStore.open(session, SPACE), await CassandraCatalog.open(session)
    await session.execute_ddl(f"DROP KEYSPACE {name}")
    await session.close()


async def same(one: Index, other: Index) -> None:
    assert record_keys(await scan_all(one[0])) == record_keys(await scan_all(other[0]))
    ever = at(-100 * DAY), at(100 * DAY)
    assert await one[1].media_between([], *ever) == await other[1].media_between([], *ever)
    assert await one[1].coverage([], *ever) == await other[1].coverage([], *ever)
    assert await one[1].documents("watch") == await other[1].documents("watch")
    assert await one[1].cameras() == await other[1].cameras()


async def test_a_copied_index_equals_its_source(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    reported: list[int] = []
    assert await copy_index(*full, *target, reported.append) == CopyResult(2117, 4, 3, 1)
    assert reported == sorted(reported)
    assert reported[-1] == 2117
    await same(full, target)
    assert await copy_index(*full, *target) == CopyResult(2117, 4, 3, 1)


async def test_an_index_is_copied_to_the_cluster_and_back(full: Index, cluster: Index, tmp_path: Path) -> None:
    await copy_index(*full, *cluster)
    await same(full, cluster)
    back = await embedded(tmp_path / "back")
    assert await copy_index(*cluster, *back) == CopyResult(2117, 4, 3, 1)
    await same(full, back)


class FailingStore:
    """A store that fails after some writes."""

    def __init__(self, store: Store, writes: int) -> None:
        self._store, self._writes = store, writes
        self.space, self.scan, self.count = store.space, store.scan, store.count

    async def write(self, records: Sequence[Record]) -> None:
        self._writes -= 1
        if self._writes < 0:
            raise StoreError("write failed")
        await self._store.write(records)


class ShortStore:
    """A store whose scans end before the last record."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.space, self.count, self.write = store.space, store.count, store.write

    async def scan(self, where: Where) -> AsyncIterator[Record]:
        records = [record async for record in self._store.scan(where)]
        for record in records[:-1] or records:
            yield record


async def test_a_read_that_ends_early_is_noticed_on_either_side(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    with pytest.raises(StoreError, match="were read and"):
        await copy_index(cast(Store, ShortStore(full[0])), full[1], *target)
    with pytest.raises(StoreError, match="were read and"):
        await copy_index(*full, cast(Store, ShortStore(target[0])), target[1])


async def test_a_copy_is_bound_as_its_source_is(full: Index, tmp_path: Path) -> None:
    await bound_as_its_source(full, await embedded(tmp_path / "new"), tmp_path)


async def test_a_copy_in_the_cluster_is_bound_as_its_source_is(full: Index, cluster: Index, tmp_path: Path) -> None:
    await bound_as_its_source(full, cluster, tmp_path)


async def bound_as_its_source(full: Index, target: Index, tmp_path: Path) -> None:
    fingerprint = unit_vectors(2).tobytes()
    await full[1].bind_space(SPACE, fingerprint)
    await copy_index(*full, *target)
    assert await target[1].bound_space() == SPACE
    assert await target[1].bound_fingerprint() == fingerprint
    with pytest.raises(SpaceMismatch):
        await target[1].bind_space(Space("test/other", SPACE.dim), fingerprint)
    other = await embedded(tmp_path / "other")
    await other[1].bind_space(Space("test/other", SPACE.dim), fingerprint)
    with pytest.raises(SpaceMismatch):
        await copy_index(*full, *other)


async def test_an_interrupted_copy_resumes_and_writes_no_day_twice(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    with pytest.raises(StoreError, match="write failed"):
        await copy_index(*full, cast(Store, FailingStore(target[0], 3)), target[1])
    assert 0 < await target[0].count() < 2117
    # One day (two writes) was whole, and the attic's record; the day that was begun is written again.
    await copy_index(*full, cast(Store, FailingStore(target[0], 4)), target[1])
    await same(full, target)


async def test_other_content_of_the_target_is_reported(full: Index, tmp_path: Path) -> None:
    target = await embedded(tmp_path / "new")
    await target[0].write(make_records(1, seed=99))
    with pytest.raises(StoreError, match="target holds"):
        await copy_index(*full, *target)


@pytest.mark.parametrize(
    ("lost", "told"),
    [("set_coverage", "coverage of gate"), ("finish_media", "gate-0"), ("put_document", "watch cat")],
)
async def test_what_the_catalog_of_the_target_lacks_is_reported(
    full: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str, told: str
) -> None:
    target = await embedded(tmp_path / "new")

    async def lose(*_: object, **__: object) -> None:
        """Store nothing."""

    monkeypatch.setattr(target[1], lost, lose)
    with pytest.raises(StoreError, match=f"{told}.* is not in the target as it is in the source"):
        await copy_index(*full, *target)
    monkeypatch.undo()
    await copy_index(*full, *target)
    await same(full, target)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_records_that_no_day_shows_are_reported(
    full: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """As they are in a cluster whose lists of partitions are not whole."""
    target = await embedded(tmp_path / "new")
    store = full[0] if side == "source" else target[0]
    count = store.count

    async def more(where: Where = Where()) -> int:
        return await count(where) + (where == Where())

    monkeypatch.setattr(store, "count", more)
    with pytest.raises(StoreError, match=f"2117 records were compared and the {side} holds 2118"):
        await copy_index(*full, *target)


async def test_records_of_the_cluster_that_are_not_listed_are_not_left_behind_in_silence(
    full: Index, cluster: Index, tmp_path: Path
) -> None:
    from footage.indexer.store.cassandra import CassandraStore

    await copy_index(*full, *cluster)
    store = cast(CassandraStore, cluster[0])
    await store._session.execute_ddl("TRUNCATE @partitions")
    target = await embedded(tmp_path / "back")
    with pytest.raises(StoreError, match="0 records were compared and the source holds 2117"):
        await copy_index(*cluster, *target)
    assert await store.list_partitions() > 0
    assert (await copy_index(*cluster, *target)).records == 2117
    await same(full, target)
