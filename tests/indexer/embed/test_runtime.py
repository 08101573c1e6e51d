from __future__ import annotations

import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from footage.indexer.embed import runtime, runtime_benchmark
from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.clip import ClipEmbedder
from footage.indexer.embed.runtime import Feeds, NetworkRunner, Plan, candidate_plans, compile_tower, cosines
from footage.indexer.embed.tower import Tower
from tests.indexer.embed import tiny
from tests.indexer.embed.conformance import photographs

PIXELS = tiny.reference(photographs() * 2, 64)


@pytest.fixture
def tower(tmp_path: Path) -> Tower:
    return Tower.read(tiny.roboflow(tmp_path / "model").joinpath("visual.onnx"))


@pytest.fixture(params=[1, "batch"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Tower:
    """Exported for one picture at a time, or for any number."""
    path = tmp_path / "visual.onnx"
    path.write_bytes(tiny.visual(tiny.Shape(), "input", "output", batch=request.param))
    return Tower.read(path)


def test_every_runtime_gives_the_same_vectors(either: Tower) -> None:
    expected = compile_tower(either, Plan())({"input": PIXELS})
    plans = candidate_plans()
    assert {plan.runtime for plan in plans} == {"openvino", "onnxruntime"}
    for plan in plans:
        vectors = compile_tower(either, plan)({"input": PIXELS})
        assert vectors.dtype == np.float32
        assert cosines(vectors, expected).min() > 0.995


def test_two_streams_give_each_call_its_own_vectors(either: Tower) -> None:
    expected = compile_tower(either, Plan())({"input": PIXELS})
    run = compile_tower(either, Plan(), streams=2)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda i: run({"input": PIXELS[i % len(PIXELS) :]}), range(12)))
    for i, vectors in enumerate(rows):
        np.testing.assert_allclose(vectors, expected[i % len(PIXELS) :], atol=1e-4)


def test_a_network_that_batches_wrongly_is_run_row_by_row(tower: Tower, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tower.path.with_name("single.onnx")
    path.write_bytes(tiny.visual(tiny.Shape(), "input", "output", batch=1))
    expected = compile_tower(tower, Plan())({"input": PIXELS})
    monkeypatch.setattr(runtime, "MIN_BATCH_COSINE", 2.0)
    np.testing.assert_allclose(compile_tower(Tower.read(path), Plan())({"input": PIXELS}), expected, atol=1e-4)


def test_a_device_that_is_not_there_is_reported(tower: Tower) -> None:
    with pytest.raises(EmbedderError, match=r"cannot (be run|use).*cuda"):
        compile_tower(tower, Plan("onnxruntime", "cuda"))


def test_onnxruntime_is_not_needed(tower: Tower, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert {plan.runtime for plan in candidate_plans()} == {"openvino"}
    assert runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path, seconds=1).plan.runtime == "openvino"


class FakeRuntimes:
    """Fakes time and runtimes, which are as fast and as accurate as a test says."""

    def __init__(self, speeds: dict[str, float], turned: tuple[str, ...] = ()) -> None:
        self.speeds, self.turned, self.opened = speeds, turned, 0
        self.clock = 0.0

    def open(self, tower: Tower, plan: Plan) -> NetworkRunner:
        self.opened += 1
        kind = f"{plan.runtime} {plan.precision}"
        if self.speeds[kind] == 0:
            raise EmbedderError("no such device")
        vectors = np.eye(8, dtype=np.float32)
        if kind in self.turned and self.opened > 1:
            vectors = np.roll(vectors, 1, axis=1)

        def run(feeds: Feeds) -> NDArray[np.float32]:
            count = len(feeds["input"])
            self.clock += (0.1 + count) / self.speeds[kind]
            return np.resize(vectors, (count, 8))

        return run


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> FakeRuntimes:
    stage = FakeRuntimes({"openvino bf16": 40, "openvino f32": 10, "onnxruntime f32": 20})
    monkeypatch.setattr(runtime_benchmark, "compile_tower", stage.open)
    monkeypatch.setattr("time.monotonic", lambda: stage.clock)
    monkeypatch.setattr("time.perf_counter", lambda: stage.clock)
    plans = [Plan(precision="bf16"), Plan(), Plan("onnxruntime")]
    monkeypatch.setattr(runtime_benchmark, "candidate_plans", lambda *_: plans)
    return stage


def test_the_fastest_plan_is_chosen(tower: Tower, tmp_path: Path, stage: FakeRuntimes) -> None:
    assert runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path / "one").plan.precision == "bf16"
    stage.speeds["onnxruntime f32"] = 400
    found = runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path / "two")
    assert (found.plan.runtime, found.table[0].cosine) == ("onnxruntime", 1)
    assert stage.clock < 50


def test_a_fast_plan_with_different_vectors_is_refused(tower: Tower, tmp_path: Path, stage: FakeRuntimes) -> None:
    stage.turned = ("openvino bf16",)
    found = runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path)
    assert found.plan.runtime == "onnxruntime"
    assert "too low" in found.table[0].note


def test_a_plan_that_cannot_run_is_noted(tower: Tower, tmp_path: Path, stage: FakeRuntimes) -> None:
    stage.speeds["onnxruntime f32"] = 0
    assert "no such device" in runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path).table[2].note


def test_slow_machines_are_not_measured_for_long(tower: Tower, tmp_path: Path, stage: FakeRuntimes) -> None:
    stage.speeds.update({"openvino bf16": 1.0, "openvino f32": 0.5, "onnxruntime f32": 0.1})
    found = runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path)
    assert found.plan.runtime == "openvino"
    assert stage.clock < 40


def test_a_benchmark_is_cached_for_this_network_and_machine(
    tower: Tower, tmp_path: Path, stage: FakeRuntimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path)
    opened = stage.opened
    assert runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path) == first
    assert stage.opened == opened
    monkeypatch.setattr(runtime_benchmark, "describe_processor", lambda: "another processor")
    runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path)
    assert stage.opened > opened
    opened = stage.opened
    assert runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path, remeasure=True).plan == first.plan
    assert stage.opened > opened


def test_a_damaged_cache_is_measured_again(tower: Tower, tmp_path: Path, stage: FakeRuntimes) -> None:
    plan = runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path).plan
    path = tmp_path / "trials.json"
    keys = list(json.loads(path.read_text()))
    for content in ("{", "[]", json.dumps({key: {"plan": {"other": 1}, "table": []} for key in keys})):
        path.write_text(content)
        assert runtime_benchmark.benchmark_runtimes(tower, PIXELS, tmp_path).plan == plan
        assert list(json.loads(path.read_text())) == keys


async def test_images_are_prepared_while_the_network_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the network is blocked in batch one, batch two is prepared."""
    clip = await ClipEmbedder.open(tiny.roboflow(tmp_path / "model"), cache=tmp_path, plan=Plan(batch=4))
    inside, release, prepared = threading.Event(), threading.Event(), threading.Event()
    prepare, embed = clip._prepare, clip._embed

    def held(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        inside.set()
        assert release.wait(20)
        return embed(pixels)

    def noted(images: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        pixels = prepare(images)
        if inside.is_set():
            prepared.set()
        return pixels

    monkeypatch.setattr(clip, "_embed", held)
    monkeypatch.setattr(clip, "_prepare", noted)
    first = asyncio.ensure_future(clip.images(photographs()))
    assert await asyncio.to_thread(inside.wait, 20)
    second = asyncio.ensure_future(clip.images(photographs()))
    assert await asyncio.to_thread(prepared.wait, 20)
    release.set()
    np.testing.assert_allclose(await first, await second, atol=1e-5)
    await clip.close()
