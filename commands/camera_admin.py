"""Adds, tries and removes cameras and folders of a running service, for the routes of cameras."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from footage.commands.camera_file import change_cameras, folder_file, read_cameras, without, written_name
from footage.commands.camera_probe import probe_camera
from footage.commands.composition import SearchServices, recordings_folder
from footage.commands.served_folders import ServedFolders
from footage.commands.worker import indexer_camera
from footage.config.cameras import camera_file, parse_camera
from footage.config.settings import Settings
from footage.config.values import SettingsError
from footage.indexer.live.service import LiveService
from footage.indexer.supervisor import Supervisor
from footage.query.clips.service import NotFound
from footage.query.http.camera_contract import CameraAway
from footage.stream.address import describe_invalid_address
from footage.stream.camera_name import describe_invalid_name
from footage.stream.errors import InvalidInput
from footage.stream.files.frame_at import encode_jpeg

PROBE_SECONDS = 10.0
"""Seconds for which a camera that is tried may take to send a picture."""


class ServiceCameras:
    """Changes the cameras and folders of one service (``query.http.camera_contract.CameraAdmin``).

    Runs in the event loop, one change at a time; files are read and written, and cameras tried, in threads.

    Args:
        keep: how long each camera's footage is kept, as retention reads it.
        misconfigured: why cameras of the settings cannot be watched.
        on_added: awaited with a camera's name before it is read.
    """

    def __init__(
        self,
        settings: Settings,
        services: SearchServices,
        live: LiveService,
        supervisor: Supervisor,
        keep: MutableMapping[str, timedelta | None],
        misconfigured: MutableMapping[str, str],
        on_added: Callable[[str], Awaitable[None]],
    ) -> None:
        self._settings, self._live = settings, live
        self.misconfigured = misconfigured
        self._keep, self._on_added = keep, on_added
        self._folders = ServedFolders(services, supervisor, settings.every, misconfigured)
        self._turn = asyncio.Lock()
        self._file = camera_file(settings.data)
        self._folder_file = folder_file(settings.data)

    async def start(self) -> None:
        """Begin to index the folders that were added before."""
        await self._folders.start(self._folder_file, self._settings.camera_names)

    async def add(self, given: dict[str, Any]) -> str:
        """Add a camera or a folder, and begin to read it; see ``CameraAdmin.add``."""
        async with self._turn:
            name, url = given["name"], given["url"]
            if problem := describe_invalid_name(name):
                raise InvalidInput(problem)
            if name in await self._names():
                raise InvalidInput(f"there is already a camera '{name}'")
            if Path(url).is_absolute() and not url.startswith("/dev/"):
                return await self._add_folder(name, url)
            try:
                camera = parse_camera(given, "not added")
            except SettingsError as error:
                raise InvalidInput(str(error)) from None
            await self._append(self._file, given)
            self._keep[name] = timedelta(seconds=camera.keep) if camera.keep else None
            await self._on_added(name)
            await self._live.add(indexer_camera(camera))
            return "camera"

    async def remove(self, name: str) -> None:
        """Stop reading a camera or folder that was added; see ``CameraAdmin.remove``."""
        async with self._turn:
            problem = ""
            for file, stop in ((self._folder_file, self._folders.remove), (self._file, self._live.remove)):
                try:
                    found = await self._drop(file, name)
                except SettingsError as error:  # what is in the other file can be removed all the same
                    problem, found = str(error), False
                if found:
                    self.misconfigured.pop(name, None)
                    await stop(name)
                    return
            if problem:
                raise InvalidInput(problem)
            if name in await self._names():
                raise InvalidInput(f"camera '{name}' is in the settings file: remove it there")
            raise NotFound(f"no camera or folder '{name}' was added")

    async def probe(self, url: str, transport: str) -> bytes:
        """One picture of a camera as JPEG; see ``CameraAdmin.probe``."""
        if problem := describe_invalid_address(url):
            raise InvalidInput(f"url: {problem}")
        stop = threading.Event()
        try:
            status, image = await asyncio.to_thread(probe_camera, "camera", url, transport, PROBE_SECONDS, stop)
        finally:
            stop.set()
        if image is None:
            raise CameraAway(status.error or f"no picture came within {PROBE_SECONDS:g} s")
        return encode_jpeg(image)

    async def _names(self) -> set[str]:
        listed = await asyncio.to_thread(read_cameras, self._file)
        names = {written_name(camera) for camera in listed} | self._folders.names() | set(self.misconfigured)
        return names | {camera.name for camera in self._live.cameras()} | {c.name for c in self._settings.cameras}

    async def _add_folder(self, name: str, url: str) -> str:
        folder = await asyncio.to_thread(_find_folder, url)
        if folder is None:
            raise InvalidInput(f"url: there is no folder {url!r} on the machine of the service, or it may not read it")
        for own in (self._settings.data, recordings_folder(self._settings)):
            inside = await asyncio.to_thread(own.resolve)
            if folder == inside or folder in inside.parents or inside in folder.parents:
                raise InvalidInput("url: the folder holds the service's own data, or is part of it")
        await self._append(self._folder_file, {"name": name, "url": str(folder)})
        self._folders.watch(name, folder)
        return "folder"

    async def _append(self, path: Path, entry: dict[str, Any]) -> None:
        await asyncio.to_thread(change_cameras, path, lambda cameras: [*cameras, entry])

    async def _drop(self, path: Path, name: str) -> bool:
        """Remove an entry from a file; returns whether there was one."""
        return await asyncio.to_thread(change_cameras, path, lambda listed: without(listed, name))


def _find_folder(path: str) -> Path | None:
    """The folder of this path, without links; None where there is none that can be read."""
    try:
        folder = Path(path).resolve()
        next(folder.iterdir(), None)
    except (OSError, ValueError, RuntimeError):  # no such folder, no right to it; a path of no file; links in a circle
        return None
    return folder
