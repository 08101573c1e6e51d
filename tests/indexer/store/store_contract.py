"""Contract tests of every ``Store``: backend tests inherit ``StoreContract`` and provide ``opening``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store.base import Record, Store, Where
from footage.indexer.store.errors import StoreError
from footage.stream.frame import Region

SPACE = Space("test/one", 32)
START = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
BOX = Region.of(0x10203040)
Opening = Callable[[Space], Awaitable[Store]]


def unit_vectors(n: int, seed: int = 0, dim: int = SPACE.dim) -> Vectors:
    """Return random unit rows."""
    rows = np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def at(second: float) -> datetime:
    """Return the time this many seconds after ``START``."""
    return START + timedelta(seconds=second)


def make_records(n: int, camera: str = "gate", first: float = 0, every: float = 1, seed: int = 0) -> list[Record]:
    """Return ``n`` records of one media, ``every`` seconds apart."""
    vectors = unit_vectors(n, seed)
    return [Record(camera, at(first + i * every), f"{camera}-{first}", i * every, vectors[i]) for i in range(n)]


def record_keys(records: Sequence[Record]) -> list[tuple[str, datetime, Region | None]]:
    """Return the keys of the records."""
    return [(record.camera, record.time, record.region) for record in records]


async def scan_all(store: Store, where: Where = Where()) -> list[Record]:
    """Return everything that a scan yields."""
    return [record async for record in store.scan(where)]


class StoreContract:
    """The tests; each opens the same, initially empty store, as often as it needs.

    A backend's class has a fixture ``opening``: a function that opens the test's store for a space. Twice is like two
    processes.
    """

    @pytest.fixture
    async def store(self, opening: Opening) -> Store:
        return await opening(SPACE)

    async def test_an_empty_store_returns_nothing(self, store: Store) -> None:
        assert store.space == SPACE
        assert await store.count() == 0
        assert await store.nearest(unit_vectors(1)[0], 5) == []
        assert await scan_all(store) == []
        assert (await store.sample(5)).shape == (0, SPACE.dim)
        assert await store.last_time("nobody") is None
        assert await store.forget(Where(cameras=("gate",))) == 0
        await store.write([])
        await store.maintain()

    async def test_records_are_counted_by_camera(self, store: Store) -> None:
        await store.write([*make_records(7), *make_records(2, "yard")])
        asked = ["gate", "yard", *(f"attic {i}" for i in range(30))]  # more than Astra takes at once
        found = await store.counts(asked)
        assert {camera: count for camera, count in found.items() if count} == {"gate": 7, "yard": 2}

    async def test_a_record_is_read_as_it_was_written(self, store: Store) -> None:
        time = datetime(2026, 3, 29, 3, 30, 0, 123457, tzinfo=UTC)
        record = Record("Tür 'Süd\" \\ 門", time, "0123456789abcdef", 12.345678, unit_vectors(1)[0], BOX)
        await store.write([record])
        (found,) = await scan_all(store)
        assert (found.camera, found.time, found.media, found.offset) == (record.camera, time, record.media, 12.345678)
        assert found.region == BOX
        assert found.vector.dtype == np.float32
        np.testing.assert_array_equal(found.vector, record.vector)
        (hit,) = await store.nearest(record.vector, 3)
        assert (hit.camera, hit.time, hit.media, hit.offset, hit.region) == (record.camera, time, *_rest(record))
        assert hit.score == pytest.approx(1, abs=1e-5)

    async def test_a_time_before_1970_and_one_of_another_zone_are_kept(self, store: Store) -> None:
        elsewhere = datetime.fromisoformat("1969-07-20T22:17:40.000001+02:00")
        await store.write([Record("moon", elsewhere, "m", 0, unit_vectors(1)[0])])
        assert [record.time for record in await scan_all(store)] == [elsewhere]
        assert await store.count(Where(spans=((elsewhere, elsewhere + timedelta(microseconds=1)),))) == 1

    async def test_a_key_is_stored_once(self, store: Store, opening: Opening) -> None:
        records = make_records(20)
        await store.write(records + records[:5])
        await store.write(records[10:] + make_records(5, first=20, seed=1))
        await (await opening(SPACE)).write(records)
        assert record_keys(await scan_all(store)) == record_keys(records + make_records(5, first=20))
        boxed = [Record(r.camera, r.time, r.media, r.offset, r.vector, BOX) for r in records[:3]]
        other = [Record("door", r.time, r.media, r.offset, r.vector) for r in records[:3]]
        await store.write(boxed + other)
        assert await store.count() == 31

    async def test_the_first_record_of_a_key_stays(self, store: Store) -> None:
        first, second = make_records(1, seed=1), make_records(1, seed=2)
        await store.write(first + second)
        await store.write(second)
        (found,) = await scan_all(store)
        np.testing.assert_array_equal(found.vector, first[0].vector)

    @pytest.mark.parametrize(
        "vector",
        [
            unit_vectors(1)[0] * 2,
            np.zeros(32, np.float32),
            np.full(32, np.nan, np.float32),
            unit_vectors(1)[0][:31],
            unit_vectors(1),
        ],
        ids=["long", "zero", "nan", "short", "matrix"],
    )
    async def test_a_batch_with_a_vector_that_is_not_unit_is_refused(self, store: Store, vector: Vectors) -> None:
        with pytest.raises(StoreError, match="gate"):
            await store.write([*make_records(2), Record("gate", at(9), "m", 9, vector)])
        assert await store.count() == 0
        with pytest.raises(StoreError):
            await store.nearest(vector, 3)

    async def test_a_time_without_zone_is_refused(self, store: Store) -> None:
        with pytest.raises(StoreError, match="time zone"):
            await store.write([Record("gate", datetime(2026, 1, 1), "m", 0, unit_vectors(1)[0])])

    async def test_nearest_agrees_with_exact_search(self, store: Store) -> None:
        records = make_records(300)
        await store.write(records)
        question = unit_vectors(1, seed=9)[0]
        scores = np.stack([record.vector for record in records]) @ question
        best = np.argsort(-scores)[:10]
        hits = await store.nearest(question, 10)
        assert [hit.time for hit in hits] == [records[i].time for i in best]
        np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)
        assert len(await store.nearest(question, 1000)) == 300
        assert await store.nearest(question, 0) == []

    async def test_nearest_may_leave_out_what_is_of_no_use(self, store: Store) -> None:
        records = make_records(400)
        await store.write(records)
        question = unit_vectors(1, seed=8)[0]
        every = await store.nearest(question, 400)
        least = (every[19].score + every[20].score) / 2
        few, cut = await store.nearest(question, 400, least=least), await store.nearest(question, 7, least=least)
        assert few[:20] == every[:20]
        assert cut == every[:7]
        if store.heeds_least:
            assert len(few) == 20
            assert await store.nearest(question, 400, least=every[0].score + 0.01) == []

    async def test_equal_scores_come_in_order_of_time_camera_and_region(self, store: Store) -> None:
        vector = unit_vectors(1)[0]
        order = [("a", 1, None), ("b", 1, None), ("b", 1, BOX), ("a", 2, None)]
        await store.write([Record(camera, at(second), "m", 0, vector, box) for camera, second, box in reversed(order)])
        hits = await store.nearest(vector, 4)
        assert [(hit.camera, hit.time, hit.region) for hit in hits] == [(c, at(s), box) for c, s, box in order]

    async def test_filters_apply_before_ranking(self, store: Store) -> None:
        far, near = make_records(50, "near"), make_records(50, "far", seed=1)
        await store.write(far + near)
        question = far[7].vector
        assert {hit.camera for hit in await store.nearest(question, 10, Where(cameras=("far",)))} == {"far"}
        spans = ((at(3), at(5)), (at(40), at(41)), (at(4), at(6)))
        hits = await store.nearest(question, 100, Where(cameras=("near",), spans=spans))
        assert sorted(hit.time for hit in hits) == [at(3), at(4), at(5), at(40)]
        assert len(await store.nearest(question, 100, Where(media=("far-0", "none")))) == 50

    async def test_spans_are_half_open_and_an_empty_one_holds_nothing(self, store: Store) -> None:
        await store.write(make_records(10))
        assert await store.count(Where(spans=((at(2), at(4)),))) == 2
        assert await store.count(Where(spans=((at(2), at(2)),))) == 0
        assert await scan_all(store, Where(spans=((at(4), at(2)),))) == []

    @pytest.mark.parametrize("name", ["o'brien", "' OR 1=1 --", '"', "\\'", "%", "門 🚪", "a\nb", "", "NULL"])
    async def test_names_are_taken_literally(self, store: Store, name: str) -> None:
        await store.write(make_records(3, name) + make_records(3, "other"))
        assert {record.camera for record in await scan_all(store, Where(cameras=(name,)))} == {name}
        assert await store.count(Where(media=(f"{name}-0",))) == 3
        assert await store.last_time(f"{name}-0") == at(2)
        assert await store.forget(Where(cameras=(name,))) == 3
        assert await store.count() == 3

    async def test_a_scan_is_in_order_over_many_windows_and_gaps(self, store: Store) -> None:
        dense = [r for camera in ("b", "a", "c") for r in make_records(2500, camera, every=0.01)]
        sparse = [r for year in range(9) for r in make_records(2, "a", first=year * 31_557_600, every=86_400)][2:]
        boxed = [Record(r.camera, r.time, r.media, r.offset, r.vector, BOX) for r in dense[::500]]
        every = [*boxed, *sparse, *dense]
        for part in np.array_split(np.random.default_rng(0).permutation(len(every)), 3):
            await store.write([every[i] for i in part])
        order = sorted(every, key=lambda r: (r.time, r.camera, r.region.code if r.region else 0))
        found = await scan_all(store)
        assert record_keys(found) == record_keys(order)
        np.testing.assert_array_equal([r.vector for r in found[::97]], [r.vector for r in order[::97]])
        where = Where(cameras=("a", "c"), spans=((at(1), at(2)), (at(90_000), at(10**9))))
        inside = [r for r in order if r.camera != "b" and (at(1) <= r.time < at(2) or at(90_000) <= r.time < at(10**9))]
        assert record_keys(await scan_all(store, where)) == record_keys(inside)

    @staticmethod
    def crowd() -> list[Record]:
        """Return more records of one moment than a scan holds in memory, in their order."""
        return [Record(f"cam{i:04}", START, "m", 0, vector) for i, vector in enumerate(unit_vectors(2100))]

    async def test_arrays_hold_what_a_scan_yields(self, store: Store) -> None:
        records = [r for camera in ("b", "a") for r in make_records(300, camera)]
        records += [Record(r.camera, r.time, r.media, r.offset, r.vector, BOX) for r in records[::50]]
        await store.write(records)
        wheres = [Where(("a",), ((at(10), at(20)), (at(200), at(203)))), Where(), Where(("nobody",)), Where(("b",))]
        for where, rows in zip(wheres, await store.read(wheres, lambda rows: rows), strict=True):
            _assert_same(list(rows.records()), await scan_all(store, where))
        parts = [rows async for rows in store.batches(Where(), 40)]
        _assert_same([record for rows in parts for record in rows.records()], await scan_all(store))
        times = [{record.time for record in rows.records()} for rows in parts]
        assert len(parts) > 5
        assert sum(map(len, times)) == len(set().union(*times))  # no time is in two parts
        for where in (wheres[0], Where(), Where(("nobody",))):
            scored = [part async for part in store.scores(where, 40, lambda vectors: vectors[:, :2].astype(np.float64))]
            expected = await scan_all(store, where)
            found = [(r.camera, r.time, r.region) for rows, _ in scored for r in rows.records()]
            assert found == [(r.camera, r.time, r.region) for r in expected]
            scores = [row for _, part in scored for row in part]
            np.testing.assert_array_equal(scores, [r.vector[:2] for r in expected])

    async def test_many_records_of_one_moment_are_scanned(self, store: Store) -> None:
        crowd = self.crowd()
        await store.write(crowd)
        assert record_keys(await scan_all(store)) == record_keys(crowd)

    async def test_a_sample_is_spread_over_whole_frames_and_deterministic(self, store: Store, opening: Opening) -> None:
        frames = make_records(1000)
        boxes = [
            Record(r.camera, r.time, r.media, r.offset, v, BOX)
            for r, v in zip(frames, unit_vectors(1000, 5), strict=True)
        ]
        await store.write(frames[500:] + boxes)
        await store.write(frames[:500] + make_records(1000, "door", seed=3))
        sample = await store.sample(50, Where(cameras=("gate",)))
        assert sample.shape == (50, SPACE.dim)
        assert sample.dtype == np.float32
        index = {record.vector.tobytes(): i for i, record in enumerate(frames)}
        places = [index[row.tobytes()] for row in sample]
        assert np.diff(sorted(places)).max() <= 40
        await store.maintain()
        again = await (await opening(SPACE)).sample(50, Where(cameras=("gate",)))
        np.testing.assert_array_equal(again, sample)
        assert len(await store.sample(5000)) == 2000
        assert len(await store.sample(10)) == 10

    async def test_times_are_spread_over_each_camera_and_tell_of_regions(self, store: Store) -> None:
        frames = make_records(500)
        boxes = [Record(r.camera, r.time, r.media, r.offset, r.vector, BOX) for r in frames[::100]]
        await store.write(frames + boxes + make_records(40, "door", first=100))
        asked = Where(spans=((at(0), at(400)),))
        found = await store.times(asked, 50)
        assert found == sorted(found, key=lambda one: (one.time, one.camera))
        gate = [one.time for one in found if one.camera == "gate"]
        assert len(gate) == 50
        assert {later - sooner for sooner, later in pairwise(gate)} == {timedelta(seconds=8)}
        assert gate[0] == at(0)
        assert [one.time for one in found if one.camera == "door"] == [at(100 + n) for n in range(40)]
        every = await store.times(Where(cameras=("gate",)), 5000)
        assert [one.time for one in every] == [r.time for r in frames]
        assert [one.time for one in every if one.has_region] == [r.time for r in frames[::100]]
        assert await store.times(asked, 0) == []
        assert await store.times(Where(cameras=("nobody",)), 5) == []

    async def test_times_of_a_long_time_are_found_near_evenly_spread_instants(self, store: Store) -> None:
        hours = make_records(3000, every=10)  # 8 hours and 20 minutes
        await store.write([*hours, Record("gate", at(0), "m", 0, hours[0].vector, BOX)])
        found = await store.times(Where(cameras=("gate",), spans=((at(0), at(36000)),)), 100)
        assert 80 <= len(found) <= 100
        assert found[0].time == at(0)
        assert found[0].has_region
        assert not any(one.has_region for one in found[1:])
        assert max(later.time - sooner.time for sooner, later in pairwise(found)) <= timedelta(minutes=8)
        assert found[-1].time >= at(29990) - timedelta(minutes=8)

    async def test_last_time_is_that_of_the_newest_record_of_a_media(self, store: Store) -> None:
        records = make_records(30)
        await store.write(records[10:])
        await store.write(records[:10])
        assert await store.last_time("gate-0") == at(29)
        assert await store.last_time("gate-1") is None

    async def test_written_records_are_visible_at_once_to_other_instances(self, opening: Opening) -> None:
        one, other = await opening(SPACE), await opening(SPACE)
        assert await other.count() == 0
        for i in range(5):
            (record,) = make_records(1, first=i, seed=i)
            await one.write([record])
            assert await other.count() == i + 1
            assert (await other.nearest(record.vector, 1))[0].time == record.time
            assert await other.last_time(record.media) == record.time

    async def test_forgetting_deletes_only_matching_records(self, store: Store, opening: Opening) -> None:
        records = make_records(100) + make_records(100, "door", seed=1)
        await store.write(records)
        other = await opening(SPACE)
        where = Where(cameras=("gate",), spans=((at(10), at(20)),))
        assert await store.forget(where) == 10
        assert await store.forget(where) == 0
        gone = records[10:20]
        assert await other.count() == 190
        assert all(hit.time != gone[0].time for hit in await other.nearest(gone[0].vector, 5, Where(cameras=("gate",))))
        assert not {*record_keys(gone)} & {*record_keys(await scan_all(other))}
        await store.write(gone)
        assert await other.count() == 200
        assert await store.forget(Where()) == 200
        assert await other.count() == 0
        await other.write(records)
        assert await store.count() == 200

    async def test_maintenance_does_not_change_results(self, store: Store) -> None:
        for i in range(30):
            await store.write(make_records(20, first=20 * i, seed=i))
        question = unit_vectors(1, seed=99)[0]
        before = await store.nearest(question, 20), record_keys(await scan_all(store))
        await asyncio.gather(store.maintain(), store.maintain(), store.write(make_records(1, "late")))
        await store.forget(Where(cameras=("late",)))
        assert (await store.nearest(question, 20), record_keys(await scan_all(store))) == before

    async def test_writers_readers_and_maintenance_run_concurrently(self, opening: Opening) -> None:
        first, second, reader = [await opening(SPACE) for _ in range(3)]
        writing = asyncio.gather(_write_all(first, "a"), _write_all(second, "b"), _write_all(second, "b"))
        while not writing.done():
            seen = await reader.count()
            assert len(await reader.nearest(unit_vectors(1)[0], 5)) >= min(5, seen)
            assert len(await scan_all(reader)) >= seen
            await first.maintain()
        await writing
        assert record_keys(await scan_all(reader)) == [(camera, at(i), None) for i in range(100) for camera in "ab"]

    async def test_readers_continue_while_records_are_forgotten(self, opening: Opening) -> None:
        store, reader = await opening(SPACE), await opening(SPACE)
        await store.write(make_records(160))

        async def forget() -> None:
            for i in range(12):
                await store.forget(Where(spans=((at(5 * i), at(5 * i + 5)),)))

        stays = Where(spans=((at(60), at(160)),))
        forgetting = asyncio.create_task(forget())
        asked = 0
        while not forgetting.done():
            assert len(await reader.nearest(unit_vectors(1)[0], 500, stays)) == 100
            assert len(await scan_all(reader)) >= 100
            assert len(await reader.sample(50, stays)) == 50
            asked += 1
        await forgetting
        assert asked
        assert await reader.count() == 100

    async def test_two_spaces_do_not_mix(self, opening: Opening) -> None:
        one, other = await opening(SPACE), await opening(Space("test_one", 16))
        await one.write(make_records(3))
        await other.write([Record("gate", at(0), "m", 0, unit_vectors(1, dim=16)[0])])
        assert (await one.count(), await other.count()) == (3, 1)
        await other.forget(Where())
        assert await one.count() == 3

    async def test_closing_twice_does_no_harm(self, store: Store) -> None:
        await store.write(make_records(1))
        await store.close()
        await store.close()


def _assert_same(found: list[Record], expected: list[Record]) -> None:
    assert record_keys(found) == record_keys(expected)
    assert [(r.media, r.offset) for r in found] == [(r.media, r.offset) for r in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.vector, other.vector)


async def _write_all(store: Store, camera: str) -> None:
    records = make_records(100, camera)
    for i in range(0, 100, 10):
        await store.write(records[i : i + 10])


def _rest(record: Record) -> tuple[str, float, Region | None]:
    return record.media, record.offset, record.region
