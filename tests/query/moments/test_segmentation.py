from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footage.indexer.store.base import Record, Where
from footage.query.moments.segmentation import MATCH_CUTOFF, Segmenter
from footage.query.scoring.hysteresis import find_segments
from footage.stream.frame import Clock, Kind, Media, Region
from footage.stream.spans import merge

START = datetime(2026, 5, 4, tzinfo=UTC)


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


class FirstComponentScorer:
    """Probability of a match: the square of a vector's first component."""

    def score_parts(self, vectors):
        return np.asarray(vectors[:, 0], dtype=np.float64) ** 2, np.ones(len(vectors))


def vector(p: float):
    return np.array([np.sqrt(p), np.sqrt(1 - p), 0], dtype=np.float32)


async def film(store, catalog, name, scores, *, camera="yard", start=0.0, step=1.0, kind=Kind.VIDEO):
    """A media whose record number i has probability scores[i], one every ``step`` seconds."""
    length = 0.0 if kind is Kind.PHOTO else len(scores) * step
    media = Media(name, camera, f"/{name}.mp4", kind, at(start), Clock.GIVEN, length)
    media = (await catalog.add_media(media, "")).media
    records = [Record(camera, media.at(i * step), media.id, i * step, vector(p)) for i, p in enumerate(scores)]
    await store.write(records)
    return media


async def grow(store, catalog, *seconds, camera="yard", where=Where(), cutoff=MATCH_CUTOFF):
    segmenter = Segmenter(store, catalog, FirstComponentScorer(), where, cutoff)
    return await segmenter.find_moments({camera: [at(s) for s in seconds]})


def spans(moments):
    return [(round((m.start - START).total_seconds(), 3), round((m.end - START).total_seconds(), 3)) for m in moments]


async def test_a_moment_reaches_from_its_first_record_to_the_next_that_does_not_match(store, catalog):
    await film(store, catalog, "a", [0.1] * 10 + [0.9] * 5 + [0.1] * 10)
    (moment,) = await grow(store, catalog, 12)
    assert spans([moment]) == [(10, 15)]
    assert moment.score == pytest.approx(0.9, abs=1e-6)
    assert (moment.camera, moment.media, moment.best, moment.region) == ("yard", "a", at(10), None)
    assert moment.clock is Clock.GIVEN


async def test_boundaries_do_not_depend_on_which_hits_were_found(store, catalog):
    await film(store, catalog, "a", [0.1] * 10 + [0.6, 0.9, 0.7, 0.8] + [0.1] * 10)
    assert spans(await grow(store, catalog, 10)) == spans(await grow(store, catalog, 11, 13)) == [(10, 14)]


async def test_a_long_moment_is_followed_far_beyond_the_first_window(store, catalog):
    await film(store, catalog, "a", [0.1] * 5 + [0.9] * 600 + [0.1] * 5)
    assert spans(await grow(store, catalog, 300)) == [(5, 605)]


async def test_a_dip_at_the_end_of_what_was_read_does_not_end_a_moment(store, catalog):
    await film(store, catalog, "a", [0.1] * 5 + [0.9] * 5 + [0.1] + [0.9] * 58 + [0.1] + [0.9] * 5 + [0.1] * 5)
    for seconds in ([40], [5, 40, 74]):  # around the one, records from 10 to 69 are read at first
        assert spans(await grow(store, catalog, *seconds)) == [(5, 75)]


async def test_a_sparse_record_counts_until_the_next(store, catalog):
    await film(store, catalog, "a", [0.1, 0.9, 0.1], step=300)
    assert spans(await grow(store, catalog, 300)) == [(300, 600)]


async def test_the_last_moment_ends_with_its_video(store, catalog):
    await film(store, catalog, "a", [0.1, 0.9, 0.9])
    assert spans(await grow(store, catalog, 2)) == [(1, 3)]


async def test_consecutive_videos_are_continuous(store, catalog):
    await film(store, catalog, "a", [0.1, 0.9, 0.9])
    await film(store, catalog, "b", [0.9, 0.1, 0.1], start=3)
    assert spans(await grow(store, catalog, 1)) == [(1, 4)]


async def test_a_gap_in_the_footage_splits_moments(store, catalog):
    await film(store, catalog, "a", [0.1, 0.9, 0.9])
    await film(store, catalog, "b", [0.9, 0.1, 0.1], start=10)
    assert spans(await grow(store, catalog, 1, 10)) == [(1, 3), (10, 11)]


async def test_overlapping_videos_do_not_mix(store, catalog):
    await film(store, catalog, "a", [0.1, 0.9, 0.9, 0.9, 0.9, 0.1])
    await film(store, catalog, "b", [0.1] * 6, start=0)
    found = await grow(store, catalog, 2)
    assert spans(found) == [(1, 5)]


async def test_photographs_are_moments_without_length(store, catalog):
    await film(store, catalog, "a", [0.9], kind=Kind.PHOTO)
    await film(store, catalog, "b", [0.8], kind=Kind.PHOTO, start=0.5)
    assert spans(await grow(store, catalog, 0, 0.5)) == [(0, 0), (0.5, 0.5)]


async def test_a_frame_scores_as_its_best_region(store, catalog):
    media = await film(store, catalog, "a", [0.1, 0.1, 0.1])
    corner = Region.of(Region(0.0, 0.0, 0.5, 0.5).code)
    await store.write([Record("yard", media.at(1), media.id, 1.0, vector(0.9), corner)])
    (moment,) = await grow(store, catalog, 1)
    assert (spans([moment]), moment.region) == ([(1, 2)], corner)


async def test_no_moment_leaves_the_requested_time(store, catalog):
    await film(store, catalog, "a", [0.9] * 20)
    where = Where(("yard",), ((at(5), at(8)),))
    assert spans(await grow(store, catalog, 6, where=where)) == [(5, 8)]


async def test_below_the_cutoff_there_is_no_moment(store, catalog):
    await film(store, catalog, "a", [0.1, 0.45, 0.1])
    assert await grow(store, catalog, 1) == []


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.05, 1))
def test_segments_contain_every_match_once_and_do_not_touch(p, cutoff):
    scores = np.array(p)
    found = find_segments(scores, cutoff)
    inside = [i for a, b in found for i in range(a, b)]
    assert len(inside) == len(set(inside))
    assert {i for i, v in enumerate(p) if v >= cutoff} <= set(inside)
    for a, b in found:
        peak = scores[a:b].max()
        assert peak >= cutoff
        low = scores[a:b] < 0.3 * peak
        assert not low[0]
        assert not low[-1]
        runs = "".join("x" if v else " " for v in low).split()
        assert all(len(run) <= 1 for run in runs)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), max_size=12))
def test_merged_spans_cover_the_same_time_and_do_not_touch(spans):
    given_ = [(at(a), at(a + n)) for a, n in spans]
    joined = merge(given_)
    covered = {s for a, n in spans for s in range(a, a + n)}
    assert {s for s in range(70) if any(a <= at(s) < b for a, b in joined)} == covered
    assert all(x[1] < y[0] for x, y in pairwise(joined))
