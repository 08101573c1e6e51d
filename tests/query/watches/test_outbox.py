"""Tests of the queue of deliveries: where it begins, and that a clock that is late loses none."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.query.watches import outbox
from footage.query.watches.outbox import Delivery, Outbox, delivery_counts


def delivery(id, hours_ago):
    created = datetime.now(UTC) - timedelta(hours=hours_ago)
    return Delivery(id=id, watch="gate", owner="w", body="{}", created=created)


async def ids(box):
    return [one.id for one in (await box.read("w", 100)).values()]


@pytest.fixture
async def box(catalog, monkeypatch):
    """A queue of four deliveries; two of them are made, and its beginning has moved behind them."""
    monkeypatch.setattr(outbox, "DROP_INTERVAL", 0.0)
    box = Outbox(catalog)
    await box.open()
    made = {await box.add(one): one for one in (delivery("a", 9), delivery("b", 8))}
    left = [await box.add(one) for one in (delivery("c", 7), delivery("d", 6))]
    for name, one in made.items():
        await box.remove(name, one)
    await box.drop_done("w", left)
    return box


async def test_a_queue_begins_at_the_first_delivery_that_is_left(box, catalog):
    assert await ids(box) == ["c", "d"]
    floor = (await catalog.document("watch-floor", "w"))["name"]
    assert next(iter(await catalog.documents("watch-outbox/w"))) == floor
    other = Outbox(catalog)
    await other.open()
    assert await ids(other) == ["c", "d"]
    assert await delivery_counts(catalog, ["w", "nobody"]) == {"w": (2, 0, "")}


async def test_a_service_whose_clock_is_late_adds_behind_the_beginning(box, catalog):
    other = Outbox(catalog)  # of another service, which has never read where the queue begins
    await other.add(delivery("late", 24))
    assert set(await ids(box)) == {"c", "d", "late"}


async def test_a_delivery_that_appears_while_the_beginning_moves_is_not_dropped(box, catalog, monkeypatch):
    put, late = catalog.put_document, [delivery("late", 24)]

    async def meanwhile(kind, name, document):
        if kind == "watch-floor" and late:  # it looked at the beginning before this, and is stored after
            one = late.pop()
            hidden = f"w-{int((datetime.now(UTC) - timedelta(hours=6.5)).timestamp() * 1e6):017d}-late"
            await put("watch-outbox/w", hidden, one.model_dump(mode="json"))
        await put(kind, name, document)

    first = next(iter(await box.read("w", 1)))
    await box.remove(first, delivery("c", 7))
    monkeypatch.setattr(catalog, "put_document", meanwhile)
    await box.drop_done("w", list(await box.read("w", 100)))
    assert late == []
    assert await ids(box) == ["late", "d"]


async def test_a_queue_moves_no_further_than_a_minute_ago(box, catalog):
    for name, one in (await box.read("w", 100)).items():
        await box.remove(name, one)
    newest = await box.add(delivery("new", 0))
    await box.remove(newest, delivery("new", 0))
    await box.drop_done("w", [])
    floor = (await catalog.document("watch-floor", "w"))["name"]
    assert floor < newest
    assert await ids(box) == []
