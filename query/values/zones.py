"""Names the time zone of this machine."""

from __future__ import annotations

import os
import zoneinfo
from datetime import datetime
from pathlib import Path

LOCALTIME = Path("/etc/localtime")


def local_zone() -> str:
    """The IANA name of this machine's zone, like ``Europe/Berlin``; where it is not told, the present offset."""
    candidates = [os.environ.get("TZ", "").removeprefix(":")]
    if LOCALTIME.is_symlink():
        candidates.append(str(LOCALTIME.resolve()).rpartition("zoneinfo/")[2])
    for name in candidates if not candidates[0] else candidates[:1]:
        try:
            if name and zoneinfo.ZoneInfo(name):
                return name
        except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
            continue
    return datetime.now().astimezone().isoformat()[-6:]
