"""Reads when a recording began from the names of its file and folders, as recorders write them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from pathlib import Path

from footage.stream.instants import from_local

FOLDERS = 4
"""Folders above a file in which a date is looked for: ``2026/05/04/13/00.mp4`` has that many."""

_DATE = r"(?P<year>19\d\d|20\d\d)(?P<d>[-_.]?)(?P<month>0[1-9]|1[0-2])(?P=d)(?P<day>0[1-9]|[12]\d|3[01])"
_TIME = r"(?P<hour>[01]\d|2[0-3])(?P<t>[-_.:h]?)(?P<minute>[0-5]\d)(?:[-_.:m]?(?P<second>[0-5]\d)(?:[._]?\d{3})?s?)?"
_ZONE = r"(?P<zone>Z|UTC|[+-]\d\d:?\d\d)?"
_WHOLE = re.compile(rf"(?<!\d){_DATE}[T_\-. @]{{0,3}}{_TIME}(?!\d){_ZONE}")
_DATE_ALONE = re.compile(rf"(?<!\d){_DATE}(?!\d)")
_FOLDED_DATE = re.compile(r"(?<!\d)(?P<year>19\d\d|20\d\d)/(?P<month>\d\d)/(?P<day>\d\d)(?=/)")
_TIME_ALONE = re.compile(rf"(?<!\d)(?:(?=\d{{6}}|\d\d[-_.:h]\d\d){_TIME})(?!\d)")
_FOLDED_TIME = re.compile(r"/(?P<hour>[01]\d|2[0-3])/(?P<minute>[0-5]\d)(?:[-_.m](?P<second>[0-5]\d))?s?\.\w+$")


def time_in_name(path: Path) -> datetime | None:
    """The UTC time that a file's name tells, alone or with the names of its folders; None when there is none.

    ``front_20260504_133000.mp4``, ``2026-05-04T13:30:00Z.mkv``, ``2026-05-04/13.30.00.mp4`` and ``2026/05/04/13/30.ts``
    are read. A time without a zone is this machine's; in the hour that comes twice in autumn it is the second if the
    file was written then. A date alone is none: it does not say when the recording began.
    """
    if (found := _WHOLE.search(path.stem)) is not None:
        return _time(found.groupdict(), found.groupdict(), path)
    folders = "/".join(["", *path.parts[-1 - FOLDERS : -1], ""])
    day = _FOLDED_DATE.search(folders) or _DATE_ALONE.search(folders)
    if day is None:
        return None
    rest = f"{folders[day.end() :].rstrip('/')}/{path.name}"
    clock = _FOLDED_TIME.search(rest) or _TIME_ALONE.search(path.stem)
    return None if clock is None else _time(day.groupdict(), clock.groupdict(), path)


def _time(day: dict[str, str], clock: dict[str, str], path: Path) -> datetime | None:
    try:
        begun = datetime.combine(
            date(int(day["year"]), int(day["month"]), int(day["day"])),
            datetime.strptime(f"{clock['hour']}{clock['minute']}{clock.get('second') or '00'}", "%H%M%S").time(),
        )
        zone = clock.get("zone") or ""
        if zone in ("Z", "UTC"):
            return begun.replace(tzinfo=UTC)
        if zone:
            return datetime.strptime(f"{begun:%Y%m%d%H%M%S}{zone}", "%Y%m%d%H%M%S%z").astimezone(UTC)
        return _from_local(begun, path)
    except (ValueError, OverflowError):
        return None


def _from_local(begun: datetime, path: Path) -> datetime:
    """Convert a local time; of two that it may be the later one, if the file was written soon after."""
    first, second = from_local(begun), from_local(begun.replace(fold=1))
    if second <= first:  # equal but in autumn; the other way round for a time that is left out in spring
        return first
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return first
    return second if second <= written < second + (second - first) else first
