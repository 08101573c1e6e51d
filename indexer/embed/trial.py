"""Which runtime, precision, batch and threads run a network fastest here: measured once, then remembered."""

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
from footage.indexer.embed.runtime import Plan, Run, candidates, cosines, machine, open_tower
from footage.indexer.embed.tower import Tower

ALIKE = 0.995
"""Cosine to single precision below which a plan is refused: its vectors would be of another space."""
GAIN = 1.03
"""How much faster a larger batch must be to be worth its delay and memory; less is noise."""
PROBE = 4
"""Batch with which runtimes are compared; the best is then tried with larger ones."""
BATCHES = (8, 16, 32)
ROUNDS = 3
REFERENCE = Plan(precision="f32")


@dataclass(frozen=True, slots=True)
class Speed:
    """One line of the table.

    Attributes:
        plan: what was tried.
        rate: pictures a second, 0 when it could not run.
        cosine: the least that any picture's vector had to its single-precision vector.
        note: why it was not taken, or empty.
    """

    plan: Plan
    rate: float
    cosine: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """The plan that was chosen, and everything that was measured on the way."""

    plan: Plan
    table: tuple[Speed, ...]


def trial(
    tower: Tower,
    pictures: NDArray[np.float32],
    cache: Path,
    *,
    threads: int = 0,
    seconds: float = 20,
    again: bool = False,
) -> Trial:
    """The remembered trial of this network on this machine, or a new one. Blocks for ``seconds`` at most, about.

    Args:
        pictures: (8 or more, 3, side, side), prepared as for the network.
        cache: folder where trials are remembered, in ``trials.json``.
        threads: how many the network may use; 0 leaves that to the runtime.
        again: measure even when a trial is remembered.

    Raises:
        EmbedderError: nothing on this machine can run the network.
    """
    key = _key(tower, threads)
    path = cache / "trials.json"
    known = _remembered(path)
    if not again and (old := _read(known.get(key))):
        return old
    new = _measure(tower, pictures, threads, seconds)
    _remember(path, known | {key: {"plan": asdict(new.plan), "table": [asdict(speed) for speed in new.table]}})
    return new


def _measure(tower: Tower, pictures: NDArray[np.float32], threads: int, seconds: float) -> Trial:
    started = time.monotonic()
    expected = open_tower(tower, replace(REFERENCE, threads=threads))({tower.inputs[0].name: pictures[:PROBE]})
    table: list[Speed] = []
    for plan in candidates(threads):
        if any(speed.rate for speed in table) and time.monotonic() > started + seconds / 2:
            table.append(Speed(plan, 0, 0, "no time left to try it"))
        else:
            table.append(_try(tower, replace(plan, batch=PROBE), pictures, expected))
    usable = [speed for speed in table if not speed.note]
    if not usable:
        raise EmbedderError(f"{tower.path} cannot be run here: {'; '.join(speed.note for speed in table)}")
    best = max(usable, key=lambda speed: speed.rate)
    if grown := _batches(tower, best, pictures, started + seconds):
        table += grown
        fastest = max(speed.rate for speed in grown)
        best = next(speed for speed in grown if speed.rate * GAIN >= fastest)
    cores = os.cpu_count() or 1
    if best.plan.device == "cpu" and not threads and cores > 2 and time.monotonic() < started + seconds:
        table.append(_try(tower, replace(best.plan, threads=cores), pictures, expected))
        best = table[-1] if not table[-1].note and table[-1].rate > GAIN * best.rate else best
    return Trial(best.plan, tuple(table))


def _try(tower: Tower, plan: Plan, pictures: NDArray[np.float32], expected: NDArray[np.float32]) -> Speed:
    try:
        rate, vectors = _rate(open_tower(tower, plan), tower, _rows(pictures, plan.batch))
    except EmbedderError as error:
        return Speed(plan, 0, 0, str(error))
    cosine = float(cosines(vectors[:PROBE], expected).min())
    return Speed(plan, rate, cosine, "" if cosine >= ALIKE else f"cosine {cosine:.4f} to f32 is too low")


def _rows(pictures: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    return np.resize(pictures, (count, *pictures.shape[1:]))


def _batches(tower: Tower, best: Speed, pictures: NDArray[np.float32], deadline: float) -> list[Speed]:
    """The best plan with every batch that there is time for, turn by turn, so that other work hits all alike."""
    seconds = deadline - time.monotonic()
    sizes = [PROBE]
    for size in BATCHES:
        if ROUNDS * sum([*sizes, size]) / best.rate < seconds:
            sizes.append(size)
    if sizes == [PROBE]:
        return []
    run, times = open_tower(tower, best.plan), dict.fromkeys(sizes, float("inf"))
    for _ in range(ROUNDS):
        for size in sizes:
            started = time.perf_counter()
            run({tower.inputs[0].name: _rows(pictures, size)})
            times[size] = min(times[size], time.perf_counter() - started)
    return [Speed(replace(best.plan, batch=size), size / times[size], best.cosine) for size in sizes]


def _rate(
    run: Run, tower: Tower, pictures: NDArray[np.float32], seconds: float = 0.8
) -> tuple[float, NDArray[np.float32]]:
    """Pictures a second and the vectors: the best of several runs, so that other work on the machine counts little."""
    feeds = {tower.inputs[0].name: pictures}
    vectors = run(feeds)
    best, end = float("inf"), time.monotonic() + seconds
    while best == float("inf") or time.monotonic() < end:
        started = time.perf_counter()
        run(feeds)
        best = min(best, time.perf_counter() - started)
    return len(pictures) / best, vectors


def _key(tower: Tower, threads: int) -> str:
    """Changes with the machine, the runtimes, and the network."""
    parts = [machine(), *(_version(name) for name in ("openvino", "onnxruntime", "onnxruntime-gpu")), str(threads)]
    with tower.path.open("rb") as file:
        parts.append(hashlib.sha256(file.read(1 << 20)).hexdigest())
        file.seek(-min(1 << 20, tower.path.stat().st_size), os.SEEK_END)
        parts.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return ""


def _remembered(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read(entry: Any) -> Trial | None:
    try:
        table = tuple(Speed(**(speed | {"plan": Plan(**speed["plan"])})) for speed in entry["table"])
        return Trial(Plan(**entry["plan"]), table)
    except (TypeError, KeyError):  # none, or of another version
        return None


def _remember(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.tmp")
    part.write_text(json.dumps(content, indent=1), encoding="utf-8")
    part.replace(path)
