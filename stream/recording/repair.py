"""Finishes segments: makes them durable, and repairs those whose writer was killed or ran out of disk."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from footage.stream.atomic import fsync
from footage.stream.files.top_level import mp4_boxes
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import VideoFile, presentation_time
from footage.stream.frame import Media
from footage.stream.recording import segment

log = logging.getLogger(__name__)

BOX_FORMATS = frozenset({".mp4", ".mov"})


def repair_segment(path: Path) -> Media | None:
    """Repair a ``.tmp`` segment: cut off an incomplete fragment at its end, measure it, and rename it.

    May be interrupted at any moment and run again.

    Returns:
        The finished segment; None when it holds no frame, and then its file is removed.

    Raises:
        OSError: the folder cannot be written to.
    """
    media = segment.parse_path(path)
    if media is None or not segment.is_unfinished(media):
        raise ValueError(f"{path} is not named as an unfinished segment is")
    if path.with_suffix("").suffix in BOX_FORMATS:
        _truncate(path)
    duration = _measure(path)
    if duration is None:
        log.warning("%s holds no frame that can be read: it is removed", path)
        path.unlink()
        return None
    return finish_segment(media, duration)


def finish_segment(media: Media, duration: float) -> Media:
    """Sync a written segment to disk, then rename it.

    Raises:
        OSError: the disk failed, or is full.
    """
    done = segment.finished_segment(media, duration)
    fsync(media.path)
    Path(media.path).rename(done.path)
    return done


def _truncate(path: Path) -> None:
    """Cut the file after its last whole fragment."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        whole = max((box.end for box in mp4_boxes(file, size) if box.kind == b"mdat"), default=0)
        if whole < size:
            file.truncate(whole)


def _measure(path: Path) -> float | None:
    """Seconds from the first frame to the end of the last, by the packets; None where there are none."""
    try:
        with VideoFile(path) as video:
            times = sorted(t for packet in video.packets() if (t := presentation_time(packet)) is not None)
            before, last = times[-2:] if len(times) > 1 else (times[-1], times[-1])
            end = video.end if video.end > last else 2 * last - before  # FFmpeg 7 leaves out the last duration
            return video.offset(end)
    except MediaError:
        return None
