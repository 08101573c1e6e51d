"""Reads and writes the cameras that workers share: in the catalog, without passwords."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from footage.commands.backend import Backend
from footage.commands.errors import UsageError
from footage.config.cameras import CameraSettings, parse_camera
from footage.config.settings import Settings
from footage.config.values import SettingsError
from footage.indexer.store.base import Catalog
from footage.query.values.names import describe_unknown
from footage.stream.live.url import contains_credentials

log = logging.getLogger(__name__)

SHARED_CAMERA_KIND = "camera"
"""Documents of the catalog that hold cameras as settings have them, with ``${NAME}`` in place of passwords."""
CHANGE_KIND = "change"
"""Kind of the document CAMERA that is another one whenever the shared cameras have changed."""
READ_AGAIN = 60.0
"""Seconds after which they are read even if nobody has said that they have changed."""
PLACE = "the shared cameras"


async def share(settings: Settings, unresolved: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Have the workers watch these cameras of the settings; all of them when none is named. Returns their names.

    Args:
        unresolved: the cameras as the settings files have them.

    Raises:
        UsageError: a name is not known, or an address holds a password.
    """
    known = {c["name"]: c for c in unresolved}
    if wrong := [str(p) for p in settings.camera_problems if p.name in names]:
        raise UsageError("\n".join(wrong))
    chosen = {name: known[name] for name in names or known if name in known}
    if message := describe_unknown("camera", names, known, "in the settings"):
        raise UsageError(message)
    if not chosen:
        raise UsageError("there is no camera in the settings; add one with: footage cameras add NAME URL")
    for name, camera in chosen.items():
        parse_camera(camera, "the settings")
        if contains_credentials(str(camera["url"])):
            raise UsageError(
                f"camera '{name}': its address holds a password (or another value that may be secret), and shared "
                "cameras must hold none; write ${NAME} in its place and set that variable for every worker"
            )
    await _put(settings, chosen)
    return sorted(chosen)


async def unshare(settings: Settings, names: Sequence[str]) -> None:
    """Have the workers stop watching these cameras; what is indexed of them stays.

    Raises:
        UsageError: one is not shared.
    """
    await _put(settings, dict.fromkeys(names))


async def _put(settings: Settings, cameras: Mapping[str, dict[str, Any] | None]) -> None:
    if settings.store == "embedded":
        raise UsageError("cameras are shared in a cluster; set store: cassandra or astra")
    backend = await Backend.open(settings)
    try:
        catalog = await backend.catalog()
        shared = await catalog.documents(SHARED_CAMERA_KIND)
        for name, camera in cameras.items():
            if camera is None and (message := describe_unknown("shared camera", [name], shared)):
                raise UsageError(message)
            await catalog.put_document(SHARED_CAMERA_KIND, name, camera)
        await catalog.put_document(CHANGE_KIND, SHARED_CAMERA_KIND, {"change": secrets.token_hex(8)})
    finally:
        await backend.close()


class SharedCameras:
    """Reads the shared cameras; a worker asks every other second, so all are read only when they have changed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._change: dict[str, Any] | None = None
        self._read_at, self._found = float("-inf"), list[CameraSettings]()

    async def read(self, reported: set[str]) -> list[CameraSettings]:
        """The shared cameras; one that cannot be watched here, because a variable is not set, is left out.

        Args:
            reported: why some were left out; new reasons are logged and added.
        """
        change, now = await self._catalog.document(CHANGE_KIND, SHARED_CAMERA_KIND), time.monotonic()
        if change != self._change or now - self._read_at > READ_AGAIN:
            self._found = await load_shared_cameras(self._catalog, reported)
            self._change, self._read_at = change, now
        return self._found


async def load_shared_cameras(catalog: Catalog, reported: set[str]) -> list[CameraSettings]:
    """The shared cameras; one that cannot be watched here, because a variable is not set, is left out.

    Args:
        reported: why some were left out; new reasons are logged and added.
    """
    cameras = []
    for document in (await catalog.documents(SHARED_CAMERA_KIND)).values():
        try:
            cameras.append(parse_camera(document, PLACE))
        except SettingsError as error:
            if str(error) not in reported:
                log.error("%s; it is left to the other workers", error)
                reported.add(str(error))
    return cameras
