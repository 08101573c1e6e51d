from __future__ import annotations

import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.inference_local import InferenceLocalEmbedder
from footage.indexer.embed.runtime import Plan
from tests.indexer.embed.conformance import TEXTS, EmbedderConformance, photographs
from tests.indexer.embed.fake_inference import KEY, Model
from tests.indexer.embed.fake_inference_package import RetryError, UnauthorizedModelAccessError, install
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


@pytest.mark.parametrize("legacy", [False, True], ids=["inference-models", "legacy"])
async def test_the_space_equals_that_of_the_weights_run_directly(
    legacy: bool, inference_model: Model, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = install(monkeypatch, inference_model, legacy=legacy)
    local, direct = InferenceLocalEmbedder(key=KEY), await ClipEmbedder.open(weights, cache=tmp_path, plan=Plan())
    images = photographs() * 3
    assert local.space == direct.space
    assert ((await direct.images(images) * await local.images(images)).sum(axis=1) > 0.995).all()
    assert ((await direct.texts(TEXTS) * await local.texts(TEXTS)).sum(axis=1) > 0.995).all()
    assert (await local.images([])).shape == (0, 512)
    assert package.loaded == [KEY]
    await local.close()
    await direct.close()


async def test_long_texts_are_truncated_with_a_warning(
    inference_model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    install(monkeypatch, inference_model)
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


UNAUTHORIZED = UnauthorizedModelAccessError(f"Request unauthorised. Are you sure you use valid key {KEY}?")
LEGACY_REFUSAL = RuntimeError(f"Unauthorized access to roboflow API - check API key {KEY}")
NO_NETWORK = RetryError("Connectivity error - VISIT https://inference-models.roboflow.com/errors FOR FURTHER SUPPORT")
BROKEN = ValueError("Model package is broken")


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("legacy", [False, True], ids=["inference-models", "legacy"])
@pytest.mark.parametrize(
    ("key", "error", "hint", "misleading"),
    [
        (None, UNAUTHORIZED, "set ROBOFLOW_API_KEY", "network"),
        (KEY, UNAUTHORIZED, "is ROBOFLOW_API_KEY right", "network"),
        (KEY, LEGACY_REFUSAL, "is ROBOFLOW_API_KEY right", "network"),
        (None, NO_NETWORK, "check the network", "ROBOFLOW_API_KEY"),
        (KEY, NO_NETWORK, "check the network", "ROBOFLOW_API_KEY"),
        (None, chained(RuntimeError("all failed"), ConnectionRefusedError(111)), "check the network", "ROBOFLOW"),
        (KEY, BROKEN, "see Inference's own message", "ROBOFLOW_API_KEY"),
    ],
)
async def test_a_model_that_cannot_be_loaded_says_why_and_what_to_do(
    key: str | None, error: Exception, hint: str, misleading: str, legacy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBOFLOW_API_KEY", raising=False)
    install(monkeypatch, None, legacy=legacy, error=error)
    local = InferenceLocalEmbedder(key=key)
    with pytest.raises(EmbedderError, match=hint) as raised:
        await local.images(photographs())
    assert type(error).__name__ in str(raised.value)
    assert misleading not in str(raised.value)
    assert key is None or key not in str(raised.value)
    await local.close()


async def test_inference_is_quiet_on_standard_output_and_its_warnings_are_not_shown(
    inference_model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, inference_model)
    local = InferenceLocalEmbedder(key=KEY)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        await local.texts(["a cat"])
    logging.getLogger("inference").warning("a later line")
    said = capsys.readouterr()
    assert not shown
    assert said.out == ""
    assert "a line of Inference" in said.err
    assert "a later line" in said.err
    assert "visual.onnx 100%" in said.err
    await local.close()


@pytest.mark.parametrize("asked", [False, True])
async def test_usage_is_reported_only_when_asked_for(
    asked: bool, inference_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("METRICS_ENABLED", "TELEMETRY_API_USAGE_ENDPOINT_URL", "TELEMETRY_API_PLAN_ENDPOINT_URL")
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if name not in names})
    install(monkeypatch, inference_model)
    local = InferenceLocalEmbedder(key=KEY, report_usage=asked)
    await local.texts(["a cat"])
    addresses = {os.environ.get(name, "roboflow's").partition(":9")[0] for name in names[1:]}
    assert addresses == ({"roboflow's"} if asked else {"http://127.0.0.1"})
    assert os.environ.get("METRICS_ENABLED") == (None if asked else "False")
    await local.close()


def test_an_unsupported_model_is_refused_at_once() -> None:
    with pytest.raises(EmbedderError, match="it has: RN50"):
        InferenceLocalEmbedder(model="clip/SigLIP2-B-16")
