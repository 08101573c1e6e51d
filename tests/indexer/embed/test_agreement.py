"""Tests that a model's vectors are believed only when another way to run its networks gives the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from footage.indexer.embed import agreement
from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.runtime import Feeds, Plan
from tests.indexer.embed import tiny

Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]


async def open_and_close(folder: Path, cache: Path, variant: str = "") -> None:
    await (await ClipEmbedder.open(folder, cache=cache, plan=Plan(), variant=variant)).close()


def change_runtime(monkeypatch: pytest.MonkeyPatch, other: Callable[[Plan], bool], change: Change) -> list[Plan]:
    """Change what one way to run networks gives; returns the ways that are tried."""
    real, tried = agreement.compile_tower, []

    def compile_tower(tower: agreement.Tower, plan: Plan) -> Callable[[Feeds], NDArray[np.float32]]:
        tried.append(plan)
        run = real(tower, plan)
        return (lambda feeds: change(run(feeds))) if other(plan) else run

    monkeypatch.setattr(agreement, "compile_tower", compile_tower)
    return tried


def nowhere(plan: Plan) -> bool:
    return False


def misread(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors * np.linspace(0.2, 1.8, vectors.shape[1], dtype=np.float32)


async def test_runtimes_that_agree_are_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = change_runtime(monkeypatch, nowhere, misread)
    folder = tiny.roboflow(tmp_path / "model")
    await open_and_close(folder, tmp_path)
    assert [plan.runtime for plan in tried] == ["openvino", "onnxruntime"] * 2  # both networks
    await open_and_close(folder, tmp_path)
    assert len(tried) == 4


async def test_a_runtime_that_misreads_an_operator_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_runtime(monkeypatch, lambda plan: plan.runtime == "openvino", misread)
    folder = tiny.roboflow(tmp_path / "model")
    for _ in range(2):  # what failed is not remembered as checked
        with pytest.raises(EmbedderError, match=r"visual\.onnx: openvino f32 and onnxruntime f32 give different"):
            await open_and_close(folder, tmp_path)


async def test_without_another_runtime_two_precisions_must_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement.importlib.util, "find_spec", {}.get)
    folder = tiny.roboflow(tmp_path / "model")
    tried = change_runtime(monkeypatch, nowhere, misread)
    await open_and_close(folder, tmp_path)
    assert [(plan.runtime, plan.precision) for plan in tried[:2]] == [("openvino", "f32"), ("openvino", "bf16")]
    change_runtime(monkeypatch, lambda plan: plan.precision == "bf16", lambda vectors: vectors * np.float32(np.nan))
    with pytest.raises(EmbedderError, match="not numbers"):
        await open_and_close(folder, tmp_path / "another")


async def test_a_tokenizer_with_more_tokens_than_the_network_is_noticed(tmp_path: Path) -> None:
    """OpenVINO gives vectors for tokens that the network does not have; ONNX Runtime refuses."""
    folder = tiny.roboflow(tmp_path / "model", words=tiny.Shape(vocabulary=300))
    with pytest.raises(EmbedderError, match=r"textual\.onnx .*are all files of one model\?"):
        await open_and_close(folder, tmp_path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_vectors_without_a_direction_are_refused(bad: float) -> None:
    vectors = np.ones((2, 4), np.float32)
    assert agreement.require_numbers(vectors, "x") is vectors
    assert len(agreement.require_numbers(vectors[:0], "x")) == 0
    vectors[1] = bad
    with pytest.raises(EmbedderError, match="x gives vectors that are not numbers, or zero"):
        agreement.require_numbers(vectors, "x")
