"""``footage index``: files into the index, with progress."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from footage.commands.errors import FAILED, INTERRUPTED, say
from footage.commands.parts import Parts, opened
from footage.config.settings import Settings, SettingsError
from footage.indexer.files.file_indexer import Indexer, Job, Report
from footage.indexer.files.folder_watch import finished
from footage.stream import source


def jobs(specs: Sequence[str], camera: str | None, start: datetime | None, every: float) -> list[Job]:
    """Files to index, in order.

    Raises:
        SettingsError: what was asked does not fit together.
        SourceError: a source is not there.
    """
    found: list[Job] = []
    for spec in specs:
        one = source.parse(spec)
        if one.live:
            raise SettingsError(f"{spec}: a live camera is not indexed with this command; give files or folders")
        name = source.check_camera(camera) if camera else one.name
        found += [Job(path, name, every, start) for path in one.paths]
    if start and len(found) > 1:
        raise SettingsError(f"--start fits one file, and there are {len(found)}; index them one by one")
    return found


def run(settings: Settings, specs: Sequence[str], camera: str | None, start: datetime | None) -> None:
    """Index, tell how it went, and exit with 1 when nothing could be read."""
    todo = jobs(specs, camera, start, settings.every)
    report = asyncio.run(_run(settings, todo))
    if report.stopped:
        say("stopped; the same command goes on from here")
        raise typer.Exit(INTERRUPTED)
    if report.failed and len(report.failed) == report.files:
        raise typer.Exit(FAILED)


def watch(settings: Settings, spec: str, camera: str | None) -> None:
    """Index a folder's files as they are finished, until SIGINT or SIGTERM."""
    folder = Path(spec).expanduser()
    if not folder.is_dir():
        raise SettingsError(f"{spec}: --watch takes one folder")
    name = source.check_camera(camera) if camera else source.camera_name(folder.resolve().name)
    asyncio.run(_watching(settings, folder, name))


async def _watching(settings: Settings, folder: Path, camera: str) -> None:
    stop = asyncio.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with opened(settings) as parts:
        say(f"watching {folder}, camera {camera}")
        async for paths in finished(folder, stop):
            indexer = Indexer(parts.embedder, parts.store, parts.catalog)
            stopping = asyncio.create_task(_stopping(stop, indexer))
            started = time.perf_counter()
            report = await indexer.run([Job(path, camera, settings.every) for path in paths])
            stopping.cancel()
            await parts.store.maintain()
            _tell(report, time.perf_counter() - started)


async def _stopping(stop: asyncio.Event, indexer: Indexer) -> None:
    await stop.wait()
    indexer.stop()


async def _run(settings: Settings, todo: list[Job]) -> Report:
    async with opened(settings) as parts:
        say(f"model {parts.model}")
        return await index(parts, todo)


async def index(parts: Parts, todo: list[Job]) -> Report:
    """Index with progress on standard error; Ctrl-C stops cleanly, and twice at once."""
    indexer, loop = Indexer(parts.embedder, parts.store, parts.catalog), asyncio.get_running_loop()

    def interrupt() -> None:
        indexer.stop()
        loop.remove_signal_handler(signal.SIGINT)  # the second one does not wait, for a store that is away perhaps

    loop.add_signal_handler(signal.SIGINT, interrupt)
    started = time.perf_counter()
    watching = asyncio.create_task(_watch(indexer.report, len(todo)))
    keeping = asyncio.create_task(_maintain(parts))
    try:
        report = await indexer.run(todo)
        await parts.store.maintain()
    finally:
        for task in (watching, keeping):
            task.cancel()
        await asyncio.gather(watching, keeping, return_exceptions=True)
        loop.remove_signal_handler(signal.SIGINT)
    _tell(report, time.perf_counter() - started)
    return report


async def _maintain(parts: Parts) -> None:
    """Compact and index what long work has added so far."""
    while True:
        await asyncio.sleep(20)
        await parts.store.maintain()


async def _watch(report: Report, files: int) -> None:
    """A progress bar while standard error is a terminal; nothing otherwise."""
    if not sys.stderr.isatty():
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.fields[files]}"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("index", total=None, files="", speed="")
        started = time.perf_counter()
        while True:
            passed = time.perf_counter() - started
            speed = f"{report.frames / passed:.0f} frames/s"
            if report.total:
                speed += f", {report.seconds / passed:.0f} x real time"
            # Files that are not opened yet are taken to be as long as those that are.
            opened_files = max(1, min(files, report.done + 2))
            total = report.total * files / opened_files if report.total else files
            done = report.seconds if report.total else report.done
            bar.update(task, total=total, completed=done, files=f"{report.done}/{files} files", speed=speed)
            await asyncio.sleep(0.2)


def _tell(report: Report, passed: float) -> None:
    for path, what in (report.failed | report.damaged).items():
        say(what if path in what else f"{path}: {what}")
    new = report.done - report.known - len(report.failed)
    parts = [f"{new} file{'s' * (new != 1)} indexed", f"{report.frames} frames"]
    if report.known:
        parts.append(f"{report.known} known already")
    if report.failed:
        parts.append(f"{len(report.failed)} could not be read")
    rate = f" ({report.seconds / passed:.0f} x real time)" if report.total and report.frames else ""
    names = ", ".join(sorted(report.cameras))
    say(f"{', '.join(parts)}; {passed:.1f} s{rate}; camera{'s' * (len(report.cameras) != 1)}: {names}")
