from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from footage.indexer.embed.base import Vectors
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.store.base import Record
from footage.query.scoring import noun_bank
from footage.query.scoring.calibration import (
    MatchScorer,
    MultiQueryScorer,
    NullDistribution,
    QueryEmbedding,
    apply_exclusions,
)
from footage.query.scoring.noun_bank import NounBank, load_nouns

BLACK = np.zeros((300, 400, 3), np.uint8)


@pytest.fixture(scope="module")
def lite() -> Iterator[LiteEmbedder]:
    """Yield one embedder for all tests: its networks take a second to load."""
    embedder = LiteEmbedder()
    yield embedder
    asyncio.run(embedder.close())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nouns")


@pytest.fixture
async def bank(lite: LiteEmbedder, cache: Path) -> NounBank:
    """Return the bank of this model, which is embedded once."""
    return await NounBank.build(lite, cache)


async def matcher(lite: LiteEmbedder, bank: NounBank, question: str, background: Vectors) -> MatchScorer:
    return MatchScorer(QueryEmbedding((await lite.texts([question]))[0]), NullDistribution(bank, background), bank)


@pytest.fixture(scope="module")
def frames(lite: LiteEmbedder) -> Vectors:
    """Photographs with black between: a cat at 0 to 2, coffee at 4 to 6, a rocket at 8 to 10."""
    cat, coffee, rocket, black = asyncio.run(lite.images([data.chelsea(), data.coffee(), data.rocket(), BLACK]))
    return np.stack([*[cat] * 3, black, *[coffee] * 3, black, *[rocket] * 3])


async def test_present_things_match_where_they_are_and_absent_ones_do_not(
    lite: LiteEmbedder, bank: NounBank, frames: Vectors
) -> None:
    for question, places in {"a cat": (0, 1, 2), "a cup of coffee": (4, 5, 6), "a rocket": (8, 9, 10)}.items():
        found = (await matcher(lite, bank, question, frames)).probability(frames) >= 0.5
        assert tuple(np.flatnonzero(found)) == places, question
    for question in ("a giraffe", "a bus", "a piano", "a pizza"):
        assert (await matcher(lite, bank, question, frames)).probability(frames).max() < 0.5, question


async def test_more_of_the_same_footage_changes_nothing(lite: LiteEmbedder, bank: NounBank, frames: Vectors) -> None:
    once, often = [await matcher(lite, bank, "a cat", np.tile(frames, (n, 1))) for n in (1, 20)]
    np.testing.assert_allclose(once.probability(frames), often.probability(frames), atol=1e-5)


async def test_one_frame_is_background_enough(lite: LiteEmbedder, bank: NounBank) -> None:
    frames = await lite.images([data.chelsea()])
    assert (await matcher(lite, bank, "a cat", frames)).probability(frames)[0] > 0.5
    assert (await matcher(lite, bank, "a train", frames)).probability(frames)[0] < 0.5


async def test_without_a_background_only_a_floor_decides_a_match(lite: LiteEmbedder, bank: NounBank) -> None:
    cat, none = await lite.images([data.chelsea()]), np.empty((0, lite.space.dim), np.float32)
    asked = await matcher(lite, bank, "a cat", none)
    assert asked.probability(none).shape == (0,)
    assert asked.probability(cat)[0] > 0.5
    assert (await matcher(lite, NounBank(bank.vectors), "a cat", none)).probability(cat)[0] < 0.5


async def test_images_without_content_match_nothing(lite: LiteEmbedder, bank: NounBank) -> None:
    """A black, a gray, a white and a noisy picture, queried for all nouns."""
    noise = np.random.default_rng(0).integers(0, 256, BLACK.shape).astype(np.uint8)
    blank = await lite.images([BLACK, BLACK + 128, BLACK + 255, noise])
    null = NullDistribution(bank, blank)
    assert (
        MultiQueryScorer([(QueryEmbedding(noun), null) for noun in bank.vectors], bank).probability(blank) < 0.5
    ).all()


@pytest.mark.parametrize("dim", [64, 512])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_any_space_gets_its_own_cutoff(dim: int, offset: float) -> None:
    """Spaces with a common direction, as CLIP's, and without: the false share is the same, the match is found."""
    rng = np.random.default_rng(0)

    def unit(rows: Vectors) -> Vectors:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    common = rng.normal(size=dim) * offset
    things = rng.normal(size=(600, dim))
    bank = NounBank(unit(things[:500] + common))
    shown = things[500:540]
    frames = unit(shown + common + 0.7 * rng.normal(size=shown.shape))
    null = NullDistribution(bank, frames)
    present = MultiQueryScorer([(QueryEmbedding(q), null) for q in unit(shown + common)], bank).probability(frames).T
    absent = (
        MultiQueryScorer([(QueryEmbedding(q), null) for q in unit(things[540:] + common)], bank)
        .probability(frames)
        .max(axis=0)
    )
    assert np.mean([p.argmax() == i and p.max() >= 0.5 for i, p in enumerate(present)]) > 0.9
    assert np.mean(absent >= 0.5) < 0.2


