from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.embed import standin, tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in Roboflow's layout, as large outside as ViT-B-16."""
    return tiny.roboflow(tmp_path_factory.mktemp("weights") / "ViT-B-16", standin.SHAPE)


@pytest.fixture(scope="session")
def inference_model(weights: Path) -> standin.Model:
    """The same weights as Roboflow Inference would run them."""
    return standin.Model(weights)
