"""Decides which files of a folder are videos and photographs to index."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from footage.stream.files import image_file

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "dav", "flv", "gif", "h264", "h265", "hevc", "m2ts", "m4v", "mjpeg", "mjpg", "mkv"),
        *("mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv"),
    )
)
IGNORE_FILE = ".footageignore"
PASSED_OVER = frozenset(
    name.casefold()
    for name in (
        *("@eaDir", "@Recycle", "@Recently-Snapshot", "@tmp", "#recycle", "#snapshot", "$RECYCLE.BIN", "RECYCLER"),
        *("System Volume Information", "lost+found"),
    )
)
"""Folders of network storage (Synology, QNAP), Windows and Linux that hold thumbnails and what was deleted."""


class FileFilter:
    """Decides which files below a folder are media: by their names, and by where they are.

    Hidden files and folders are left out, and those in which network storage, Windows and cameras keep thumbnails and
    what was deleted (`PASSED_OVER`).

    Args:
        root: the folder.
        exclude: patterns as in a shell, of names or of paths below ``root``: ``*_thumb.jpg``, ``old``, ``2024/*``. A
            file ``.footageignore`` in ``root`` may hold more, one a line; a line that begins with # is a comment.
    """

    def __init__(self, root: Path, exclude: Sequence[str] = ()) -> None:
        self.root = root
        self._exclude = [*exclude, *_read_ignore_file(root / IGNORE_FILE)]

    def is_media(self, path: Path) -> bool:
        """Whether a file is named as a video or a photograph that is read, and is not left out."""
        return path.suffix.lower() in image_file.SUFFIXES | VIDEO_SUFFIXES and not self._is_left_out(path)

    def is_not_read(self, path: Path) -> bool:
        """Whether a file is named as a photograph of a kind that is not read, and is not left out."""
        return path.suffix.lower() in image_file.NOT_READ and not self._is_left_out(path)

    def _is_left_out(self, path: Path) -> bool:
        parts = path.relative_to(self.root).parts
        if any(part.startswith(".") or part.casefold() in PASSED_OVER for part in parts):
            return True
        names = [*parts, *("/".join(parts[:i]) for i in range(2, len(parts) + 1))]
        return any(fnmatchcase(name, pattern.rstrip("/")) for pattern in self._exclude for name in names)


def _read_ignore_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
