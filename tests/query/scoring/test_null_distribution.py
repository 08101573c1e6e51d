"""Tests probabilities from cosines, on vectors small enough to compute by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from footage.indexer.store.base import Record
from footage.query.scoring.calibration import (
    MatchScorer,
    MultiQueryScorer,
    NullDistribution,
    QueryEmbedding,
    apply_exclusions,
)
from footage.query.scoring.noun_bank import NounBank

NONE = np.empty((0, 3), np.float32)
X, Y, Z = np.eye(3, dtype=np.float32)


def logistic(steps):
    return 1 / (1 + np.exp(-steps))


@pytest.fixture
def floor():
    """A space in which a cosine of 0.4 is a match."""
    return NounBank(np.stack([X, Y]), 0.4)


@pytest.mark.parametrize(("cosine", "p"), [(0.4, 0.5), (0.0, logistic(-4)), (0.8, logistic(4)), (0.5, logistic(1))])
def test_a_floor_is_the_cutoff_and_four_widths_above_zero(floor, cosine, p):
    assert NullDistribution(floor, NONE).probability(np.array([cosine])) == pytest.approx(p)
    assert NullDistribution(floor, NONE).exclusion_probability(np.array([cosine])) == pytest.approx(p)


def test_probabilities_are_finite_however_far_a_score_is(floor):
    null = NullDistribution(floor, NONE)
    low, high = null.probability(np.array([-1e6, 1e6]))
    assert 0 < low < 1e-20
    assert high == pytest.approx(1)
    assert low == pytest.approx(np.exp(-50), rel=1e-6)


def test_without_footage_and_without_a_floor_nothing_matches():
    null = NullDistribution(NounBank(np.stack([X, Y])), NONE)
    assert null.probability(np.array([0.0, 1.0, 100.0])).max() < 0.5
    np.testing.assert_allclose(null.align_image(Z * 3), Z)


def nouns(scores):
    """A bank and a footage of one frame, in which the nouns' cosines with the frame are ``scores``."""
    scores = np.asarray(scores, np.float32)
    return NounBank(np.stack([scores, np.sqrt(1 - scores**2), np.zeros_like(scores)], 1)), X[None]


def test_one_noun_in_twenty_reaches_the_cutoff():
    scores = np.linspace(0, 0.5, 101)
    bank, frame = nouns(scores)
    nearest = np.sort(scores)[-10:].mean()  # subtracted from every cosine with this frame
    cutoff, median = np.quantile(scores, 0.95) - nearest, 0.25 - nearest
    null = NullDistribution(bank, frame)
    assert null.probability(np.array([cutoff])) == pytest.approx(0.5, abs=1e-3)
    assert null.probability(np.array([median])) == pytest.approx(logistic(-4), rel=0.01)
    assert null.exclusion_probability(np.array([(cutoff + median) / 2])) == pytest.approx(0.5, abs=1e-3)
    assert null.exclusion_probability(np.array([median])) == pytest.approx(logistic(-2), rel=0.01)


def test_nouns_that_all_score_the_same_still_give_a_cutoff():
    bank, frame = nouns([0.3] * 20)
    p = NullDistribution(bank, frame).probability(np.array([-0.01, 0.01]))
    assert p[0] < 0.01 < 0.99 < p[1]


def test_an_image_moves_by_the_difference_of_the_means():
    bank, background = NounBank(np.stack([X, Y])), np.stack([Y, Z])
    moved = Z + np.array([0.5, 0.5, 0]) - np.array([0, 0.5, 0.5])
    aligned = NullDistribution(bank, background).align_image(Z)
    np.testing.assert_allclose(aligned, moved / np.linalg.norm(moved), rtol=1e-6)
    assert aligned.dtype == np.float32


def test_in_a_space_with_a_floor_an_image_needs_seven_tenths_more(floor):
    aligned = NullDistribution(floor, NONE).align_image(2 * Z)
    np.testing.assert_allclose(aligned, Z / 1.7, rtol=1e-6)
    query = QueryEmbedding(aligned)
    np.testing.assert_allclose(query.direction, Z, rtol=1e-6)
    p = MatchScorer(query, NullDistribution(floor, NONE), floor).probability(
        np.array([[0, 0, 0.4], [0, 0, 0.68]], np.float32)
    )
    assert p[0] < 0.5
    assert p[1] == pytest.approx(0.5)


def test_a_zero_vector_stays_finite(floor):
    assert np.isfinite(NullDistribution(floor, NONE).align_image(0 * X)).all()
    assert np.isfinite(QueryEmbedding(0 * X).direction).all()


