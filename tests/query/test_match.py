from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
from skimage import data

from indexer.embed.base import Vectors
from indexer.embed.lite import Lite
from query.match import Bank, Matcher, nouns
from stream.frame import Image

BLACK = np.zeros((300, 400, 3), np.uint8)


@pytest.fixture
async def lite() -> AsyncIterator[Lite]:
    embedder = Lite()
    yield embedder
    await embedder.close()


async def matcher(lite: Lite, bank: Bank, question: str, background: Vectors) -> Matcher:
    return Matcher((await lite.texts([question]))[0], bank, background)


def film() -> list[Image]:
    """Photographs with black between, and where each of them is."""
    return [*[data.chelsea()] * 3, BLACK, *[data.coffee()] * 3, BLACK, *[data.rocket()] * 3]


async def test_what_is_there_matches_where_it_is_and_what_is_not_does_not(lite: Lite) -> None:
    bank = await Bank.of(lite)
    frames = await lite.images(film())
    for question, places in {"a cat": (0, 1, 2), "a cup of coffee": (4, 5, 6), "a rocket": (8, 9, 10)}.items():
        found = (await matcher(lite, bank, question, frames)).probability(frames) >= 0.5
        assert tuple(np.flatnonzero(found)) == places, question
    for question in ("a giraffe", "a bus", "a piano", "a pizza"):
        assert (await matcher(lite, bank, question, frames)).probability(frames).max() < 0.5, question


async def test_more_of_the_same_footage_changes_nothing(lite: Lite) -> None:
    bank = await Bank.of(lite)
    frames = await lite.images(film())
    once, often = [await matcher(lite, bank, "a cat", np.tile(frames, (n, 1))) for n in (1, 20)]
    np.testing.assert_allclose(once.probability(frames), often.probability(frames), atol=1e-5)


async def test_one_frame_is_background_enough(lite: Lite) -> None:
    bank = await Bank.of(lite)
    frames = await lite.images([data.chelsea()])
    assert (await matcher(lite, bank, "a cat", frames)).probability(frames)[0] > 0.5
    assert (await matcher(lite, bank, "a train", frames)).probability(frames)[0] < 0.5


async def test_without_background_nothing_matches(lite: Lite) -> None:
    bank = await Bank.of(lite)
    none = np.empty((0, lite.space.dim), np.float32)
    asked = await matcher(lite, bank, "a cat", none)
    assert asked.probability(none).shape == (0,)
    assert (asked.probability(await lite.images([data.chelsea()])) < 0.5).all()


async def test_a_family_of_words_counts_for_its_common_name(lite: Lite) -> None:
    """The kin of "a person" are kinds of people; a zebra has none."""
    bank, names = await Bank.of(lite), nouns()
    person, zebra = bank.kin(await lite.texts(["a person", "a zebra"]))
    assert {names[i] for i in np.argsort(-person)[:8]} >= {"woman", "crowd", "pedestrian"}
    assert person.sum() > 2 * zebra.sum()


@pytest.mark.parametrize("dim", [64, 512])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_any_space_gets_its_own_cutoff(dim: int, offset: float) -> None:
    """Spaces with a common direction, as CLIP's, and without: the false share is the same, the match is found."""
    rng = np.random.default_rng(0)

    def unit(rows: Vectors) -> Vectors:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    common = rng.normal(size=dim) * offset
    things = rng.normal(size=(600, dim))
    bank = Bank(unit(things[:500] + common))
    shown = things[500:540]
    frames = unit(shown + common + 0.7 * rng.normal(size=shown.shape))
    present = [Matcher(q, bank, frames).probability(frames) for q in unit(shown + common)]
    absent = [Matcher(q, bank, frames).probability(frames).max() for q in unit(things[540:] + common)]
    assert np.mean([p.argmax() == i and p.max() >= 0.5 for i, p in enumerate(present)]) > 0.9
    assert np.mean(np.array(absent) >= 0.5) < 0.2


def test_the_nouns_are_clean() -> None:
    words = nouns()
    assert len(words) == len(set(words)) > 800
    assert all(word == word.strip() and word for word in words)
