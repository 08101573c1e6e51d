from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from footage.indexer.store.lance import LanceStore
from footage.query.scoring.background import Backgrounds
from footage.query.scoring.noun_bank import Bank
from tests.indexer.parts import ColourEmbedder


@pytest.mark.parametrize(("floor", "pictures", "learnt"), [(0.2, False, False), (0.2, True, True), (None, False, True)])
async def test_footage_is_sampled_only_where_it_says_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, floor: float | None, pictures: bool, learnt: bool
) -> None:
    """Words in a space with a floor are judged without a background, on the first page and on those that follow."""
    store = await LanceStore.open(tmp_path, ColourEmbedder.space)
    bank = Bank(np.eye(3, dtype=np.float32), floor)
    sampled = []

    async def sample(n, where):
        sampled.append(where)
        return np.eye(3, dtype=np.float32)

    monkeypatch.setattr(store, "sample", sample)
    backgrounds = Backgrounds(store, bank)
    first = await backgrounds.now((), pictures)
    assert await backgrounds.again((), pictures, first.before) is first
    assert bool(sampled) is learnt
    await store.close()
