"""Tests which records a background is sampled from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.store.base import Record
from footage.indexer.store.lance import LanceStore
from footage.query.scoring.background import BackgroundCache
from footage.query.scoring.noun_bank import NounBank
from tests.indexer.color_embedder import ColorEmbedder


@pytest.mark.parametrize(("floor", "pictures", "learnt"), [(0.2, False, False), (0.2, True, True), (None, False, True)])
async def test_a_background_is_sampled_only_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, floor: float | None, pictures: bool, learnt: bool
) -> None:
    """In a space with a floor words are scored without a background, on the first page and on later ones."""
    store = await LanceStore.open(tmp_path, ColorEmbedder.space)
    bank = NounBank(np.eye(3, dtype=np.float32), floor)
    sampled = []

    async def sample(n, where):
        sampled.append(where)
        return np.eye(3, dtype=np.float32)

    monkeypatch.setattr(store, "sample", sample)
    backgrounds = BackgroundCache(store, bank)
    first = await backgrounds.current((), pictures)
    assert await backgrounds.restore((), pictures, first.before) is first
    assert bool(sampled) is learnt
    await store.close()


async def test_a_record_that_arrives_late_does_not_change_the_background_of_an_answer(tmp_path: Path) -> None:
    """Records of the last half minute may still be on their way when a first page is answered.

    A later page samples its background once more, in another process perhaps, and must score as the first page did.
    """
    bank = NounBank(np.eye(3, dtype=np.float32))
    red, green, _ = np.eye(3, dtype=np.float32)
    now = datetime.now(UTC)
    old = [Record("yard", now - timedelta(minutes=10, seconds=i), "a", 0.0, red) for i in range(300)]
    store = await LanceStore.open(tmp_path, ColorEmbedder.space)
    await store.write(old)
    first = await BackgroundCache(store, bank).current((), False)
    await store.write([Record("gate", now - timedelta(seconds=i / 10), "b", 0.0, green) for i in range(300)])
    later = await BackgroundCache(store, bank).restore((), False, first.before)
    assert later.before == first.before
    evidence = np.linspace(-1, 1, 50)
    np.testing.assert_array_equal(later.null.probability(evidence), first.null.probability(evidence))
    await store.close()