def test_nouns_are_unique_and_trimmed() -> None:
    words = load_nouns()
    assert len(words) == len(set(words)) > 800
    assert all(word == word.strip() and word for word in words)


def test_queries_score_together_as_each_alone() -> None:
    rng = np.random.default_rng(1)

    def unit(n: int) -> Vectors:
        rows = rng.normal(size=(n, 32)).astype(np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    bank, frames = NounBank(unit(200)), unit(40)
    nulls = [NullDistribution(bank, unit(100)), NullDistribution(bank, unit(60))]
    aims = [
        (QueryEmbedding(q, tuple((0.5 + j, v) for j, v in enumerate(unit(i % 3)))), nulls[i % 2])
        for i, q in enumerate(unit(7))
    ]
    alone = [MatchScorer(aim, null, bank).probability(frames) for aim, null in aims]
    np.testing.assert_allclose(MultiQueryScorer(aims, bank).probability(frames), np.array(alone).T, atol=1e-5)
    there, free = MultiQueryScorer(aims, bank).score_parts(frames)
    assert (free[:, 0] == 1).all()
    assert (free[:, 1:3] < 1).all()
    np.testing.assert_array_equal(there * free, MultiQueryScorer(aims, bank).probability(frames))


async def test_unwanted_terms_are_scored_separately_not_subtracted(
    lite: LiteEmbedder, bank: NounBank, frames: Vectors
) -> None:
    cat, rocket, coffee = await lite.texts(["a cat", "a rocket", "a cup of coffee"])
    null = NullDistribution(bank, frames)
    plain = MatchScorer(QueryEmbedding(cat), null, bank).probability(frames)
    other = MatchScorer(QueryEmbedding(cat, ((1.0, rocket), (1.0, coffee))), null, bank).probability(frames)
    assert (plain[:3] > 0.5).all()
    assert (other[:3] > 0.5).all()
    assert (MatchScorer(QueryEmbedding(cat, ((1.0, cat),)), null, bank).probability(frames) < 0.5).all()


def test_an_exclusion_applies_to_all_records_of_its_time() -> None:
    at = [datetime(2026, 5, 4, 12, 0, s, tzinfo=UTC) for s in (0, 0, 1)]
    records = [Record("yard", time, "m", 0.0, np.zeros(1, np.float32)) for time in at]
    found = apply_exclusions(records, np.array([0.2, 0.9, 0.9]), np.array([0.1, 1.0, 1.0]))
    np.testing.assert_allclose(found, [0.02, 0.09, 0.9])


def test_with_a_floor_a_row_scores_the_same_in_every_batch() -> None:
    """Pages are cut by exact scores, and read the same rows in other batches."""
    random = np.random.default_rng(0)
    vectors = random.standard_normal((300, 512)).astype(np.float32)
    queries = random.standard_normal((3, 512)).astype(np.float32)
    bank = NounBank(queries, floor=0.1)
    whole = bank.evidence(queries, vectors)
    for first, last in ((0, 1), (1, 8), (7, 300), (150, 183)):
        np.testing.assert_array_equal(bank.evidence(queries, vectors[first:last].copy()), whole[first:last])
        np.testing.assert_array_equal(bank.evidence(queries[:1], vectors[first:last].copy()), whole[first:last, :1])


async def test_an_image_matches_itself_and_no_other(lite: LiteEmbedder, bank: NounBank, frames: Vectors) -> None:
    altered = [np.ascontiguousarray(image[20:-20, 30:-30][:, ::-1]) for image in (data.chelsea(), data.rocket())]
    null = NullDistribution(bank, frames)
    for picture, places in zip(
        await lite.images([*altered, data.astronaut()]), ({0, 1, 2}, {8, 9, 10}, set()), strict=True
    ):
        p = MatchScorer(QueryEmbedding(null.align_image(picture)), null, bank).probability(frames)
        assert set(np.flatnonzero(p >= 0.5)) == places


async def test_cached_nouns_are_used_for_their_model_only(
    lite: LiteEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nouns = load_nouns()[:50]
    monkeypatch.setattr(noun_bank, "load_nouns", lambda: nouns)
    made = await NounBank.build(lite, tmp_path)
    (kept,) = tmp_path.iterdir()
    again = await NounBank.build(lite, tmp_path)
    np.testing.assert_array_equal(made.vectors, again.vectors)
    assert again.vectors.shape == (len(nouns), lite.space.dim)
    np.save(kept, made.vectors[::-1])
    np.testing.assert_array_equal((await NounBank.build(lite, tmp_path)).vectors, made.vectors)
    kept.write_bytes(b"not an array")
    np.testing.assert_array_equal((await NounBank.build(lite, tmp_path)).vectors, made.vectors)


async def test_progress_of_nouns_is_told_unless_they_are_cached(lite: LiteEmbedder, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    total = len(load_nouns())
    await NounBank.build(lite, tmp_path, lambda done, total: told.append((done, total)))
    assert len(told) >= 4
    assert told == sorted(told)
    assert told[-1] == (total, total)
    told.clear()
    await NounBank.build(lite, tmp_path, lambda done, total: told.append((done, total)))
    assert told == []
