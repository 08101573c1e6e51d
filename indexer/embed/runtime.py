"""Compiles and runs a network on this machine, with OpenVINO or ONNX Runtime."""

from __future__ import annotations

import gzip
import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import LifoQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from footage.indexer.embed.base import EmbedderError
from footage.indexer.embed.compiled import compile_cached, describe_file
from footage.indexer.embed.openvino_core import core
from footage.indexer.embed.openvino_core import openvino as ov
from footage.indexer.embed.tower import Tower

Feeds = Mapping[str, NDArray[Any]]
NetworkRunner = Callable[[Feeds], NDArray[np.float32]]
"""Runs a compiled network: arrays by input name to (n, dim) float32. Not thread-safe."""

PROVIDERS = {"CUDAExecutionProvider": "cuda", "CoreMLExecutionProvider": "coreml", "CPUExecutionProvider": "cpu"}
"""ONNX Runtime's names of the devices that are tried."""
MIN_BATCH_COSINE = 0.999
"""Minimum cosine of the rows of a batch to the same rows run one by one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is run.

    Attributes:
        runtime: ``openvino`` or ``onnxruntime``.
        device: ``cpu``, ``cuda`` or ``coreml``.
        precision: ``f32`` or ``bf16``; on other devices than the CPU the network's own.
        threads: how many it may use; 0 leaves that to the runtime.
        batch: how many images at once.
    """

    runtime: str = "openvino"
    device: str = "cpu"
    precision: str = "f32"
    threads: int = 0
    batch: int = 8

    def __str__(self) -> str:
        threads = f", {self.threads} threads" if self.threads else ""
        return f"{self.runtime} {self.device} {self.precision}, batch {self.batch}{threads}"


def hardware_precision(core: ov.Core) -> str:
    """``bf16`` where the processor computes it in hardware, else ``f32``."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def candidate_plans(threads: int = 0) -> list[Plan]:
    """Return what can be tried on this machine, likely best first; includes the reference (OpenVINO f32)."""
    precisions = dict.fromkeys((hardware_precision(core()), "f32"))
    plans = [Plan(precision=precision, threads=threads) for precision in precisions]
    if importlib.util.find_spec("onnxruntime"):
        onnxruntime: Any = importlib.import_module("onnxruntime")
        there = onnxruntime.get_available_providers()
        plans += [Plan("onnxruntime", d, threads=threads) for name, d in PROVIDERS.items() if name in there]
    return plans


def compile_model(path: Path, *, threads: int = 0, precision: str | None = None, cache: Path | None = None) -> Any:
    """Compile an ONNX file for the CPU with OpenVINO.

    Args:
        path: an ONNX file; with the suffix ``.gz`` it is decompressed first.
        threads: how many it may use; 0 leaves the choice to OpenVINO (all cores).
        precision: ``f32`` or ``bf16``; None takes what the hardware computes.
        cache: folder where the compiled network is kept; None compiles it every time.

    Returns:
        ``openvino.CompiledModel``: call it with a dictionary of arrays.

    Raises:
        EmbedderError: the file is missing, damaged, or not understood.
    """
    try:
        return compile_cached(lambda: read_network(path), describe_file(path), cpu_options(threads, precision), cache)
    except (OSError, EOFError, RuntimeError) as error:
        raise EmbedderError(f"{path} cannot be loaded ({error}); install footage again") from error


def compile_tower(tower: Tower, plan: Plan, cache: Path | None = None, streams: int = 1) -> NetworkRunner:
    """Compile a network to run as the plan says.

    A network exported for one row at a time is reshaped to any number where its graph allows it, else run row by row.

    Args:
        cache: folder where what OpenVINO compiles is kept; None compiles it every time.
        streams: how many calls OpenVINO computes at a time, each on its part of the cores; further ones wait.

    Returns:
        What runs it; any thread may call it.

    Raises:
        EmbedderError: the runtime cannot load it.
    """
    try:
        return _openvino(tower, plan, cache, streams) if plan.runtime == "openvino" else _onnxruntime(tower, plan)
    except (RuntimeError, ValueError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise EmbedderError(f"{tower.path} cannot be run by {plan.runtime} on {plan.device}: {reason}") from error


def read_network(path: Path) -> ov.Model:
    """Read an ONNX file; with the suffix ``.gz`` it is decompressed first."""
    return core().read_model(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path)


def cpu_options(threads: int, precision: str | None, streams: int = 1) -> dict[str, Any]:
    """Return OpenVINO's options for the CPU; arguments as of ``compile_model`` and ``compile_tower``."""
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision or hardware_precision(core())}
    if streams > 1:
        options["NUM_STREAMS"] = streams
    else:
        options["PERFORMANCE_HINT"] = "LATENCY"  # one request at a time, on all threads
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return options


