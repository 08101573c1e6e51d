"""Indexes the folders that were added to a running service, and says what is wrong with those that cannot be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, MutableMapping, Sequence
from pathlib import Path

from footage.commands.camera_file import find_folder_problem, read_cameras, written_name
from footage.commands.composition import SearchServices
from footage.commands.indexing import make_indexer
from footage.config.values import SettingsError
from footage.indexer.embed.base import EmbedderError
from footage.indexer.files.file_indexer import Job
from footage.indexer.files.folder_watch import finished_files
from footage.indexer.store.errors import StoreError
from footage.indexer.supervisor import Stage, Supervisor
from footage.stream.printable import printable

log = logging.getLogger(__name__)

RETRY_SECONDS = 60.0
"""Seconds after which files that could not be indexed are tried again."""


class ServedFolders:
    """The folders of a service, each indexed by a stage of its own. Used in the event loop.

    Args:
        every: seconds between the frames of videos that are embedded.
        misconfigured: why entries of the file cannot be used, by name; shown with the cameras.
    """

    def __init__(
        self,
        services: SearchServices,
        supervisor: Supervisor,
        every: float,
        misconfigured: MutableMapping[str, str],
        retry: float = RETRY_SECONDS,
    ) -> None:
        self._services, self._supervisor, self._every, self._retry = services, supervisor, every, retry
        self._misconfigured = misconfigured
        self._stages: dict[str, Stage] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._stages

    def names(self) -> set[str]:
        """Return the names of the folders that are indexed."""
        return set(self._stages)

    async def start(self, file: Path, cameras: Collection[str] = ()) -> None:
        """Begin to index the folders that a file lists; an entry that is wrong is told, and takes no other along.

        Args:
            cameras: names that no folder may have, too.
        """
        try:
            listed = await asyncio.to_thread(read_cameras, file)
        except SettingsError as error:
            self._note_problem(file, file.name, str(error).removeprefix(f"{file}: "))
            return
        for folder in listed:
            if problem := find_folder_problem(folder, {*self._stages, *cameras}):
                self._note_problem(file, written_name(folder) or "unnamed", problem)
            else:
                self.watch(folder["name"], Path(folder["url"]))

    def watch(self, name: str, folder: Path) -> None:
        """Begin to index a folder."""
        self._stages[name] = self._supervisor.start("folder", lambda: self._index_folder(name, folder), camera=name)

    async def remove(self, name: str) -> None:
        """Stop indexing a folder, if it is indexed."""
        if stage := self._stages.pop(name, None):
            await stage.cancel()

    def _note_problem(self, file: Path, name: str, problem: str) -> None:
        log.warning("%s: folder '%s': %s", file, name, problem)
        self._misconfigured.setdefault(name, f"{file}: {problem}")

    async def _index_folder(self, name: str, folder: Path) -> None:
        """Index what is in a folder, and what is written there later, until cancelled."""
        stop = asyncio.Event()
        failed: list[Job] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                retrying = tasks.create_task(self._retry_failed(name, failed))
                try:
                    async for paths in finished_files(folder, stop):
                        jobs = [Job(path, name, self._every) for path in paths]
                        if not await self._index(name, jobs):
                            failed += jobs
                finally:
                    stop.set()
                    retrying.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _retry_failed(self, name: str, failed: list[Job]) -> None:
        """Try again what could not be indexed, one by one until one fails, which is the last the next time."""
        while True:
            await asyncio.sleep(self._retry)
            for _ in range(len(failed)):
                job = failed.pop(0)
                if not await self._index(name, [job]):
                    failed.append(job)
                    break

    async def _index(self, name: str, jobs: Sequence[Job]) -> bool:
        """Index files; returns False where all of them have to be tried again."""
        try:
            report = await make_indexer(self._services).run(jobs)
        except (StoreError, EmbedderError) as error:
            log.error("folder %s: %d files are not indexed yet, and tried again: %s", name, len(jobs), error)
            return False
        for path, reason in report.failed.items():
            log.warning("folder %s: %s", name, reason if printable(path) in reason else f"{printable(path)}: {reason}")
        return True
