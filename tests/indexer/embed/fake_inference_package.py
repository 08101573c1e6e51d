"""A fake package ``inference`` with the real one's signatures, so that it can do nothing that the real one cannot.

From inference 1.8.3 (``models/utils.py``, ``models/clip/clip_model.py``, ``models/clip/clip_inference_models.py``,
``core/models/roboflow.py``, ``core/logger.py``) and inference-models 0.39.5 (``errors.py``). It runs the tiny model.
"""

from __future__ import annotations

import logging
import os
import sys
import types
import warnings
from typing import Any, Literal

import numpy as np
import pytest
from rich.console import Console
from rich.logging import RichHandler

from tests.indexer.embed.fake_inference import Model

CLIP_MAX_BATCH_SIZE = 8


class RoboflowCoreModel:
    """``core/models/roboflow.py``."""

    def __init__(self, model_id: str, api_key: str | None = None, **kwargs: Any) -> None:
        self.endpoint, self.api_key = model_id, api_key


class InferenceModelsDeprecationWarning(Warning):
    """Like Inference's own categories: a ``Warning``, shown by default."""


class RetryError(Exception):
    """``inference_models.errors.RetryError``: what a lack of network becomes."""


class UnauthorizedModelAccessError(Exception):
    """``inference_models.errors.UnauthorizedModelAccessError``: what a key that is missing or wrong becomes."""


def _legacy_model(package: types.ModuleType, model: Model | None, error: Exception | None) -> type[Any]:
    class Clip(RoboflowCoreModel):
        """The legacy backend's: the id is a keyword, and must not be given by position."""

        def __init__(self, *args: Any, model_id: str = "clip/ViT-B-16", **kwargs: Any) -> None:
            super().__init__(*args, model_id=model_id, **kwargs)
            _load(package, error, self.api_key)

        def embed_image(self, image: Any, **kwargs: Any) -> np.ndarray[Any, Any]:
            images = image if isinstance(image, list) else [image]
            if len(images) > CLIP_MAX_BATCH_SIZE:
                raise ValueError(f"The maximum number of images that can be embedded at once is {CLIP_MAX_BATCH_SIZE}")
            assert model
            return model.images([one[:, :, ::-1] for one in images])  # load_image_rgb: arrays are BGR

        def embed_text(self, text: str | list[str], **kwargs: Any) -> np.ndarray[Any, Any]:
            assert model
            return model.texts(text if isinstance(text, list) else [text])

    return Clip


def _adapter(package: types.ModuleType, model: Model | None, error: Exception | None) -> type[Any]:
    class InferenceModelsClipAdapter:
        """The newer backend's."""

        def __init__(self, model_id: str = "clip/ViT-B-16", api_key: str | None = None, **kwargs: Any) -> None:
            self.api_key = api_key
            _load(package, error, api_key)

        def run_tensor_native_inference(
            self, action: Literal["compare", "embed-image", "embed-text"], **kwargs: Any
        ) -> np.ndarray[Any, Any]:
            return self._embed_images(**kwargs) if action == "embed-image" else self._embed_text(**kwargs)

        def _embed_images(self, images: Any, input_color_format: str | None = None) -> np.ndarray[Any, Any]:
            assert input_color_format == "rgb"
            assert model
            return model.images(images)

        def _embed_text(self, texts: str | list[str]) -> np.ndarray[Any, Any]:
            assert model
            return model.texts(texts if isinstance(texts, list) else [texts])

    return InferenceModelsClipAdapter


def install(
    monkeypatch: pytest.MonkeyPatch, model: Model | None, *, legacy: bool = False, error: Exception | None = None
) -> types.ModuleType:
    """Install the package.

    Args:
        model: the weights.
        legacy: as with ``USE_INFERENCE_MODELS=False``, the default on Windows.
        error: raised in place of loading the weights.

    Returns:
        The module ``inference``; its ``loaded`` lists the key of each model loaded.
    """
    package = types.ModuleType("inference")
    package.loaded = []  # type: ignore[attr-defined]

    legacy_clip, adapter = _legacy_model(package, model, error), _adapter(package, model, error)
    kinds = {("embed", "clip"): legacy_clip if legacy else adapter}

    def get_model(model_id: str, api_key: str | None = os.getenv("ROBOFLOW_API_KEY"), **kwargs: Any) -> Any:
        return kinds[("embed", "clip")](model_id, api_key=api_key, **kwargs)  # type: ignore[arg-type]

    package.get_model = get_model  # type: ignore[attr-defined]
    models = types.ModuleType("inference.models")
    models.Clip = legacy_clip  # type: ignore[attr-defined]
    package.models = models  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inference", package)
    monkeypatch.setitem(sys.modules, "inference.models", models)
    monkeypatch.setattr(logging.getLogger("inference"), "handlers", [RichHandler()])
    return package


def _load(package: types.ModuleType, error: Exception | None, key: str | None) -> None:
    """Warn, log and show the progress of a download as loading does, then load or fail."""
    warnings.warn_explicit(
        "CORE_MODEL_GAZE_ENABLED is True", InferenceModelsDeprecationWarning, "env.py", 345, module="inference.core.env"
    )
    logging.getLogger("inference").warning("a line of Inference's log")
    Console().print("visual.onnx 100%")  # of inference_models/utils/download.py, by rich
    if error is not None:
        raise error
    package.loaded.append(key)
