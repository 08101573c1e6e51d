"""Tests what people decided about moments, in a real catalog: which moments it belongs to, and what is read for it."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.query.moments import reviews
from footage.query.moments.reviews import Mark, ReviewLog
from footage.query.values.ids import MomentId

START = datetime(2026, 5, 31, 23, 59, 50, tzinfo=UTC)


def moment(start=0, best=5, end=20, camera="yard"):
    first, middle, last = (START + timedelta(seconds=s) for s in (start, best, end))
    return MomentId(camera, first, last, middle)


def mark(of, verdict="keep", at=0, **more):
    return Mark(moment=str(of), mark=verdict, by="anna", at=START + timedelta(days=1, seconds=at), **more)


class CountingCatalog:
    """A catalog that notes which kinds are read."""

    def __init__(self, catalog):
        self.catalog, self.read = catalog, []

    def __getattr__(self, name):
        return getattr(self.catalog, name)

    async def documents(self, kind):
        self.read.append(kind)
        return await self.catalog.documents(kind)

    async def documents_between(self, kind, first, end):
        self.read.append(kind)
        return await self.catalog.documents_between(kind, first, end)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (moment(), True),
        (moment(start=2, best=7, end=60), True),  # other boundaries, another best frame
        (moment(start=5, best=20, end=40), True),  # at the edges
        (moment(start=6, best=10, end=20), False),  # begins after the marked best frame
        (moment(start=-60, best=-1, end=20), False),  # its own best frame is earlier
        (moment(start=30, best=35, end=40), False),
        (moment(camera="gate"), False),
    ],
)
async def test_a_mark_belongs_to_moments_that_share_their_best_frames(catalog, other, same):
    log = ReviewLog(catalog)
    await log.put(mark(moment(), note="the parcel", query="a parcel"))
    found = await log.of([other])
    assert bool(found) == same
    if same:
        assert (found[other].mark.note, found[other].mark.query, found[other].exported) == (
            "the parcel",
            "a parcel",
            False,
        )


async def test_a_later_mark_of_the_same_event_takes_its_place(catalog):
    log, other = ReviewLog(catalog), ReviewLog(catalog)
    await log.put(mark(moment(), "keep"))
    await log.put(mark(moment(best=100, end=200), "keep"))
    await other.put(mark(moment(start=1, best=9), "dismiss", at=1))
    found = await log.between((), START, START + timedelta(days=1))
    assert [(m.moment_id.best.second, m.mark) for m in found] == [(59, "dismiss"), (30, "keep")]
    (gone,) = await log.remove(moment(start=3, best=6))
    assert gone.mark == "dismiss"
    assert await log.of([moment()]) == {}
    assert len(await log.between((), START, START + timedelta(days=1))) == 1


async def test_moments_over_the_end_of_a_month_are_found(catalog):
    log = ReviewLog(catalog)
    late = moment(best=15)  # in June, of a moment that begins in May
    await log.put(mark(late))
    assert set(await log.of([moment(best=12), moment(best=3, end=9)])) == {moment(best=12)}
    june = START + timedelta(seconds=10)
    assert await log.between((), START, june) == []
    assert [m.moment for m in await log.between(("yard",), june, june + timedelta(days=3))] == [str(late)]
    assert await log.between(("gate",), START, june + timedelta(days=3)) == []


async def test_without_marks_a_search_costs_nothing_and_with_some_only_their_part_is_read(catalog, monkeypatch):
    monkeypatch.setattr(reviews, "CACHE_SECONDS", 1e9)
    counting = CountingCatalog(catalog)
    log = ReviewLog(counting)
    for _ in range(3):
        await log.of([moment(), moment(camera="gate")])
    assert sorted(counting.read) == ["export", "mark"]
    counting.read.clear()
    await log.put(mark(moment()))
    counting.read.clear()
    await log.of([moment(), moment(start=7), moment(camera="gate")])
    assert counting.read == ["mark/yard/2026-05"]


async def test_moments_are_narrowed_by_their_marks(catalog):
    log = ReviewLog(catalog)
    kept, dismissed, rest = moment(), moment(start=30, best=35, end=40), moment(start=60, best=65, end=70)
    await log.put(mark(kept))
    await log.put(mark(dismissed, "dismiss"))
    asked = [rest, kept, dismissed]
    assert await log.keep_only(asked, "keep") == [kept]
    assert await log.keep_only(asked, "dismiss") == [dismissed]
    assert await log.keep_only(asked, "none") == [rest]
    assert await log.keep_only(asked, "") == asked


async def test_exports_are_noted_and_forgotten_with_their_time(catalog):
    log = ReviewLog(catalog)
    await log.note_export([moment(), moment(camera="gate")], "anna")
    await log.put(mark(moment()))
    await log.put(mark(moment(best=3000, end=4000)))
    assert (await log.of([moment(start=2)]))[moment(start=2)].exported
    await log.forget("yard", START, START + timedelta(minutes=1))
    assert set(await log.of([moment(), moment(camera="gate"), moment(best=3000, end=4000)])) == {
        moment(camera="gate"),
        moment(best=3000, end=4000),
    }


async def test_times_before_1970_sort_as_they_do(catalog):
    log = ReviewLog(catalog)
    old = MomentId("yard", *(datetime(1969, 12, 31, 23, 59, s, tzinfo=UTC) for s in (0, 59, 30)))
    await log.put(mark(old))
    assert set(await log.of([old])) == {old}
    assert await log.between((), datetime(1970, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)) == []
    assert len(await log.between((), datetime(1969, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))) == 1


async def test_one_that_cannot_be_read_takes_no_other_along(catalog):
    log = ReviewLog(catalog)
    await log.put(mark(moment()))
    await catalog.put_document("mark/yard/2026-05", reviews._name(START), {"mark": "?"})
    assert set(await log.of([moment()])) == {moment()}
