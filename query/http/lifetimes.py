"""Tells whether a session or share still lasts, whatever the clock of this machine is set to meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from footage.indexer.cluster.leases import boot_time

MAX_AHEAD = timedelta(minutes=5)
"""By so much the clock of the machine that made it may be ahead."""
MAX_KNOWN = 100_000


def utc_now() -> datetime:
    """The time by the clock of this machine."""
    return datetime.now(UTC)


class Lifetimes:
    """Remembers when each lasting thing ends, by a clock that nobody sets, from when it is first seen to last.

    So a clock that is set forward ends none of them, and one that is set back makes none longer. What this process has
    not seen is judged by the machine's clock: it does not last before it was made, so no longer than its length.

    Args:
        now: UTC time of the machine.
        elapsed: seconds of a clock that nobody sets.
    """

    def __init__(self, now: Callable[[], datetime] = utc_now, elapsed: Callable[[], float] = boot_time) -> None:
        self.now, self._elapsed = now, elapsed
        self._ends: dict[str, float] = {}

    def lasts(self, name: str, since: datetime, until: datetime) -> bool:
        """Whether what was made at ``since`` still lasts; ``name`` is never given to anything else."""
        elapsed = self._elapsed()
        if (end := self._ends.get(name)) is None:
            now = self.now()
            if not since - MAX_AHEAD <= now < until:
                return False
            while len(self._ends) >= MAX_KNOWN:
                del self._ends[next(iter(self._ends))]
            end = self._ends[name] = elapsed + (until - now).total_seconds()
        return elapsed < end
