"""Cameras that workers share: in the catalogue, without passwords."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

from footage.commands.backend import Backend
from footage.commands.errors import say
from footage.config import settings as kept
from footage.config.settings import CameraSettings, Settings, SettingsError
from footage.indexer.store.base import Catalog
from footage.stream.live.url import revealing

log = logging.getLogger(__name__)

KIND = "camera"
"""Documents of the catalogue that hold cameras as settings have them, with ``${NAME}`` in place of passwords."""
PLACE = "the shared cameras"


def share(settings: Settings, written: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """Have the workers watch these cameras of the settings; all of them when none is named.

    Args:
        written: the cameras as they are written in the settings.

    Raises:
        SettingsError: a name is not known, or an address holds a password.
    """
    known = {c["name"]: c for c in written}
    chosen: dict[str, dict[str, Any] | None] = {name: known[name] for name in names or known if name in known}
    if missing := [name for name in names if name not in known] or ([] if chosen else ["at all"]):
        raise SettingsError(f"there is no camera {missing[0]} in the settings; there are: {', '.join(known) or 'none'}")
    for name in chosen:
        if revealing(str(known[name]["url"])):
            raise SettingsError(
                f"camera '{name}': its address holds a password (or another value that may be secret), and what is "
                "shared must hold none; write ${NAME} in its place and set that variable for every worker"
            )
    asyncio.run(_put(settings, chosen))
    say(f"shared: {', '.join(sorted(chosen))}; footage serve --worker NAME watches them")


def unshare(settings: Settings, names: Sequence[str]) -> None:
    """Have the workers watch these cameras no longer; what is indexed of them stays."""
    asyncio.run(_put(settings, dict.fromkeys(names)))
    say(f"shared no longer: {', '.join(sorted(names))}; what is indexed of them stays")


async def _put(settings: Settings, cameras: dict[str, dict[str, Any] | None]) -> None:
    if settings.store == "embedded":
        raise SettingsError("cameras are shared in a cluster; set store: cassandra or astra")
    backend = await Backend.open(settings)
    try:
        catalog = await backend.catalog()
        held = await catalog.get(KIND)
        for name, camera in cameras.items():
            if camera is None and name not in held:
                raise SettingsError(f"camera '{name}' is not shared; there are: {', '.join(held) or 'none'}")
            await catalog.put(KIND, name, camera)
    finally:
        await backend.close()


async def cameras(catalog: Catalog, said: set[str]) -> list[CameraSettings]:
    """The shared cameras; one that cannot be watched here, for want of a variable, is left out.

    Args:
        said: why some were left out; what is new is logged and added.
    """
    found = []
    for written in (await catalog.get(KIND)).values():
        try:
            found.append(kept.camera(written, PLACE))
        except SettingsError as error:
            if str(error) not in said:
                log.error("%s; it is left to the other workers", error)
                said.add(str(error))
    return found
