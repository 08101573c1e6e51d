"""Stream time to UTC, and where that time came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.stream.files.probe import Probe
from footage.stream.frame import Clock

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)  # earlier ones are clocks that nobody set: 1904, 1970, 1980
AHEAD = timedelta(days=1)  # as far as a camera's zone may be wrong


def start_of(path: Path, probe: Probe, given: datetime | None) -> tuple[datetime, Clock]:
    """UTC time of a file's first frame.

    Args:
        given: what the person says; a time without a zone is in the machine's. It goes before what the file
            says, and that before the file's modification time, which is when the last frame was written.
    """
    if given is not None:
        return given.astimezone(UTC), Clock.GIVEN
    if probe.created is not None and is_sane(created := probe.created.astimezone(UTC)):
        return created, Clock.CONTAINER
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return written - timedelta(seconds=probe.duration), Clock.MTIME


def is_sane(time: datetime) -> bool:
    """Whether a camera whose clock was set could have said so."""
    return EARLIEST <= time <= datetime.now(UTC) + AHEAD
