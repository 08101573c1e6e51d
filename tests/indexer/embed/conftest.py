from __future__ import annotations

from pathlib import Path

import pytest

from tests.indexer.embed import fake_inference, tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in Roboflow's layout, with the input and output sizes of ViT-B-16."""
    return tiny.roboflow(tmp_path_factory.mktemp("weights") / "ViT-B-16", fake_inference.SHAPE)


@pytest.fixture(scope="session")
def inference_model(weights: Path) -> fake_inference.Model:
    """The same weights as Roboflow Inference would run them."""
    return fake_inference.Model(weights)
