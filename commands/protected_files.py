"""Refuses outputs that would replace a recording, for every command that writes a file where the user says."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from footage.commands.data_folder import OWN_ENTRY
from footage.commands.errors import UsageError

if TYPE_CHECKING:
    from footage.config.settings import Settings
    from footage.indexer.store.base import Catalog

OUTPUTS = frozenset({"cache", "demo", "demo.mp4"})
"""What commands leave in the data folder that is no part of the index."""


class ProtectedFiles:
    """The files that no output may replace: footage that an index knows, inputs, and the index itself.

    Files are compared by device and inode, so another name, a link or another case is recognized.

    Args:
        settings: of the index; the files that it consists of are protected too.
        paths: media that the index knows, whether they exist or not, and inputs of the command.
    """

    def __init__(self, settings: Settings, paths: Iterable[str | Path]) -> None:
        from footage.commands.composition import recordings_folder

        self._folders = {settings.data.absolute(), Path(os.path.realpath(settings.data))}
        recordings = recordings_folder(settings)
        self._recordings = {recordings.absolute(), Path(os.path.realpath(recordings))}
        self._paths = {Path(path).absolute() for path in paths}
        self._identities: dict[tuple[int, int], Path] | None = None

    def check(self, out: Path) -> None:
        """Refuse a file to write that is one of them, before anything is written.

        Raises:
            UsageError: names the file and says what to do.
        """
        for path in {out.absolute(), Path(os.path.realpath(out))}:
            if any(path.is_relative_to(folder) for folder in self._recordings):
                raise UsageError(f"{out} is in the folder of recordings; choose another place for the output")
            if path in self._paths:
                raise self._refusal(out, path)
            if self._is_private(path):
                raise UsageError(f"{out} is a part of the index itself; choose another name for the output")
        identity = _identity(out)
        if identity is None:
            return
        if self._identities is None:
            self._identities = {one: path for path in self._paths if (one := _identity(path)) is not None}
        if identity in self._identities:
            raise self._refusal(out, self._identities[identity])

    def _is_private(self, path: Path) -> bool:
        for folder in self._folders:
            if path.is_relative_to(folder) and path != folder:
                name = path.relative_to(folder).parts[0]
                return OWN_ENTRY.fullmatch(name) is not None and name not in OUTPUTS
        return False

    @staticmethod
    def _refusal(out: Path, path: Path) -> UsageError:
        same = "" if out.absolute() == path else f" (the same file as {path})"
        return UsageError(f"{out}{same} is footage of this index; an output never replaces it: choose another name")


async def check_output(settings: Settings, catalog: Catalog, out: Path) -> None:
    """Refuse a file to write that is one of them, before anything is written.

    What is not there can only be footage that is away (a disk that is not mounted), whose name is looked up. What is
    there may be footage by another name, for which all media of the index are read.

    Raises:
        UsageError: names the file and says what to do.
    """
    if _identity(out) is not None:
        protected = await protect_footage(settings, catalog)
    else:
        known = [entry.media.path for name in _names(out) for entry in await catalog.media_at_path(name)]
        protected = ProtectedFiles(settings, known)
    protected.check(out)


def _names(out: Path) -> set[str]:
    return {str(out.absolute()), os.path.realpath(out)}


async def protect_footage(settings: Settings, catalog: Catalog, inputs: Iterable[str | Path] = ()) -> ProtectedFiles:
    """Collect what no output of a command may replace.

    Args:
        catalog: of the index.
        inputs: other files that the command reads.
    """
    from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST

    entries = await catalog.media_between([], DISTANT_PAST, DISTANT_FUTURE)
    return ProtectedFiles(settings, [*inputs, *(entry.media.path for entry in entries)])


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, through links; None when there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino
