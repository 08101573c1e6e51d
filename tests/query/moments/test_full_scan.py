"""Tests the full scan against a naive implementation: all records in a list, and the same rules."""

from datetime import UTC, datetime, timedelta
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from footage.indexer.store.base import CameraSummary, CatalogEntry, Record, Where
from footage.indexer.store.row_arrays import collect, score_batches
from footage.query.moments import full_scan
from footage.query.moments.full_scan import FullScan
from footage.query.moments.segmentation import MATCH_CUTOFF, Segmenter
from footage.query.scoring.hysteresis import find_segments
from footage.query.values.moment import Moment
from footage.query.values.timeline import media_chains
from footage.stream.frame import Clock, Kind, Media, Region
from tests.query.moments.test_segmentation import START, FirstComponentScorer, at, film, vector

CORNER = Region.of(Region(0.0, 0.0, 0.5, 0.5).code)


class OppositeScorer(FirstComponentScorer):
    """Matches what ``FirstComponentScorer`` does not."""

    def score_parts(self, vectors):
        wanted, clear = super().score_parts(vectors)
        return 1 - wanted, clear


class MemoryIndex:
    """A store and a catalog of what it is given, in memory: the real ones are too slow for hundreds of examples."""

    def __init__(self, films):
        self.films, self.records = films, sorted((r for _, rs in films for r in rs), key=_key)

    async def scan(self, where):
        for r in self.records:
            if (not where.cameras or r.camera in where.cameras) and _inside(r.time, where.spans):
                yield r

    def scores(self, where, size, score):
        return score_batches(collect(self.scan(where), size, 3), score)

    async def media_between(self, cameras, start, end):
        found = [m for m, _ in self.films if (not cameras or m.camera in cameras) and m.start <= end and m.end >= start]
        return [CatalogEntry(m, "") for m in sorted(found, key=lambda m: (m.start, m.camera, m.id))]

    async def media(self, ids):
        return {m.id: CatalogEntry(m, "") for m, _ in self.films if m.id in ids}

    async def cameras(self):
        mine = {m.camera: [x for x, _ in self.films if x.camera == m.camera] for m, _ in self.films}
        return [CameraSummary(c, len(ms), min(m.start for m in ms), max(m.end for m in ms)) for c, ms in mine.items()]


def _key(r):
    return r.time, r.camera, r.region.code if r.region else 0


def _inside(time, spans):
    return not spans or any(a <= time < b for a, b in spans)


def naive(memory, where):
    """Every moment, by chains and spans, from lists."""
    found = []
    for span in where.spans or [(None, None)]:
        for camera in {m.camera for m, _ in memory.films}:
            for chain in media_chains([m for m, _ in memory.films if m.camera == camera]):
                ids = {m.id: m for m in chain}
                records = [r for r in memory.records if r.media in ids and _inside(r.time, (span,) if span[0] else ())]
                frames = [max(group, key=lambda r: r.vector[0]) for _, group in groupby(records, key=lambda r: r.time)]
                if not frames:
                    continue
                last = frames[-1].time if chain[-1].kind is Kind.PHOTO else chain[-1].end
                until = [f.time for f in frames[1:]] + [min(last, span[1]) if span[1] else last]
                p = FirstComponentScorer().score_parts(np.array([f.vector for f in frames]).reshape(-1, 3))[0]
                for a, b in find_segments(p, MATCH_CUTOFF):
                    best = frames[a + int(np.argmax(p[a:b]))]
                    found.append(
                        Moment(
                            camera, frames[a].time, until[b - 1], float(p[a:b].max()), best.time, best.region,
                            best.media, ids[best.media].clock,
                        )
                    )  # fmt: skip
    return sorted(found, key=lambda m: (m.start, m.camera))


@st.composite
def worlds(draw):
    """Two cameras of files that follow, overlap or leave holes, some frames with a region."""
    films = []
    for camera in ("gate", "yard"):
        start = 0.0
        for i in range(draw(st.integers(0, 4))):
            start += draw(st.sampled_from([0.0, 0.0, 0.5, 7.0, 90.0, 3000.0]))
            scores = draw(
                st.lists(st.sampled_from([0.0, 0.1, 0.14, 0.16, 0.3, 0.5, 0.7, 1.0]), min_size=1, max_size=30)
            )
            kind = Kind.PHOTO if len(scores) == 1 and draw(st.booleans()) else Kind.VIDEO
            length = 0.0 if kind is Kind.PHOTO else float(len(scores))
            # as the catalog does, records of two files never share a time
            media = Media(f"{camera}{i}", camera, "", kind, at(start + i * 1e-5), Clock.GIVEN, length)
            rows = [Record(camera, media.at(j), media.id, float(j), vector(p)) for j, p in enumerate(scores)]
            if draw(st.booleans()):
                j = draw(st.integers(0, len(scores) - 1))
                rows.append(Record(camera, media.at(j), media.id, float(j), vector(0.9), CORNER))
            films.append((media, rows))
            start += draw(st.sampled_from([length, length, length / 2]))
    spans = draw(st.sampled_from([(), ((at(5), at(40)),), ((at(3), at(12)), (at(15), at(3100)))]))
    return MemoryIndex(films), Where((), spans)


