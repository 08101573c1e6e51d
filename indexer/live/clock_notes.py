"""Notes beside what was watched that this machine's clock was set afterwards, so that its times may be wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from footage.indexer.cluster.leases import boot_time
from footage.indexer.store.base import Catalog, Coverage, CoverageState
from footage.stream.live.clock import is_new_timeline

SETTLED = timedelta(seconds=30)
"""After this time what was watched before the clock was set has been noted by the cameras' readers."""
LONGEST = timedelta(days=1)
"""A clock that has run for longer was right, or was told by somebody: nothing is noted beside what came before."""
MAX_WAITING = 16


class CoverageNotes(Protocol):
    """Takes notes for the catalog."""

    def set_coverage(self, coverage: Coverage) -> None:
        """Note what was watched."""
        ...


@dataclass(frozen=True, slots=True)
class _Setting:
    """The clock was set by ``step`` when it showed ``end`` and had run since ``start``; noted from ``due`` on."""

    start: datetime
    end: datetime
    step: timedelta
    due: float


class ClockNotes:
    """Looks whether the clock was set; what each camera watched by the clock before gets that as a cause.

    Used in the event loop. The machine started with a wrong clock, and a time server set it minutes later, or somebody
    set it by hand: which of the two clocks was right is not known, so nothing is moved.

    Args:
        notes: where it is noted.
        now: UTC time of the machine.
        elapsed: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        catalog: Catalog,
        notes: CoverageNotes,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = boot_time,
    ) -> None:
        self._catalog, self._notes, self._now, self._elapsed = catalog, notes, now, elapsed
        self._since, self._began = now(), self._read()
        self._waiting: list[_Setting] = []

    async def look(self, cameras: Sequence[str]) -> None:
        """Look now, as every few seconds.

        Raises:
            StoreError: what was watched cannot be read; it is read the next time.
        """
        now, began, elapsed = self._now(), self._read(), self._elapsed()
        step, self._began = began - self._began, began
        if is_new_timeline(step.total_seconds()):
            if timedelta() < now - step - self._since <= LONGEST:
                self._waiting.append(_Setting(self._since, now - step, step, elapsed + SETTLED.total_seconds()))
                del self._waiting[:-MAX_WAITING]
            self._since = now
        while self._waiting and elapsed >= self._waiting[0].due:
            await self._note(self._waiting[0], cameras)
            del self._waiting[0]

    async def _note(self, setting: _Setting, cameras: Sequence[str]) -> None:
        way = "forward" if setting.step > timedelta() else "back"
        cause = f"by a clock that was then set {way} by {timedelta(seconds=round(abs(setting.step).total_seconds()))}"
        again = setting.end + setting.step  # what it shows since then, where it was set back: that is not meant
        spans = [(setting.start, min(again, setting.end)), (max(setting.start, again + 2 * SETTLED), setting.end)]
        for start, end in spans if setting.step < timedelta() else [(setting.start, setting.end)]:
            known = await self._catalog.coverage(cameras, start, end) if cameras and start < end else []
            for span in known:
                if span.state is CoverageState.WATCHED:
                    self._notes.set_coverage(Coverage(span.camera, span.start, span.end, span.state, cause))

    def _read(self) -> datetime:
        return self._now() - timedelta(seconds=self._elapsed())
