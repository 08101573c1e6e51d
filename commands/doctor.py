"""``footage doctor``: what is installed, reachable and chosen, and how fast it is."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import shutil
import time
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from footage.commands import model, show
from footage.commands import parts as made
from footage.commands.errors import FAILED
from footage.config.settings import Settings
from footage.indexer.embed.base import Embedder
from footage.stream.frame import Image

PACKAGES = ("footage", "av", "lancedb", "openvino", "supervision")
EXTRAS = {"demo": "skvideo", "inference": "inference", "cassandra": "cassandra", "cuda": "onnxruntime"}


def run(settings: Settings, as_json: bool) -> None:
    """Print the findings; exit with 1 when something that is needed does not work."""
    rows = asyncio.run(_findings(settings))
    if as_json:
        print(json.dumps([{"part": p, "ok": ok, "finding": text} for p, ok, text in rows], indent=2))
    else:
        table = Table(box=None, pad_edge=False, show_header=False)
        for part, ok, text in rows:
            table.add_row("[green]ok[/]" if ok else "[red]no[/]", part, text)
        Console().print(table)
    if not all(ok for _, ok, _ in rows):
        raise typer.Exit(FAILED)


async def _findings(settings: Settings) -> list[tuple[str, bool, str]]:
    rows = [("python", True, f"{platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores")]
    rows.append(
        (
            "packages",
            True,
            ", ".join(f"{n} {_version(n)}" for n in ("footage", "av", "lancedb", "openvino", "supervision")),
        )
    )
    there = [name for name, module in EXTRAS.items() if importlib.util.find_spec(module)]
    rows.append(("extras", True, f"installed: {', '.join(there) or 'none'}; there are: {', '.join(EXTRAS)}"))
    rows.append(_folder(settings))
    rows.append(await _model(settings))
    rows.append(await _index(settings))
    return rows


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _folder(settings: Settings) -> tuple[str, bool, str]:
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        probe = settings.data / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        return "data", False, f"{settings.data} cannot be written: {error}"
    return "data", True, f"{settings.data}, {show.size(shutil.disk_usage(settings.data).free)} free"


async def _model(settings: Settings) -> tuple[str, bool, str]:
    try:
        chosen = await made.open_embedder(settings)
        try:
            speed = await pictures_per_second(chosen.embedder)
        finally:
            await chosen.embedder.close()
    except Exception as error:
        return "model", False, f"{settings.embedder}: {error}"
    table = "".join(f"\n  {line}" for line in model.measured(chosen.embedder))
    return "model", True, f"{chosen.line}; {speed:.0f} pictures/s{table}"


async def pictures_per_second(embedder: Embedder, seconds: float = 1.5) -> float:
    """Throughput on random pictures, after one batch to warm up."""
    random = np.random.default_rng(0)
    side = embedder.side
    batch: list[Image] = [
        random.integers(0, 256, (side, side * 16 // 9, 3), dtype=np.uint8) for _ in range(embedder.batch)
    ]
    await embedder.images(batch)
    count, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        await embedder.images(batch)
        count += len(batch)
    return count / passed


async def _index(settings: Settings) -> tuple[str, bool, str]:
    try:
        index = await made.open_index(settings)
        if index is None:
            return "index", True, "none yet"
        try:
            return "index", True, f"{await index.store.count()} records, model {index.store.space.name}"
        finally:
            await made.close_index(index)
    except Exception as error:
        return "index", False, str(error)
