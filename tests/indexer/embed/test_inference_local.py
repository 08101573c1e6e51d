from __future__ import annotations

import importlib.util
import logging
import os
import sys
import types
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.inference_local import InferenceLocalEmbedder
from footage.indexer.embed.runtime import Plan
from footage.stream.frame import Image
from tests.indexer.embed.conformance import TEXTS, EmbedderConformance, photographs
from tests.indexer.embed.fake_inference import KEY, Model
from tests.require import require

INSTALLED = importlib.util.find_spec("inference") is not None and "ROBOFLOW_API_KEY" in os.environ


class TestInferenceLocal(EmbedderConformance):
    @pytest.fixture
    async def embedder(self) -> AsyncIterator[InferenceLocalEmbedder]:
        if not INSTALLED:
            require("inference", "pip install 'footage[inference]', and set ROBOFLOW_API_KEY")
        local = InferenceLocalEmbedder()
        yield local
        await local.close()


class Adapter:
    """What ``get_model`` gives in 1.8.3: ``InferenceModelsClipAdapter``."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def run_tensor_native_inference(self, action: str, **options: Any) -> np.ndarray[Any, Any]:
        if action == "embed-text":
            return self._model.texts(options["texts"])
        assert options["input_color_format"] == "rgb"
        return self._model.images(options["images"])


class OlderModel:
    """What it gives without ``inference_models``: ``inference.models.clip.clip_model.Clip``."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def embed_image(self, images: list[Image]) -> np.ndarray[Any, Any]:
        assert len(images) <= 8
        return self._model.images([image[:, :, ::-1] for image in images])

    def embed_text(self, texts: list[str]) -> np.ndarray[Any, Any]:
        return self._model.texts(texts)


def giving(model: Any) -> Any:
    """Return a ``get_model`` that returns this model."""

    def get_model(model_id: str, api_key: str | None) -> Any:
        return model

    return get_model


def install(monkeypatch: pytest.MonkeyPatch, get_model: Any) -> None:
    """Install a fake package ``inference``."""
    module = types.ModuleType("inference")
    module.get_model = get_model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inference", module)


@pytest.mark.parametrize("kind", [Adapter, OlderModel])
async def test_the_space_equals_that_of_the_weights_run_directly(
    kind: type, inference_model: Model, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, giving(kind(inference_model)))
    local, direct = InferenceLocalEmbedder(key=KEY), await ClipEmbedder.open(weights, cache=tmp_path, plan=Plan())
    images = photographs() * 3
    assert local.space == direct.space
    assert ((await direct.images(images) * await local.images(images)).sum(axis=1) > 0.995).all()
    assert ((await direct.texts(TEXTS) * await local.texts(TEXTS)).sum(axis=1) > 0.995).all()
    assert (await local.images([])).shape == (0, 512)
    await local.close()
    await direct.close()


async def test_long_texts_are_truncated_with_a_warning(
    inference_model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, giving(Adapter(inference_model)))
    local = InferenceLocalEmbedder(key=KEY)
    with caplog.at_level(logging.WARNING):
        vectors = await local.texts(["a cat", "cat " * 300, "x" * 500])
    assert "of this text count" in caplog.text
    np.testing.assert_allclose(vectors[0], (await local.texts(["a cat"]))[0], atol=1e-5)
    await local.close()


async def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inference", None)
    local = InferenceLocalEmbedder()
    with pytest.raises(EmbedderError, match=r"pip install 'footage\[inference\]'"):
        await local.texts(["a cat"])
    await local.close()


@pytest.mark.parametrize(("key", "hint"), [(None, "set ROBOFLOW_API_KEY"), (KEY, "is the key right")])
async def test_a_model_that_cannot_be_fetched_says_what_to_do(
    key: str | None, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def get_model(model_id: str, api_key: str | None) -> None:
        raise RuntimeError(f"Unauthorized access to roboflow API - check API key {api_key}")

    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    install(monkeypatch, get_model)
    local = InferenceLocalEmbedder(key=key)
    with pytest.raises(EmbedderError, match=hint) as raised:
        await local.images(photographs())
    assert KEY not in str(raised.value)
    await local.close()


def test_an_unsupported_model_is_refused_at_once() -> None:
    with pytest.raises(EmbedderError, match="it has: RN50"):
        InferenceLocalEmbedder(model="clip/SigLIP2-B-16")
