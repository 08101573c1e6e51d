"""Tells by what time footage and audit logs expire, not believing at once a clock that was set forward."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from footage.indexer.cluster.leases import boot_time

log = logging.getLogger(__name__)

MAX_STEP = timedelta(minutes=1)  # a clock that is set forward by less is believed at once
TRUSTED_AFTER = timedelta(days=1)  # a clock that was set forward further is believed when it has stayed so


class ExpiryClock:
    """The time by which footage expires: what a wrong clock deletes is gone when the clock is right again.

    Used in the event loop. A clock that is set back is believed at once: then footage is kept longer. A clock that was
    wrong when the service started cannot be told from a service that was off for long.

    Args:
        now: UTC time of the machine.
        elapsed: seconds of a clock that nobody sets, which counts suspension too.
    """

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), elapsed: Callable[[], float] = boot_time
    ) -> None:
        self._now, self._elapsed = now, elapsed
        self._began = self._read()  # what the machine's clock shows at the other's zero, as it is believed
        self._doubted: tuple[datetime, float] | None = None  # a beginning that is not believed yet, and since when

    def __call__(self) -> datetime:
        """Return the time: the machine's, or while that was set forward, what it would be without."""
        began, elapsed = self._read(), self._elapsed()
        if began - self._began <= MAX_STEP:
            self._began, self._doubted = began, None
        elif self._doubted is None or abs(began - self._doubted[0]) > MAX_STEP:  # or set once more
            self._doubted = began, elapsed
            log.warning(
                "the clock of this machine was set forward by %s: for a day footage and audit logs expire as if it had "
                "not been, because what is deleted does not come back when the clock was wrong",
                timedelta(seconds=round((began - self._began).total_seconds())),
            )
        elif elapsed - self._doubted[1] >= TRUSTED_AFTER.total_seconds():
            self._began, self._doubted = began, None
        return self._began + timedelta(seconds=elapsed)

    def _read(self) -> datetime:
        return self._now() - timedelta(seconds=self._elapsed())
