"""Indexes files with progress on standard error, for ``footage index`` and ``footage demo``."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from footage.commands.backend import note_vectors
from footage.commands.composition import SearchServices
from footage.commands.errors import print_message
from footage.indexer.files.file_indexer import FileIndexer, IndexReport, Job
from footage.indexer.store.errors import StoreError
from footage.indexer.supervisor import Supervisor
from footage.stream.hardware import find_decoder
from footage.stream.printable import printable

INDEXING_MAINTENANCE_INTERVAL = 20.0
"""Seconds between the times at which the store compacts and indexes what has been added."""


def make_indexer(services: SearchServices) -> FileIndexer:
    """An indexer of files that sets aside what the store refuses.

    Raises:
        DecoderError: the decoder of the settings cannot be used.
    """
    parts = (services.embedder, services.store, services.catalog)
    return FileIndexer(*parts, refused=services.refused, decoder=find_decoder(services.decoder))


async def index_files(services: SearchServices, jobs: list[Job]) -> IndexReport:
    """Index files and print a summary. The first Ctrl-C stops cleanly, the second one at once."""
    indexer, loop = make_indexer(services), asyncio.get_running_loop()

    def interrupt() -> None:
        indexer.stop()
        loop.remove_signal_handler(signal.SIGINT)  # the second Ctrl-C does not wait, for an unreachable store perhaps

    loop.add_signal_handler(signal.SIGINT, interrupt)
    started = time.perf_counter()
    stages = {
        "progress": partial(_show_progress, indexer.report, len(jobs)),
        "maintenance": partial(_maintain, services),
    }
    try:
        async with Supervisor() as supervisor, supervisor.running(**stages):
            report = await indexer.run(jobs)
            await services.store.maintain()
            await note_vectors(services.store, services.catalog)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
    print_report(report, time.perf_counter() - started)
    if report.refused and services.refused:
        print_message(f"{report.refused} records were refused and are set aside in {services.refused.path}")
    return report


async def _maintain(services: SearchServices) -> None:
    """Compact and index what long work has added so far."""
    while True:
        await asyncio.sleep(INDEXING_MAINTENANCE_INTERVAL)
        with suppress(StoreError):  # it is done again at the end, which reports what fails
            await services.store.maintain()


async def _show_progress(report: IndexReport, files: int) -> None:
    """Show a progress bar while standard error is a terminal; nothing otherwise."""
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


def print_report(report: IndexReport, seconds: float) -> None:
    """Print what failed, and a summary of what was indexed in ``seconds``."""
    for path, reason in (report.failed | report.notes | report.damaged).items():
        print_message(reason if printable(path) in reason else f"{printable(path)}: {reason}")
    new = report.done - report.known - len(report.failed)
    counts = [f"{new} file{'s' * (new != 1)} indexed", f"{report.frames} frames"]
    if report.known:
        counts.append(f"{report.known} known already")
    if report.failed:
        counts.append(f"{len(report.failed)} could not be read")
    rate = f" ({report.seconds / seconds:.0f} x real time)" if report.total and report.frames else ""
    names = ", ".join(sorted(report.cameras))
    cameras = f"camera{'s' * (len(report.cameras) != 1)}: {names}"
    print_message(f"{', '.join(counts)}; {seconds:.1f} s{rate}; {cameras}")
