"""Names and parses segment files: the path alone gives camera, start, duration and clock, so no index is needed.

FOLDER/yard/2026-11-23/20261123T101112.123456Z_10.040000s_rtcp.mp4      finished
FOLDER/yard/2026-11-23/20261123T101112.123456Z_rtcp.mp4.tmp             being written
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from footage.stream.frame import Clock, Kind, Media

NAME_PATTERN = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)(?:_(\d+\.\d{6})s)?_([a-z]+)(\.[a-z0-9]+?)(\.tmp)?")
"""Groups: start, seconds (of a finished one), clock, kind of file, and ``.tmp`` of one that is being written."""

UNFINISHED_SUFFIX = ".tmp"
CLOCK_NAMES = frozenset(clock.value for clock in Clock)


def new_segment(folder: Path, camera: str, start: datetime, clock: Clock, suffix: str) -> Media:
    """Name a new segment, which is to be written; its duration is 0 until it is finished.

    Args:
        folder: of all recordings.
        start: UTC time of its first video frame.
        suffix: of the file, as in ``".mp4"``.
    """
    start = start.astimezone(UTC)
    name = f"{start:%Y%m%dT%H%M%S.%f}Z_{clock}{suffix}{UNFINISHED_SUFFIX}"
    path = folder / camera / f"{start:%Y-%m-%d}" / name
    return Media(segment_id(camera, start), camera, str(path), Kind.SEGMENT, start, clock, 0.0)


def finished_segment(media: Media, duration: float) -> Media:
    """The same segment with its duration, and the path that its file is to be renamed to."""
    path = Path(media.path)
    start, _, clock, suffix, _ = _match(path).groups()
    duration = round(duration, 6)
    return replace(media, path=str(path.with_name(f"{start}_{duration:.6f}s_{clock}{suffix}")), duration=duration)


def parse_path(path: Path | str) -> Media | None:
    """Parse the path of a segment, which is not opened; None when it does not name one."""
    camera, _, name = str(path).rsplit("/", 3)[-3:]
    match = NAME_PATTERN.fullmatch(name)
    if match is None or match[3] not in CLOCK_NAMES or (match[2] is None) != (match[5] is not None):
        return None
    try:
        start = datetime.fromisoformat(match[1])
    except ValueError:
        return None
    duration = float(match[2] or 0)
    return Media(segment_id(camera, start), camera, str(path), Kind.SEGMENT, start, Clock(match[3]), duration)


def is_unfinished(media: Media) -> bool:
    """Whether a segment is being written, or was when its writer died."""
    return media.path.endswith(UNFINISHED_SUFFIX)


def segment_id(camera: str, start: datetime) -> str:
    """The id of the segment of a camera that starts at this time."""
    return hashlib.blake2b(f"{camera}\0{start.astimezone(UTC).isoformat()}".encode(), digest_size=8).hexdigest()


def _match(path: Path) -> re.Match[str]:
    match = NAME_PATTERN.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not named as a segment is")
    return match
