"""Tests what is noted beside the coverage of cameras when the machine's clock, a fake, is set."""

from datetime import UTC, datetime, timedelta

import pytest

from footage.indexer.live.clock_notes import ClockNotes
from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.errors import StoreUnreachable
from footage.indexer.store.lost_vectors import shown_coverage

BOOT = datetime(1970, 1, 1, 0, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YEARS = timedelta(days=56 * 365)
WATCHED, GAP = CoverageState.WATCHED, CoverageState.GAP


class Machine:
    """A machine with a camera, whose coverage is noted as it grows; the clock can be set."""

    def __init__(self, catalog, begins):
        self.catalog, self.begins, self.passed, self.error = catalog, begins, timedelta(), timedelta()
        self.noted = []
        self.notes = ClockNotes(catalog, self, self.now, lambda: self.passed.total_seconds())

    def now(self):
        return self.begins + self.passed + self.error

    def set_coverage(self, coverage):
        self.noted.append(coverage)

    async def run(self, length, state=WATCHED, cause=""):
        """Watch for so long, with a look every two seconds."""
        start = self.now()
        for _ in range(round(length.total_seconds() / 2)):
            self.passed += timedelta(seconds=2)
            await self.catalog.set_coverage(Coverage("yard", start, self.now(), state, cause))
            await self.notes.look(["yard"])
            while self.noted:
                await self.catalog.set_coverage(self.noted.pop(0))

    async def causes(self):
        ever = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        spans = await shown_coverage(self.catalog, [], *ever)
        return [(c.start, c.end, c.state, c.cause) for c in spans]


async def test_what_was_watched_before_a_wrong_clock_was_set_says_so(catalog):
    machine = Machine(catalog, BOOT)
    await machine.run(MINUTE)
    await machine.run(MINUTE, GAP, "no picture for 10 s")
    await machine.run(MINUTE)
    machine.error = YEARS
    await machine.run(2 * MINUTE)
    told = "by a clock that was then set forward by 20440 days, 0:00:00"
    assert await machine.causes() == [
        (BOOT, BOOT + MINUTE, WATCHED, told),
        (BOOT + MINUTE, BOOT + 2 * MINUTE, GAP, "no picture for 10 s"),
        (BOOT + 2 * MINUTE, BOOT + 3 * MINUTE, WATCHED, told),
        (BOOT + 3 * MINUTE + YEARS, BOOT + 5 * MINUTE + YEARS, WATCHED, ""),
    ]


async def test_where_it_is_set_back_what_is_watched_again_at_that_time_does_not(catalog):
    start = datetime(2026, 5, 4, tzinfo=UTC)
    machine = Machine(catalog, start)
    await machine.run(10 * MINUTE)
    machine.error = -5 * MINUTE
    await machine.run(2 * MINUTE)
    told = "by a clock that was then set back by 0:05:00"
    assert await machine.causes() == [
        (start, start + 5 * MINUTE, WATCHED, told),
        (start + 5 * MINUTE, start + 7 * MINUTE, WATCHED, ""),
        (start + 7 * MINUTE, start + 10 * MINUTE, WATCHED, told),
    ]


@pytest.mark.parametrize("step", [4.0, -100.0])
async def test_small_steps_are_not_noted(catalog, step):
    machine = Machine(catalog, BOOT)
    await machine.run(10 * MINUTE)
    machine.error = timedelta(seconds=step)
    await machine.run(2 * MINUTE)
    assert {cause for *_, cause in await machine.causes()} == {""}


async def test_a_clock_that_ran_for_longer_than_a_day_is_not_doubted(catalog):
    machine = Machine(catalog, BOOT)
    await machine.run(MINUTE)
    machine.passed += timedelta(days=1)
    await machine.run(MINUTE)
    machine.error = YEARS
    await machine.run(MINUTE)
    assert {cause for *_, cause in await machine.causes()} == {""}


async def test_it_is_noted_when_the_catalog_is_back(catalog):
    machine = Machine(catalog, BOOT)
    await machine.run(MINUTE)
    machine.error = YEARS
    await machine.run(MINUTE / 4)
    read, catalog.coverage = catalog.coverage, None

    async def away(*_):
        raise StoreUnreachable("it is away")

    catalog.coverage = away
    machine.passed += MINUTE
    with pytest.raises(StoreUnreachable):
        await machine.notes.look(["yard"])
    catalog.coverage = read
    await machine.run(MINUTE / 4)
    assert (await machine.causes())[0][3].startswith("by a clock that was then set forward")
