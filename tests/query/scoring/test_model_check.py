"""Tests that a model is judged by what it finds: lite, a model that is right, and models made wrong on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.lite import LiteEmbedder
from footage.indexer.embed.runtime import Plan
from footage.query.scoring.calibration import NullDistribution
from footage.query.scoring.check_set import CONTENT, FOLDER, load_check_set
from footage.query.scoring.model_check import Cutoff, ModelCheck, check_model
from footage.query.scoring.noun_bank import NounBank
from tests.query.scoring import fitted_model


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds lite's nouns between the tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def lite() -> Iterator[LiteEmbedder]:
    """Yield one embedder for all tests: its networks take a second to load."""
    embedder = LiteEmbedder()
    yield embedder
    asyncio.run(embedder.close())


async def check(folder: Path, cache: Path) -> ModelCheck:
    clip = await ClipEmbedder.open(folder, cache=cache, plan=Plan())
    try:
        return (await check_model(clip))[0]
    finally:
        await clip.close()


def test_the_set_is_small_and_has_pictures_and_two_clips() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(CONTENT)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000
    assert sum(path.suffix == ".mp4" for path in FOLDER.iterdir()) == 2
    check_set = load_check_set()
    assert len(check_set.frames) == len(check_set.names) == 18
    assert all((present == 1).any() and (present == 0).any() for present in check_set.present.values())
    assert not set(check_set.absent) & set(check_set.present)


@pytest.mark.slow
async def test_lite_can_be_trusted(lite: LiteEmbedder, cache: Path) -> None:
    found, cutoff = await check_model(lite, await NounBank.build(lite, cache))
    assert found.mean_average_precision > 0.8
    assert found.false == 0
    assert found.colors is None
    assert found.sentence() == "answers of lite/2 can be trusted here"
    assert cutoff
    assert cutoff.floor == pytest.approx(0.174, abs=0.06)
    assert ModelCheck.from_document(found.to_document()) == found


async def test_a_model_that_is_right_can_be_trusted(tmp_path: Path) -> None:
    found = await check(fitted_model.write(tmp_path / "right"), tmp_path)
    assert found.trusted, found.sentence()
    assert found.mean_average_precision > 0.9
    assert found.colors == 4


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"bgr": True}, "finds more with red and blue swapped"),
        ({"normalized": False}, "finds more with OpenAI's normalization"),
        ({"shuffled": True}, "hardly better than chance"),
    ],
    ids=["bgr", "not normalized", "other tokens"],
)
async def test_a_model_made_wrong_is_noticed(wrong: dict[str, bool], reason: str, tmp_path: Path) -> None:
    found = await check(fitted_model.write(tmp_path / "wrong", **wrong), tmp_path)
    assert not found.trusted
    assert reason in found.sentence()


async def test_a_model_that_gives_no_numbers_is_not_even_opened(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="not numbers"):
        await check(fitted_model.write(tmp_path / "wrong", nan=True), tmp_path)


async def test_a_model_that_fails_is_judged_by_its_error(
    lite: LiteEmbedder, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(batch: object) -> None:
        raise EmbedderError("the server has no weights")

    bank = await NounBank.build(lite, cache)
    monkeypatch.setattr(lite, "images", fail)
    found, cutoff = await check_model(lite, bank)
    assert (found.trusted, cutoff) == (False, None)
    assert found.sentence() == "answers of lite/2 cannot be trusted here: the server has no weights"


async def test_a_cutoff_changes_what_is_a_match(lite: LiteEmbedder, cache: Path) -> None:
    bank = await NounBank.build(lite, cache)
    empty = np.empty((0, lite.space.dim), np.float32)
    evidence = np.array([0.2])
    assert NullDistribution(bank, empty).probability(evidence) > 0.5
    assert NullDistribution(Cutoff("lite/2", floor=0.3).apply(bank), empty).probability(evidence) < 0.5
    background = (await lite.images(load_check_set().frames)).astype(np.float32)
    without_floor = NounBank(bank.vectors)
    banks = [Cutoff("x", false_match_share=share).apply(without_floor) for share in (0.01, 0.5)]
    strict, loose = (NullDistribution(bank, background).probability(evidence) for bank in banks)
    assert strict < loose
