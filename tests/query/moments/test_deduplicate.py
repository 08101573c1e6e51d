"""Tests grouping of duplicates in a space of eight dimensions: one vector per scene, noise on every frame."""

from dataclasses import replace

import numpy as np
import pytest

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Record
from footage.indexer.store.lance import LanceStore
from footage.query.moments.deduplicate import Deduplicator
from footage.query.values.moment import Moment
from footage.stream.frame import Clock, Region
from tests.query.moments.test_segmentation import at

DIM = 8
NOISE = 1e-4
LOOKS = {"empty": 0, "guard": 1, "car": 2, "fox": 3}
CORNER = Region.of(Region(0.0, 0.0, 0.5, 0.5).code)


@pytest.fixture
async def space(tmp_path):
    store = await LanceStore.open(tmp_path / "vectors", Space("test/scene", DIM))
    yield store
    await store.close()


def unit(row):
    return (row / np.linalg.norm(row)).astype(np.float32)


async def film(store, scene, tremble, camera="yard", scale=1.0, seed=0):
    """A record a second. ``scale``: how far apart scenes are; small in a model whose cosines are all high."""
    rng = np.random.default_rng(seed)
    records = []
    for i, look in enumerate(scene):
        row = np.full(DIM, 1.0)
        row[LOOKS[look]] += 2 * scale
        row += rng.normal(0, tremble * scale, DIM)
        records.append(Record(camera, at(i), "m", float(i), unit(row)))
    await store.write(records)


def moment(second, score=0.9, camera="yard"):
    return Moment(camera, at(second), at(second + 1), score, at(second), None, "m", Clock.GIVEN)


def parts(folds):
    seconds = [[(m.best - at(0)).total_seconds() for m in (f.moment, *f.others)] for f in folds]
    assert [f.count for f in folds] == [len(s) for s in seconds]
    return seconds


@pytest.mark.parametrize("scale", [1.0, 0.1])
async def test_similar_moments_are_grouped_at_any_scale_of_the_model(space, scale):
    await film(space, (["empty"] * 20 + ["guard"] + ["empty"] * 20 + ["car"]) * 3, 0.05, scale=scale)
    seen = [moment(20, 0.8), moment(62, 0.9), moment(104, 0.7), moment(41, 0.95), moment(83, 0.6)]
    folds = parts(await Deduplicator(space, 2e-2 * scale**2).deduplicate(seen))
    assert folds == [[62, 20, 104], [41, 83]]


async def test_different_moments_stay_apart_and_in_order(space):
    await film(space, ["guard"] * 10 + ["car"] * 10 + ["fox"] * 10, 0.05)
    assert parts(await Deduplicator(space, NOISE).deduplicate([moment(25), moment(5), moment(15)])) == [[25], [5], [15]]


async def test_moments_of_a_static_scene_are_one_group(space):
    await film(space, ["car"] * 200, 0.01)
    seen = [moment(s, 0.5 + s / 1000) for s in range(5, 200, 10)]
    (fold,) = await Deduplicator(space, 2e-4).deduplicate(seen)
    assert fold.moment == seen[-1]
    assert set(fold.others) == set(seen[:-1])


async def test_busy_footage_has_a_larger_threshold(space):
    rng = np.random.default_rng(5)
    await film(space, [["guard", "car", "fox"][i] for i in rng.integers(0, 3, 60)], 0.3)
    folds = await Deduplicator(space, NOISE).deduplicate([moment(s) for s in range(0, 60, 6)])
    assert len(folds) < 10


async def test_cameras_are_not_mixed(space):
    await film(space, ["car"] * 20, 0.01)
    await film(space, ["car"] * 20, 0.01, camera="gate")
    assert len(await Deduplicator(space, 1e-2).deduplicate([moment(5), moment(9, camera="gate")])) == 2


async def test_regions_are_compared_by_their_own_vectors(space):
    await film(space, ["empty"] * 60, 0.01)
    fox, car = np.full(DIM, 1.0), np.full(DIM, 1.0)
    fox[3], car[2] = 3.0, 3.0
    for second, row in ((10, fox), (30, fox), (50, car)):
        await space.write([Record("yard", at(second), "m", float(second), unit(row), CORNER)])
    seen = [replace(moment(s), region=CORNER) for s in (10, 30, 50)]
    assert parts(await Deduplicator(space, NOISE).deduplicate(seen)) == [[10, 30], [50]]


async def test_a_moment_whose_frame_is_not_stored_stays_alone(space):
    await film(space, ["car"] * 20, 0.01)
    assert parts(await Deduplicator(space, 1e-2).deduplicate([moment(5), moment(7.5), moment(9)])) == [[5, 9], [7.5]]


async def test_no_moments_give_no_groups(space):
    assert await Deduplicator(space, NOISE).deduplicate([]) == []


class FixedEmbedder:
    """Returns the given vectors for any two images."""

    def __init__(self, *vectors):
        self.vectors = np.stack([unit(np.array(v, float)) for v in vectors])

    async def images(self, batch):
        assert len(batch) == 2
        assert (batch[0] != batch[1]).mean() > 0.5
        return self.vectors


async def test_differences_within_the_noise_distance_are_ignored(space):
    await film(space, ["car"] * 30, 0.01, seed=1)
    await space.write([Record("yard", at(40), "n", 0.0, unit(np.array([1.2, 1, 3, 1, 1, 1, 1, 1.0])))])
    seen = [moment(5), replace(moment(40), media="n")]
    steady, jumpy = FixedEmbedder([1, 0, 0], [1, 0, 0]), FixedEmbedder([1, 0, 0], [1, 0.5, 0])
    assert len(await (await Deduplicator.calibrate(space, steady)).deduplicate(seen)) == 2
    assert len(await (await Deduplicator.calibrate(space, jumpy)).deduplicate(seen)) == 1
