"""A segment whose writer was killed, or ran out of disk, is made whole again."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from footage.stream.files.video_file import Film, MediaError, stamp
from footage.stream.frame import Media
from footage.stream.recording import segment

log = logging.getLogger(__name__)

BOXED = frozenset({".mp4", ".mov"})


def salvage(path: Path) -> Media | None:
    """Finish a ``.tmp`` segment: drop what is torn at its end, measure it, and give it its name.

    May be cut short at any moment and done again.

    Returns:
        The finished segment; None when it holds no picture, and then its file is removed.

    Raises:
        OSError: the folder cannot be written to.
    """
    media = segment.parse(path)
    if media is None or not segment.is_open(media):
        raise ValueError(f"{path} is not named as an unfinished segment is")
    if path.with_suffix("").suffix in BOXED:
        _truncate(path)
    duration = _measure(path)
    if duration is None:
        log.warning("%s holds no picture that can be read: it is removed", path)
        path.unlink()
        return None
    return settle(media, duration)


def settle(media: Media, duration: float) -> Media:
    """Make a written segment durable, then give it its name.

    Raises:
        OSError: the disk failed, or is full.
    """
    done = segment.finished(media, duration)
    file = os.open(media.path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)
    Path(media.path).rename(done.path)
    return done


def _truncate(path: Path) -> None:
    """Cut the file behind its last whole fragment."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        whole = max((end for kind, end in _boxes(file, size) if kind == b"mdat"), default=0)
        if whole < size:
            file.truncate(whole)


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of each whole box of the top level (ISO/IEC 14496-12, 4.2)."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, least = int.from_bytes(header[:4]), 8
        if length == 1:
            length, least = int.from_bytes(header[8:16]), 16
        if length < least or at + length > size:
            return
        at += length
        yield header[4:8], at


def _measure(path: Path) -> float | None:
    """Seconds from the first frame to the end of the last, by the packets; None where there are none."""
    try:
        with Film(path) as film:
            shown = sorted(at for packet in film.packets() if (at := stamp(packet)) is not None)
            before, last = shown[-2:] if len(shown) > 1 else (shown[-1], shown[-1])
            end = film.end if film.end > last else 2 * last - before  # FFmpeg 7 leaves out how long the last one is
            return film.offset(end)
    except MediaError:
        return None
