"""Tests that reads do not walk through what was deleted, after thousands of documents have come and gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("cassandra")

from footage.indexer.live.retention import Retention
from footage.indexer.store.base import CameraSummary, Record, Where
from footage.indexer.store.cassandra import (
    CassandraCatalog,
    CassandraSession,
    CassandraStore,
    documents,
)
from footage.query.watches import outbox
from footage.query.watches.outbox import Delivery, Outbox, delivery_counts
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import to_micros
from tests.cassandra.tombstones import traced
from tests.indexer.store.store_contract import SPACE, make_records

LONG_AGO = datetime.now(UTC) - timedelta(hours=1)


async def together(work: Iterable[Awaitable[object]]) -> None:
    await asyncio.gather(*work)


def delivery(number: int, owner: str = "w") -> Delivery:
    created = LONG_AGO + timedelta(milliseconds=number)
    return Delivery(id=f"f{number}", watch="gate", owner=owner, body="{}" * 100, created=created)


@pytest.mark.slow
async def test_deliveries_that_were_made_are_not_read_again(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "DROP_INTERVAL", 0.0)
    catalog = await CassandraCatalog.open(session)
    box, made = Outbox(catalog), 0
    await box.open()
    for batch in range(6):  # of 500, of which the last one always waits
        added = [delivery(500 * batch + i) for i in range(500)]
        await together(box.add(each) for each in added)
        while len(waiting := await box.read("w", 200)) > 1:
            done = list(waiting.items()) if len(waiting) == 200 else list(waiting.items())[:-1]
            await together(box.remove(name, each) for name, each in done)
            made += len(done)
            await box.drop_done("w", (await box.read("w", 1)).keys())
    assert made == 2999
    async with traced(session) as walked:
        again = Outbox(catalog)
        await again.open()
        assert [each.id for each in (await again.read("w", 200)).values()] == ["f2999"]
        assert await delivery_counts(catalog, ["w"]) == {"w": (1, 0, "")}
    assert walked.requests >= 5
    assert walked.tombstones <= 1
    assert walked.rows <= 10
    await box.remove(*(await box.read("w", 1)).popitem())
    await box.drop_done("w", ())
    assert await again.read("w", 1) == {}


async def test_documents_that_come_and_go_leave_no_tombstones(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "SETTLING_TIME", 0)
    catalog = await CassandraCatalog.open(session)
    kept = {f"pi{n}": {"address": f"http://pi{n}:8000"} for n in range(300)}
    await together(catalog.put_document("service", name, document) for name, document in kept.items())
    for turn in range(4):
        names = [f"command~{turn}-{n}" for n in range(500)]
        await together(catalog.put_document("service", name, {"address": ""}) for name in names)
        assert len(await catalog.documents("service")) == 800
        await together(catalog.put_document("service", name, None) for name in names)
        assert await catalog.documents("service") == dict(sorted(kept.items()))  # a reader that tidies up
    await catalog.put_document("service", "pi7", {"address": "http://new:8000"})
    kept["pi7"] = {"address": "http://new:8000"}
    async with traced(session) as walked:
        assert await catalog.documents("service") == dict(sorted(kept.items()))
    assert walked.rows <= 364
    assert walked.tombstones <= 5
    assert await catalog.add_document("service", "command~0-1", {"address": "again"})
    assert await catalog.document("service", "command~0-1") == {"address": "again"}


async def test_what_is_written_while_a_kind_is_tidied_stays(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = await CassandraCatalog.open(session)
    await together(catalog.put_document("service", f"a{n}", {"n": n}) for n in range(200))
    await together(catalog.put_document("service", f"a{n}", None) for n in range(200) if n % 10)
    replace = catalog._replace_documents

    async def meanwhile(*args: object) -> None:
        await catalog.put_document("service", "a10", None)
        await catalog.put_document("service", "a20", {"n": "new"})
        await catalog.put_document("service", "a11", {"n": "back"})
        await replace(*args)  # type: ignore[arg-type]
        calls.append(args)

    calls: list[object] = []
    monkeypatch.setattr(catalog, "_replace_documents", meanwhile)
    async with asyncio.timeout(60):
        monkeypatch.setattr(documents, "SETTLING_TIME", 0)
        await catalog.documents("service")
    assert calls
    expected = {f"a{n}": {"n": n} for n in range(0, 200, 10)}
    del expected["a10"]
    expected |= {"a20": {"n": "new"}, "a11": {"n": "back"}}
    assert await catalog.documents("service") == dict(sorted(expected.items()))


async def test_partitions_of_vectors_that_retention_took_are_not_read_again(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    from footage.indexer.store.cassandra import buckets

    monkeypatch.setattr(buckets, "ON_ITS_WAY", 0)
    store = await CassandraStore.open(session, SPACE)
    first = make_records(1)[0]
    days = [first.time + timedelta(days=n) for n in range(60)]
    records = [Record(first.camera, day, f"m{n}", 0.0, first.vector) for n, day in enumerate(days)]
    await store.write(records)
    for day in days[:50]:
        assert await store.forget(Where((first.camera,), ((days[0], day + timedelta(seconds=1)),))) == 1
    async with traced(session) as walked:
        assert await store.count(Where((first.camera,))) == 10
    assert walked.tombstones <= 4  # the ends of a range, and the partition that was taken last


async def test_retention_does_not_read_what_it_deleted(
    session: CassandraSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted rows stay in the files until the node compacts them; a read from before them walks through all."""
    store, catalog = await CassandraStore.open(session, SPACE), await CassandraCatalog.open(session)
    begin = datetime(2026, 4, 22, tzinfo=UTC)
    hours = [begin + timedelta(hours=3 * n) for n in range(120)]  # into May
    media = [Media(f"s{n}", "yard", "", Kind.SEGMENT, t, Clock.RTCP, 3600.0) for n, t in enumerate(hours)]
    for segment in media:
        await catalog.add_media(segment, "live")
    due = media[:90]
    archive: Any = SimpleNamespace(find_expired=lambda *_: due, delete=lambda found: found)
    retention = Retention(store, catalog, archive, {"yard": timedelta(hours=1)})
    assert await retention.delete_expired(due[-1].end + timedelta(hours=1)) == 90
    asked: list[tuple[str, tuple[Any, ...]]] = []
    bind = CassandraSession._bind

    async def recorded(self: CassandraSession, cql: str, values: tuple[Any, ...]) -> Any:
        if cql.startswith("SELECT") and "@camera_media" in cql:
            asked.append((cql, values))
        return await bind(self, cql, values)

    monkeypatch.setattr(CassandraSession, "_bind", recorded)
    due = media[90:100]
    assert await retention.delete_expired(due[-1].end + timedelta(hours=1)) == 10
    monkeypatch.undo()
    assert await catalog.cameras() == [CameraSummary("yard", 20, hours[100], hours[-1] + timedelta(hours=1), ("rtcp",))]
    assert asked
    deleted = to_micros(media[89].start)
    for cql, values in asked:
        times = [value for value in values if isinstance(value, int) and value > deleted // 2]
        assert min(times, default=0) > deleted or "given DESC" in cql, cql  # from the end, where nothing was deleted