def test_unwanted_terms_lower_the_score_by_weight_per_query(floor):
    null = NullDistribution(floor, NONE)
    frames = np.array([[0.4, 0.4, 0], [0.4, 0, 0], [0, 0.4, 0.8]], np.float32)
    there, low, high = 0.5, logistic(-4), logistic(4)
    queries = [
        (QueryEmbedding(X), null),
        (QueryEmbedding(X, ((2.0, Y),)), null),
        (QueryEmbedding(X, ((1.0, Y), (0.5, Z))), null),
    ]
    scorer = MultiQueryScorer(queries, floor)
    wanted, clear = scorer.score_parts(frames)
    np.testing.assert_allclose(wanted, np.repeat([[there], [there], [low]], 3, axis=1), rtol=1e-5)
    np.testing.assert_allclose(clear[:, 0], 1)
    np.testing.assert_allclose(clear[:, 1], [(1 - there) ** 2, (1 - low) ** 2, (1 - there) ** 2], rtol=1e-5)
    expected = [(1 - there) * (1 - low) ** 0.5, (1 - low) ** 1.5, (1 - there) * (1 - high) ** 0.5]
    np.testing.assert_allclose(clear[:, 2], expected, rtol=1e-4)
    np.testing.assert_allclose(scorer.probability(frames), wanted * clear)
    one = MatchScorer(queries[1][0], null, floor)
    np.testing.assert_allclose(one.probability(frames), (wanted * clear)[:, 1])
    np.testing.assert_allclose(np.stack(one.score_parts(frames)), [wanted[:, 1], clear[:, 1]])


def test_each_query_is_scored_against_its_own_cameras():
    bank, frame = nouns(np.linspace(0, 0.5, 101))
    quiet, busy = NullDistribution(bank, frame), NullDistribution(bank, np.stack([X, Y, -X, Z]))
    queries = [(QueryEmbedding(X), quiet), (QueryEmbedding(X, ((1.0, Y),)), busy), (QueryEmbedding(Y), quiet)]
    frames = np.array([[0.6, 0.2, 0], [0.1, 0.7, 0.1]], np.float32)
    together = MultiQueryScorer(queries, bank).probability(frames)
    alone = [MatchScorer(query, null, bank).probability(frames) for query, null in queries]
    np.testing.assert_allclose(together, np.array(alone).T, rtol=1e-5)
    assert not np.allclose(together[:, 0], together[:, 1])


def test_an_unwanted_thing_is_found_sooner_than_a_wanted_one():
    """Against nouns: halfway from the median noun to the cutoff an unwanted thing is as likely there as not."""
    scores = np.linspace(0, 0.5, 101)
    bank, frame = nouns(scores)
    null = NullDistribution(bank, frame)
    nearest = np.sort(scores)[-10:].mean()
    cutoff, median = np.quantile(scores, 0.95) - nearest, 0.25 - nearest
    halfway = np.array([(cutoff + median) / 2])
    assert null.probability(halfway) < 0.2
    direction = np.float32([(cutoff + median) / 2 + nearest, 0, 0])  # on this frame its evidence is halfway
    queries = [(QueryEmbedding(X, ((1.0, direction),)), null), (QueryEmbedding(direction), null)]
    wanted, clear = MultiQueryScorer(queries, bank).score_parts(frame)
    assert clear[0, 0] == pytest.approx(0.5, abs=0.01)
    assert clear[0, 1] == 1
    assert wanted[0, 0] > 0.99
    assert wanted[0, 1] == pytest.approx(null.probability(halfway)[0], rel=1e-3)


def test_an_exclusion_counts_for_all_records_of_its_time():
    at = [datetime(2026, 5, 4, 12, 0, s, tzinfo=UTC) for s in (0, 0, 1)]
    records = [Record("yard", time, "m", 0.0, np.zeros(1, np.float32)) for time in at]
    records.append(Record("door", at[0], "m", 0.0, np.zeros(1, np.float32)))
    found = apply_exclusions(records, np.array([0.2, 0.9, 0.9, 0.8]), np.array([0.1, 1.0, 1.0, 0.5]))
    np.testing.assert_allclose(found, [0.02, 0.09, 0.9, 0.4])
    several = apply_exclusions(records, np.full((4, 2), 0.5), np.array([[0.1, 1], [1, 0.2], [1, 1], [0.4, 1]]))
    np.testing.assert_allclose(several, [[0.05, 0.1], [0.05, 0.1], [0.5, 0.5], [0.2, 0.5]])


def test_no_queries_or_no_frames_give_an_empty_result(floor):
    assert MultiQueryScorer([], floor).probability(np.stack([X, Y])).shape == (2, 0)
    scorer = MultiQueryScorer([(QueryEmbedding(X), NullDistribution(floor, NONE))], floor)
    assert scorer.probability(NONE).shape == (0, 1)
