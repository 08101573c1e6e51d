"""Finds the UTC time of a file's first frame, and where that time came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.stream.files.named_time import time_in_name
from footage.stream.files.probe import Probe
from footage.stream.frame import Clock, Kind

EARLIEST_PLAUSIBLE = datetime(1990, 1, 1, tzinfo=UTC)  # earlier: a camera clock that was never set (1904, 1970, 1980)
FIRST_PHOTOGRAPH = datetime(1826, 1, 1, tzinfo=UTC)  # a photograph's time may be written by a person
MAX_AHEAD = timedelta(days=1)  # by which a camera's time zone may be wrong


def find_start_time(path: Path, probe: Probe, given: datetime | None) -> tuple[datetime, Clock]:
    """Find the UTC time of a file's first frame.

    Args:
        given: what the user said; a time without a zone is in the machine's. It takes precedence over what the file
            says, that over what its name says, and that over its modification time, which is when the last frame was
            written.
    """
    if given is not None:
        return given.astimezone(UTC), Clock.GIVEN
    earliest = FIRST_PHOTOGRAPH if probe.kind is Kind.PHOTO else EARLIEST_PLAUSIBLE
    if probe.created is not None and is_plausible(created := probe.created.astimezone(UTC), earliest):
        return created, Clock.CONTAINER
    if (named := time_in_name(path)) is not None and is_plausible(named):
        return named, Clock.NAME
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return written - timedelta(seconds=probe.duration), Clock.MTIME


def is_plausible(time: datetime, earliest: datetime = EARLIEST_PLAUSIBLE) -> bool:
    """Whether a time can come from a camera whose clock was set."""
    return earliest <= time <= datetime.now(UTC) + MAX_AHEAD