def _openvino(tower: Tower, plan: Plan, cache: Path | None, streams: int) -> NetworkRunner:
    def compile_network(read: Callable[[], ov.Model], form: str) -> NetworkRunner:
        source, options = describe_file(tower.path) + form, cpu_options(plan.threads, plan.precision, streams)
        compiled = compile_cached(read, source, options, cache)
        idle: LifoQueue[Any] = LifoQueue()  # a request serves one call at a time
        for _ in range(streams):
            idle.put(compiled.create_infer_request())
        return partial(_infer, compiled, idle, tower.output)

    as_it_is = compile_network(lambda: read_network(tower.path), "")
    if not tower.single_row:
        return as_it_is
    single = _row_by_row(as_it_is)
    return _widen_batch(tower, compile_network, single) or single


def _infer(_network: ov.CompiledModel, idle: LifoQueue[Any], output: str, feeds: Feeds) -> NDArray[np.float32]:
    """Run a network with a request that is idle; it is held for its memory, which its requests do not know of."""
    request = idle.get()
    try:
        return np.asarray(request.infer(dict(feeds))[output], np.float32)
    finally:
        idle.put(request)


def _widen_batch(
    tower: Tower, compile_network: Callable[[Callable[[], ov.Model], str], NetworkRunner], single: NetworkRunner
) -> NetworkRunner | None:
    """Return the network reshaped to any number of rows, if it still gives the same vectors."""

    def read() -> ov.Model:
        model = read_network(tower.path)
        model.reshape({port.name: ov.PartialShape([-1, *port.shape[1:]]) for port in tower.inputs})
        return model

    rows = _random_inputs(tower, 3)
    try:
        widened = compile_network(read, "any number of rows")
        vectors, expected = widened(rows), single(rows)
    except RuntimeError:
        return None
    return widened if vectors.shape == expected.shape and cosines(vectors, expected).min() > MIN_BATCH_COSINE else None


def _onnxruntime(tower: Tower, plan: Plan) -> NetworkRunner:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    provider = next(name for name, device in PROVIDERS.items() if device == plan.device)
    if provider not in onnxruntime.get_available_providers():
        raise EmbedderError(f"this ONNX Runtime cannot use {plan.device}; is another package of it needed?")
    if plan.device == "cuda" and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan.threads
    options.log_severity_level = 3  # errors only: slow fallbacks to the CPU show in the benchmark
    session = onnxruntime.InferenceSession(tower.path, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise EmbedderError(f"ONNX Runtime cannot use {plan.device} on this machine")

    def run(feeds: Feeds) -> NDArray[np.float32]:
        return np.asarray(session.run([tower.output], dict(feeds))[0], np.float32)

    return _row_by_row(run) if tower.single_row else run


def _row_by_row(run: NetworkRunner) -> NetworkRunner:
    def each(feeds: Feeds) -> NDArray[np.float32]:
        count = len(next(iter(feeds.values())))
        return np.concatenate([run({name: rows[i : i + 1] for name, rows in feeds.items()}) for i in range(count)])

    return each


def _random_inputs(tower: Tower, rows: int) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    feeds: dict[str, NDArray[Any]] = {}
    for port in tower.inputs:
        shape = (rows, *(length or 77 for length in port.shape[1:]))
        integer = port.dtype.kind == "i"
        feeds[port.name] = (random.integers(0, 100, shape) if integer else random.standard_normal(shape)).astype(
            port.dtype
        )
    return feeds


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the cosine of each row to the same row of the other."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    answer: NDArray[np.float32] = (one * other).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return answer
