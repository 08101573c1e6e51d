"""Contract tests of a catalog's documents and leases; ``CatalogContract`` inherits them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from footage.indexer.store.base import Catalog

Opening = Callable[[], Awaitable[Catalog]]


class DocumentsContract:
    """The tests; each opens the same, initially empty catalog, as often as it needs. Twice is like two processes."""

    async def test_of_many_that_add_a_document_at_once_one_succeeds(self, opening: Opening) -> None:
        catalogs = [await opening(), await opening()]
        documents = [{"number": n} for n in range(8)]
        added = await asyncio.gather(*(catalogs[d["number"] % 2].add_document("token", "a", d) for d in documents))
        assert added.count(True) == 1
        assert await catalogs[0].documents("token") == {"a": documents[added.index(True)]}
        await catalogs[1].put_document("token", "a", None)
        assert await catalogs[0].add_document("token", "a", {"number": 9})

    async def test_documents_are_stored_by_kind_and_name(self, opening: Opening) -> None:
        catalog, other = await opening(), await opening()
        await catalog.put_document("watch", "b", {"text": 'a "dog"', "on": True})
        await catalog.put_document("watch", "a", {"n": [1, 2.5, None]})
        await catalog.put_document("token", "a", {"role": "view"})
        await catalog.put_document("watch", "b", {"text": "a cat"})
        assert list((await other.documents("watch")).items()) == [
            ("a", {"n": [1, 2.5, None]}),
            ("b", {"text": "a cat"}),
        ]
        await other.put_document("watch", "a", None)
        await other.put_document("watch", "nobody", None)
        assert await catalog.documents("watch") == {"b": {"text": "a cat"}}
        assert await catalog.documents("nothing") == {}
        assert await catalog.document("watch", "b") == {"text": "a cat"}
        assert await catalog.document("watch", "a") is None
        assert await catalog.document("watch", "never") is None

    async def test_documents_are_read_and_removed_by_their_order(self, opening: Opening) -> None:
        catalog, other = await opening(), await opening()
        names = [f"{n:03}" for n in range(12)]
        for name in names:
            await catalog.put_document("queue", name, {"name": name})
        await catalog.put_document("queue/other", "000", {})
        for name in ("002", "003"):
            await catalog.put_document("queue", name, None)
        assert list(await other.documents("queue", first="001")) == ["001", *names[4:]]
        assert list(await other.documents("queue", first="001", limit=3)) == ["001", "004", "005"]
        assert list(await other.documents("queue", limit=1)) == ["000"]
        assert await other.documents("queue", first="1") == {}
        await other.remove_documents("queue", before="009")
        assert list(await catalog.documents("queue")) == ["009", "010", "011"]
        await catalog.put_document("queue", "005", {"again": True})
        assert list(await catalog.documents("queue")) == ["005", "009", "010", "011"]
        await other.remove_documents("queue")
        assert await catalog.documents("queue") == {}
        assert list(await catalog.documents("queue/other")) == ["000"]
        await catalog.put_document("queue", "006", {"again": True})
        assert list(await catalog.documents("queue")) == ["006"]

    async def test_documents_are_read_between_names(self, opening: Opening) -> None:
        catalog = await opening()
        for name in ("a", "b", "b1", "c", "é"):
            await catalog.put_document("mark", name, {"name": name})
        await catalog.put_document("watch", "b", {})
        assert list(await catalog.documents_between("mark", "b", "c")) == ["b", "b1"]
        assert await catalog.documents_between("mark", "", "b") == {"a": {"name": "a"}}
        assert list(await catalog.documents_between("mark", "b1", "zz")) == ["b1", "c"]
        assert await catalog.documents_between("mark", "c", "c") == {}
        assert await catalog.documents_between("mark", "c", "b") == {}

    async def test_a_lease_has_one_holder_and_its_number_grows_with_each(self, opening: Opening) -> None:
        catalog, other = await opening(), await opening()
        await catalog.announce_session("a#1", "a", 600)
        await other.announce_session("b#1", "b", 1)
        first = await catalog.acquire_lease("yard", "a", "a#1")
        assert first is not None
        assert await other.acquire_lease("yard", "b", "b#1") is None
        assert await catalog.acquire_lease("yard", "a", "a#1") == first
        await other.release_lease("yard", "b#1")
        assert await other.acquire_lease("yard", "b", "b#1") is None
        await catalog.release_lease("yard", "a#1")
        second = await other.acquire_lease("yard", "b", "b#1")
        assert second is not None
        assert second > first
        async with asyncio.timeout(60):
            while (third := await catalog.acquire_lease("yard", "a", "a#1")) is None:
                await asyncio.sleep(0.05)
        assert third > second
        assert await other.acquire_lease("yard", "b", "b#1") is None

    async def test_all_leases_of_a_session_last_as_long_as_it_does(self, opening: Opening) -> None:
        catalog, other = await opening(), await opening()
        await catalog.announce_session("a#1", "a", 600)
        await other.announce_session("b#1", "b", 600)
        numbers = [await catalog.acquire_lease(name, "a", "a#1") for name in ("yard", "gate", "door")]
        await catalog.end_session("a#1")
        await catalog.announce_session("a#2", "a", 600)
        assert await catalog.acquire_lease("yard", "a", "a#2") == numbers[0]  # nobody else had it in between
        taken = await other.acquire_lease("gate", "b", "b#1")
        assert taken is not None
        assert taken > (numbers[1] or 0)
        assert await catalog.acquire_lease("gate", "a", "a#2") is None
        await other.end_session("b#1")
        again = await catalog.acquire_lease("gate", "a", "a#2")
        assert again is not None
        assert again > taken

    async def test_one_of_many_holders_gets_the_lease(self, opening: Opening) -> None:
        catalogs = [await opening() for _ in range(4)]
        for i, catalog in enumerate(catalogs):
            await catalog.announce_session(f"s{i}", str(i), 600)
        got = await asyncio.gather(*(c.acquire_lease("gate", str(i), f"s{i}") for i, c in enumerate(catalogs)))
        assert sum(number is not None for number in got) == 1
