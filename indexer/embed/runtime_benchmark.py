"""Measures which runtime, precision, batch and threads run a network fastest on this machine, and caches the result."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.openvino_core import describe_processor
from footage.indexer.embed.runtime import (
    NetworkRunner,
    Plan,
    candidate_plans,
    compile_tower,
    cosines,
)
from footage.indexer.embed.tower import Tower
from footage.stream.atomic import atomic_write
from footage.stream.processors import available_processors

MIN_PLAN_COSINE = 0.995
"""Minimum cosine to single precision; below it a plan is refused, because its vectors would be of another space."""
MIN_GAIN = 1.03
"""How many times faster a larger batch must be to be worth its delay and memory; less is noise."""
PROBE_BATCH = 4
"""Batch with which runtimes are compared; the best is then tried with larger ones."""
LARGER_BATCHES = (8, 16, 32)
ROUNDS = 3
REFERENCE = Plan(precision="f32")


@dataclass(frozen=True, slots=True)
class Measurement:
    """The measured speed of one plan.

    Attributes:
        plan: what was measured.
        rate: images a second, 0 when it could not run.
        cosine: the lowest of any image's vector to its single-precision vector.
        note: why the plan was refused, or empty.
    """

    plan: Plan
    rate: float
    cosine: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeBenchmark:
    """The chosen plan, and all measurements."""

    plan: Plan
    table: tuple[Measurement, ...]


def benchmark_runtimes(
    tower: Tower,
    images: NDArray[np.float32],
    cache: Path,
    *,
    threads: int = 0,
    seconds: float = 20,
    remeasure: bool = False,
) -> RuntimeBenchmark:
    """Return the cached benchmark of this network on this machine, or a new one. Blocks for about ``seconds`` at most.

    Args:
        tower: the image network.
        images: (8 or more, 3, side, side), prepared for the network.
        cache: folder of the cache file, ``trials.json``.
        threads: how many the network may use; 0 leaves that to the runtime.
        seconds: how long the measurements may take, about.
        remeasure: measure even when a benchmark is cached.

    Raises:
        EmbedderError: nothing on this machine can run the network.
    """
    key = cache_key(tower, threads)
    path = cache / "trials.json"
    known = read_cache(path)
    if not remeasure and (old := _parse_entry(known.get(key))):
        return old
    new = _measure(tower, images, threads, seconds)
    write_cache(
        path, known | {key: {"plan": asdict(new.plan), "table": [asdict(measurement) for measurement in new.table]}}
    )
    return new


def _measure(tower: Tower, images: NDArray[np.float32], threads: int, seconds: float) -> RuntimeBenchmark:
    started = time.monotonic()
    expected = compile_tower(tower, replace(REFERENCE, threads=threads))({tower.inputs[0].name: images[:PROBE_BATCH]})
    table: list[Measurement] = []
    for plan in candidate_plans(threads):
        if any(measurement.rate for measurement in table) and time.monotonic() > started + seconds / 2:
            table.append(Measurement(plan, 0, 0, "no time left to try it"))
        else:
            table.append(_measure_plan(tower, replace(plan, batch=PROBE_BATCH), images, expected))
    usable = [measurement for measurement in table if not measurement.note]
    if not usable:
        raise EmbedderError(f"{tower.path} cannot be run here: {'; '.join(measurement.note for measurement in table)}")
    best = max(usable, key=lambda measurement: measurement.rate)
    if larger := _measure_batches(tower, best, images, started + seconds):
        table += larger
        fastest = max(measurement.rate for measurement in larger)
        best = next(measurement for measurement in larger if measurement.rate * MIN_GAIN >= fastest)
    cores = available_processors()
    if best.plan.device == "cpu" and not threads and cores > 2 and time.monotonic() < started + seconds:
        table.append(_measure_plan(tower, replace(best.plan, threads=cores), images, expected))
        best = table[-1] if not table[-1].note and table[-1].rate > MIN_GAIN * best.rate else best
    return RuntimeBenchmark(best.plan, tuple(table))


def _measure_plan(tower: Tower, plan: Plan, images: NDArray[np.float32], expected: NDArray[np.float32]) -> Measurement:
    try:
        rate, vectors = _measure_rate(compile_tower(tower, plan), tower, _resize_batch(images, plan.batch))
    except EmbedderError as error:
        return Measurement(plan, 0, 0, str(error))
    cosine = float(cosines(vectors[:PROBE_BATCH], expected).min())
    return Measurement(
        plan, rate, cosine, "" if cosine >= MIN_PLAN_COSINE else f"cosine {cosine:.4f} to f32 is too low"
    )


def _resize_batch(images: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.resize(images, (count, *images.shape[1:]))


def _measure_batches(
    tower: Tower, best: Measurement, images: NDArray[np.float32], deadline: float
) -> list[Measurement]:
    """Measure the best plan with each batch size that time allows, in turn, so that other load affects all equally."""
    seconds = deadline - time.monotonic()
    sizes = [PROBE_BATCH]
    for size in LARGER_BATCHES:
        if ROUNDS * sum([*sizes, size]) / best.rate < seconds:
            sizes.append(size)
    if sizes == [PROBE_BATCH]:
        return []
    run, times = compile_tower(tower, best.plan), dict.fromkeys(sizes, float("inf"))
    for _ in range(ROUNDS):
        for size in sizes:
            started = time.perf_counter()
            run({tower.inputs[0].name: _resize_batch(images, size)})
            times[size] = min(times[size], time.perf_counter() - started)
    return [Measurement(replace(best.plan, batch=size), size / times[size], best.cosine) for size in sizes]


def _measure_rate(
    run: NetworkRunner, tower: Tower, images: NDArray[np.float32], seconds: float = 0.8
) -> tuple[float, NDArray[np.float32]]:
    """Return images a second, the best of several runs so that other load counts little, and the vectors."""
    feeds = {tower.inputs[0].name: images}
    vectors = run(feeds)
    best, end = float("inf"), time.monotonic() + seconds
    while best == float("inf") or time.monotonic() < end:
        started = time.perf_counter()
        run(feeds)
        best = min(best, time.perf_counter() - started)
    return len(images) / best, vectors


def cache_key(tower: Tower, threads: int) -> str:
    """Return a key that changes with the machine, the runtimes, and the network."""
    parts = [
        describe_processor(),
        *(package_version(name) for name in ("openvino", "onnxruntime", "onnxruntime-gpu")),
        str(threads),
    ]
    with tower.path.open("rb") as file:
        parts.append(hashlib.sha256(file.read(1 << 20)).hexdigest())
        file.seek(-min(1 << 20, tower.path.stat().st_size), os.SEEK_END)
        parts.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def package_version(package: str) -> str:
    """Return a package's name and version; empty where it is not installed."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def read_cache(path: Path) -> dict[str, Any]:
    """Return the content of a cache file; empty when it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _parse_entry(entry: Any) -> RuntimeBenchmark | None:
    try:
        table = tuple(
            Measurement(**(measurement | {"plan": Plan(**measurement["plan"])})) for measurement in entry["table"]
        )
        return RuntimeBenchmark(Plan(**entry["plan"]), table)
    except (TypeError, KeyError):  # none, or of another version
        return None


def write_cache(path: Path, content: dict[str, Any]) -> None:
    """Write a cache file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