@settings(deadline=None)
@given(worlds(), st.sampled_from([1, 3, 1000]))
async def test_a_full_scan_finds_the_moments_of_all_records(world, rows):
    memory, where = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(full_scan, "SCORED_ROWS", rows)  # moments cross the borders of batches
        patch.setattr(full_scan, "LAST_WINDOW", timedelta(seconds=4))
        scan, expected = FullScan(memory, memory), naive(memory, where)
        every, opposite = await scan.all([FirstComponentScorer(), OppositeScorer()], where)
        assert (await scan.all([OppositeScorer()], where)) == [opposite]
        assert sorted(every.moments, key=repr) == sorted(expected, key=repr)
        assert (await scan.count(FirstComponentScorer(), where)).count == len(expected)
        first, last = await scan.first(FirstComponentScorer(), where), await scan.last(FirstComponentScorer(), where)
        assert first.moments[:1] == every.moments[:1]
        assert [m.start for m in last.moments] == [m.start for m in every.moments[-1:]]


async def test_over_a_real_index_a_full_scan_agrees_with_the_segmenter(store, catalog):
    rng = np.random.default_rng(3)
    await film(store, catalog, "a", rng.random(400) ** 3)
    await film(store, catalog, "b", rng.random(300) ** 3, start=400)
    await film(store, catalog, "c", rng.random(100) ** 3, camera="gate")
    segmenter = Segmenter(store, catalog, FirstComponentScorer(), Where())
    grown = await segmenter.find_moments({c: [at(s) for s in range(0, 700, 30)] for c in ("yard", "gate")})
    (found,) = await FullScan(store, catalog).all([FirstComponentScorer()])
    assert found.looked == 800
    assert found.moments == sorted(grown, key=lambda m: (m.start, m.camera))
    gate = await FullScan(store, catalog).count(FirstComponentScorer(), Where(("gate",)))
    assert gate.looked == 100
    assert gate.count == sum(m.camera == "gate" for m in grown)


async def test_first_and_last_scan_no_more_than_needed(store, catalog):
    scores = np.full(20_000, 0.05)
    scores[[100, 101, 19_000]] = 0.9
    await film(store, catalog, "a", scores)
    scan = FullScan(store, catalog)
    first, last = await scan.first(FirstComponentScorer()), await scan.last(FirstComponentScorer())
    assert first.moments[0].start == at(100)
    assert first.looked < 5_000
    assert last.moments[0].start == at(19_000)
    assert last.looked < 5_000
    assert (await scan.count(FirstComponentScorer())).count == 2
    begun = Where((), ((at(0), at(18_000)),))
    assert (await scan.last(FirstComponentScorer(), begun)).moments == first.moments
    assert (await scan.last(FirstComponentScorer(), begun)).looked < 25_000  # no window is scanned twice


async def test_an_unrecorded_feed_is_scanned_too(store, catalog):
    media = Media("f" * 16, "yard", "", Kind.FEED, START, Clock.ARRIVAL, 0.0)
    await catalog.add_media(media, "")
    await store.write(
        [Record("yard", at(s), media.id, s, vector(0.9 if s == 7200 else 0.1)) for s in range(7000, 7400)]
    )
    (found,) = await FullScan(store, catalog).all([FirstComponentScorer()])
    assert [(m.start, m.end) for m in found.moments] == [(at(7200), at(7201))]


async def test_an_empty_index_has_no_moments(store, catalog):
    scan = FullScan(store, catalog)
    where = Where((), ((datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)),))
    for ask in (scan.first, scan.last, scan.count):
        assert (await ask(FirstComponentScorer(), where)).count == 0
    assert [found.count for found in await scan.all([FirstComponentScorer()] * 2, where)] == [0, 0]


async def test_the_last_is_not_taken_while_a_later_one_is_uncertain(store, catalog):
    gate = [0.0] * 900 + [0.5] * 2 + [0.0] * 98
    yard = [0.0] * 300 + [0.2] * 604 + [1.0] * 3 + [0.0] * 93  # an island that the first window does not see whole
    await film(store, catalog, "a", gate, camera="gate")
    await film(store, catalog, "b", yard, start=1e-5)
    last = await FullScan(store, catalog).last(FirstComponentScorer())
    assert [(m.camera, m.score) for m in last.moments] == [("yard", pytest.approx(1.0))]
