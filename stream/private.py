"""Makes folders and files that only their owner can read, and takes from existing ones what others could read.

A folder that its owner shares with a group on purpose, by the usual sign (``chmod g+ws``: group-writable with the
set-group-ID bit), stays shared with that group, with all that is made in it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

OTHERS, GROUP = stat.S_IRWXO, stat.S_IRWXG
SHARED = stat.S_ISGID | stat.S_IWGRP


def make_folder(path: Path) -> None:
    """Make a folder for its owner alone, whatever the umask is, and the folders above it; one that exists stays."""
    if path.is_dir():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    group = GROUP if _is_shared(path.parent) else 0
    path.mkdir(mode=stat.S_IRWXU | group, exist_ok=True)
    if group:
        with suppress(OSError):
            path.chmod(path.stat().st_mode | group | stat.S_ISGID)


def file_mode(folder: Path) -> int:
    """The mode of a new file in a folder: for its owner, and for the group where the folder is shared."""
    return 0o660 if _is_shared(folder) else 0o600


def make_file(path: Path) -> None:
    """Make an empty file for its owner alone, whatever the umask is; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, file_mode(path.parent))
        finally:
            os.close(descriptor)


def close_folder(folder: Path, is_own: Callable[[str], bool]) -> bool:
    """Take from others what they could read of a folder; returns whether they could.

    What is not owned by this user, links, and entries that are not own stay as they are. So does the folder itself
    while there is anything else in it: then it is somebody's working folder, not one of ours.

    Args:
        is_own: whether an entry of this name is one that this program makes.
    """
    with suppress(OSError):
        with os.scandir(folder) as found:
            entries = list(found)
        taken = GROUP | OTHERS if not _is_shared(folder) else OTHERS
        could_enter = bool(folder.stat().st_mode & taken)
        closed = [_close(Path(entry.path), taken) for entry in entries if is_own(entry.name)]
        if all(is_own(entry.name) for entry in entries) and not folder.stat().st_mode & stat.S_ISVTX:
            closed.append(_close(folder, taken))
        return could_enter and any(closed)
    return False


def _close(path: Path, taken: int) -> bool:
    """Take these permissions from a file or folder; returns whether it had any of them."""
    with suppress(OSError):  # it is gone, or its file system keeps no modes
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid() or not found.st_mode & taken:
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~taken)
        return True
    return False


def _is_shared(folder: Path) -> bool:
    """Whether a folder's owner shares it with a group on purpose."""
    try:
        return folder.stat().st_mode & SHARED == SHARED
    except OSError:
        return False
