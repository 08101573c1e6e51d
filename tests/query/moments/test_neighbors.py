"""Tests that records around hits are read once, and that moments do not depend on what was read before."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from footage.indexer.embed.base import Space, Vectors
from footage.indexer.store.base import Catalog, Record, Store, Where
from footage.indexer.store.row_arrays import RowArrays, from_records
from footage.query.moments.neighbors import NeighborReader
from footage.query.moments.segmentation import Segmenter
from footage.query.values.moment import Moment
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import from_micros, to_micros

T = TypeVar("T")
START = datetime(2026, 5, 4, tzinfo=UTC)
SECOND = 1_000_000
LENGTH = 400
MEDIA = Media("0" * 16, "yard", "/a.mp4", Kind.VIDEO, START, Clock.GIVEN, LENGTH)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


class FirstComponentScorer:
    """Probability of a match: a vector's first component."""

    def score_parts(self, vectors: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.asarray(vectors[:, 0], np.float64), np.ones(len(vectors))


class CountingStore:
    """Records of one camera, one a second, that notes how often each was read."""

    space = Space("test", 1)

    def __init__(self, p: list[float]) -> None:
        vectors = np.array(p, np.float32).reshape(-1, 1)
        self.records = [Record("yard", at(i), MEDIA.id, float(i), v) for i, v in enumerate(vectors)]
        self.read_times: list[int] = []

    async def read(self, wheres: list[Where], use: Callable[[RowArrays], T]) -> list[T]:
        parts = [[r for r in self.records if any(a <= r.time < b for a, b in where.spans)] for where in wheres]
        self.read_times += [to_micros(r.time) for part in parts for r in part]
        return [use(from_records(part, 1)) for part in parts]


async def moments(store: Store, catalog: Catalog, *rounds: list[int]) -> list[Moment]:
    """Ask one segmenter for each round of hits, in seconds; return what it says to the last."""
    segmenter = Segmenter(store, catalog, FirstComponentScorer(), Where())
    return [await segmenter.find_moments({"yard": [at(s) for s in seconds]}) for seconds in rounds][-1]


async def spans_read(store: CountingStore, *rounds: list[tuple[int, int]]) -> NeighborReader:
    reader = NeighborReader(store, FirstComponentScorer(), [(at(10), at(300))])  # type: ignore[arg-type]
    base = to_micros(START)
    for spans in rounds:
        await reader.read({"yard": [(base + a * SECOND, base + b * SECOND) for a, b in spans]})
    return reader


SPANS = st.lists(st.tuples(st.integers(0, LENGTH), st.integers(1, 60)).map(lambda s: (s[0], s[0] + s[1])), max_size=6)


@settings(max_examples=50, deadline=None)
@given(st.lists(SPANS, max_size=4))
async def test_each_record_is_read_once_and_none_outside_the_question(rounds: list[list[tuple[int, int]]]) -> None:
    p = np.random.default_rng(0).random(LENGTH).astype(np.float32)
    store = CountingStore(p.tolist())
    reader = await spans_read(store, *rounds)
    wanted = {s for spans in rounds for a, b in spans for s in range(max(a, 10), min(b, 300, LENGTH))}
    assert sorted(store.read_times) == [to_micros(at(s)) for s in sorted(wanted)]
    known = reader.of("yard")
    assert [from_micros(t) for t in known.time.tolist()] == [at(s) for s in sorted(wanted)]
    assert known.p.tolist() == [float(p[s]) for s in sorted(wanted)]


HITS = st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), before=st.lists(HITS, max_size=3), hits=HITS)
async def test_moments_do_not_depend_on_the_hits_that_were_asked_for_before(
    catalog: Catalog, seed: int, before: list[list[int]], hits: list[int]
) -> None:
    await catalog.add_media(MEDIA, "")
    random = np.random.default_rng(seed)
    scenes = random.choice([0.0, 0.1, 0.4, 0.6, 0.9], LENGTH // 8)
    store = CountingStore((np.repeat(scenes, 8) * random.uniform(0.7, 1, LENGTH)).tolist())
    fresh = await moments(store, catalog, hits)  # type: ignore[arg-type]
    assert await moments(store, catalog, *before, hits) == fresh  # type: ignore[arg-type]
