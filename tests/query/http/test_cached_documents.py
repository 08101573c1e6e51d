"""Tests that what is kept of the catalog is whole and current, whatever happens at the same time."""

import asyncio

import pytest
from pydantic import BaseModel

from footage.indexer.store.errors import StoreUnreachable
from footage.query.http.cached_documents import CachedDocuments


class Fruit(BaseModel):
    color: str


class HeldCatalog:
    """A catalog in memory whose reads wait for ``go``, or fail."""

    def __init__(self):
        self.held, self.away, self.reads = {"cherry": {"color": "red"}}, False, 0
        self.began, self.go = asyncio.Event(), asyncio.Event()
        self.go.set()

    async def documents(self, _):
        self.reads += 1
        found = dict(self.held)
        self.began.set()
        await self.go.wait()
        if self.away:
            raise StoreUnreachable("away")
        return found

    async def put_document(self, _, name, document):
        if self.away:
            raise StoreUnreachable("away")
        self.held.pop(name, None)
        if document:
            self.held[name] = document


@pytest.fixture
def catalog():
    return HeldCatalog()


@pytest.fixture
def fruits(catalog):
    return CachedDocuments(catalog, "fruit", Fruit)


async def during_a_read(catalog, first, second):
    """The results of both, the second of which begins while the first one's read runs."""
    catalog.began.clear()
    catalog.go.clear()
    tasks = [asyncio.create_task(first)]
    await catalog.began.wait()
    tasks.append(asyncio.ensure_future(second))
    for _ in range(5):
        await asyncio.sleep(0)
    catalog.go.set()
    return await asyncio.gather(*tasks)


async def test_lookups_at_once_find_the_same_after_one_read(catalog, fruits):
    found = await during_a_read(catalog, fruits.get("cherry", 60), fruits.get("cherry", 60))
    assert [one.color for one in found] == ["red", "red"]
    assert catalog.reads == 1


async def test_a_read_that_began_before_a_change_does_not_undo_it(catalog, fruits):
    await during_a_read(catalog, fruits.all(), fruits.put("lime", Fruit(color="green")))
    assert (await fruits.get("lime", 60)).color == "green"
    await during_a_read(catalog, fruits.all(), fruits.put("lime", None))
    assert await fruits.get("lime", 60) is None


async def test_while_the_catalog_is_away_what_was_read_last_counts(catalog, fruits):
    catalog.away = True
    with pytest.raises(StoreUnreachable):  # nothing is known: that is no answer about a name
        await fruits.get("cherry", 60)
    catalog.away = False
    assert await fruits.get("cherry", 60)
    catalog.away = True
    assert await fruits.get("cherry", -1)
    with pytest.raises(StoreUnreachable):
        await fruits.all()
    with pytest.raises(StoreUnreachable):
        await fruits.put("cherry", None)
    assert await fruits.get("cherry", -1) is None


async def test_all_who_wait_while_the_catalog_does_not_answer_share_one_attempt(catalog, fruits):
    assert await fruits.get("cherry", 0)
    catalog.away = True
    found = await during_a_read(
        catalog, fruits.get("cherry", 0), asyncio.gather(*(fruits.get("cherry", 0) for _ in range(9)))
    )
    assert [one.color for one in (found[0], *found[1])] == ["red"] * 10
    assert catalog.reads == 2


async def test_what_another_service_has_just_put_is_found_and_those_who_wait_share_a_read(catalog, fruits):
    assert await fruits.get("cherry", 60)
    catalog.held["lime"] = {"color": "green"}
    names = ["lime", *(f"fruit {i}" for i in range(20)), "lime"]
    found = await asyncio.gather(*(fruits.get(name, 60) for name in names))
    assert [one.color for one in found if one] == ["green", "green"]
    assert catalog.reads == 2
