"""Says that a file cannot be read as video, why, and what a person can do about it."""

from __future__ import annotations

from pathlib import Path

from footage.stream.errors import FootageError
from footage.stream.printable import printable

PLAYLIST = "is a playlist, not a video; index the files that it names, or its address as a camera"


class MediaError(FootageError):
    """A file that cannot be read, or not to its end.

    Attributes:
        path: the file.
        reason: what is wrong with it and what to do.
        readable_until: seconds from the first frame up to which it was read, or None when nothing was.
    """

    http_status = 409

    def __init__(self, path: Path | str, reason: str, readable_until: float | None = None) -> None:
        super().__init__(f"{printable(path)}: {reason}")
        self.path = Path(path)
        self.reason = reason
        self.readable_until = readable_until


def is_playlist(path: Path) -> bool:
    """Whether a file is an HLS playlist: FFmpeg, which may open files only, would try forever to get its key.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"#EXTM3U")


def describe_reason(error: BaseException) -> str:
    """FFmpeg's or the system's words for an error, without a path."""
    return getattr(error, "strerror", None) or str(error)


def suggest_action(path: Path) -> str:
    """What may be wrong with a file that is no video, and what to do."""
    try:
        if path.stat().st_size == 0:
            return "the file is empty"
    except OSError:
        return "check that it is there and readable"
    return "it is damaged, cut short or not a video; copy it again, or leave it out"
