"""``footage index``: indexes video files and photographs, or a folder while a recorder writes to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from footage.commands.errors import FAILED, INTERRUPTED, UsageError, print_message, reports_errors
from footage.commands.options import (
    Config,
    Data,
    EmbedderOption,
    EveryOption,
    FitOption,
    ModelOption,
    OptionalTime,
    option,
    resolve_settings,
    time_option,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from footage.config.settings import Settings
    from footage.indexer.files.file_indexer import FileIndexer, Job

Sources = Annotated[
    list[str] | None,
    typer.Argument(metavar="[SOURCE...]", help="Files, folders, globs; none: only repair a damaged index."),
]
CameraOption = Annotated[
    str | None, option("--camera", text="Name of the view (default: the file's or folder's name).")
]
ExcludeOption = Annotated[
    list[str] | None,
    option(
        "--exclude", text="Leave out files or folders named so, as in *_thumb.jpg; may be repeated.", metavar="PATTERN"
    ),
]
StartOption = Annotated[
    OptionalTime, option("--start", text="When the first frame was taken.", parser=time_option, metavar="TIME")
]


@reports_errors
def index(
    sources: Sources = None,
    camera: CameraOption = None,
    start: StartOption = None,
    every: EveryOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running: index a folder's files as a recorder finishes them.")
    ] = False,
    exclude: ExcludeOption = None,
    embedder: EmbedderOption = None,
    model: ModelOption = None,
    fit: FitOption = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Index video files and photographs; what is already indexed is skipped. Repairs a damaged index first."""
    import asyncio

    settings = resolve_settings(config, embedder=embedder, model=model, fit=fit, data=data, every=every)
    if watch:
        if start or len(sources or ()) != 1:
            raise typer.BadParameter("--watch takes one folder, without --start", param_hint="SOURCE")
        asyncio.run(_watch_folder(settings, *_parse_folder((sources or [""])[0], camera), exclude or ()))
    else:  # listed outside of the event loop, where Ctrl-C interrupts at once
        asyncio.run(_index_files(settings, _list_jobs(sources or (), camera, start, settings.every, exclude or ())))


async def _index_files(settings: Settings, jobs: list[Job]) -> None:
    from footage.commands.composition import open_services, recordings_folder
    from footage.commands.indexing import index_files
    from footage.commands.repair import repair_index, settle_unknown

    repaired = await repair_index(settings)
    if not jobs:
        if not repaired:
            raise UsageError("nothing to index, and the index is not damaged; name files or folders")
        return
    async with open_services(settings) as services:
        print_message(f"model {services.model}")
        report = await index_files(services, jobs)
        if settings.store == "embedded":
            await settle_unknown(services, recordings_folder(settings))
    if report.stopped:
        print_message("stopped; the same command goes on from here")
        raise typer.Exit(INTERRUPTED)
    if report.refused or (report.failed and len(report.failed) == report.files):
        raise typer.Exit(FAILED)


def _list_jobs(
    specs: Sequence[str], camera: str | None, start: datetime | None, every: float, exclude: Sequence[str]
) -> list[Job]:
    """Files to index, in order.

    Raises:
        UsageError: the sources and options do not fit together.
        SourceError: a source does not exist.
    """
    from footage.indexer.files.file_indexer import Job
    from footage.stream import source

    jobs: list[Job] = []
    for spec in specs:
        parsed = source.parse_source(spec, exclude)
        if parsed.live:
            raise UsageError(f"{spec}: a live camera is not indexed with this command; give files or folders")
        if parsed.not_read:
            kinds = ", ".join(sorted({path.suffix.lower() for path in parsed.not_read}))
            print_message(f"{spec}: {len(parsed.not_read)} photographs are not read ({kinds}): save them as JPEG")
        name = source.check_camera_name(camera) if camera else parsed.name
        jobs += [Job(path, name, every, start) for path in parsed.paths]
    if start and len(jobs) > 1:
        raise UsageError(f"--start fits one file, and there are {len(jobs)}; index them one by one")
    return jobs


def _parse_folder(spec: str, camera: str | None) -> tuple[Path, str]:
    """The folder to watch, and the camera of its files.

    Raises:
        UsageError: it is not a folder.
    """
    from pathlib import Path

    from footage.stream import source
    from footage.stream.camera_name import camera_name

    folder = Path(spec).expanduser()
    if not folder.is_dir():
        raise UsageError(f"{spec}: --watch takes one folder")
    return folder, source.check_camera_name(camera) if camera else camera_name(folder.resolve().name)


async def _watch_folder(settings: Settings, folder: Path, camera: str, exclude: Sequence[str]) -> None:
    """Index a folder's files as they are finished, until SIGINT or SIGTERM."""
    import asyncio
    import signal
    import time
    from functools import partial

    from footage.commands.composition import open_services
    from footage.commands.indexing import make_indexer, print_report
    from footage.commands.repair import repair_index
    from footage.indexer.files.file_indexer import Job
    from footage.indexer.files.folder_watch import finished_files
    from footage.indexer.supervisor import Supervisor

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await repair_index(settings)
    async with open_services(settings) as services:
        print_message(f"watching {folder}, camera {camera}")
        async for paths in finished_files(folder, stop, exclude=exclude):
            indexer = make_indexer(services)
            started = time.perf_counter()
            async with Supervisor() as supervisor, supervisor.running(stop=partial(_stop_indexer, stop, indexer)):
                report = await indexer.run([Job(path, camera, settings.every) for path in paths])
            await services.store.maintain()
            print_report(report, time.perf_counter() - started)


async def _stop_indexer(stop: asyncio.Event, indexer: FileIndexer) -> None:
    await stop.wait()
    indexer.stop()
