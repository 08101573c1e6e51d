"""Tells by what time footage and audit logs expire, not believing at once a clock that was set, or one at a boot."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from footage.indexer.cluster.leases import boot_time
from footage.stream.atomic import atomic_write
from footage.stream.private import make_file
from footage.stream.recording.wrong_times import WrongSpan, WrongTimes

log = logging.getLogger(__name__)

MAX_STEP = timedelta(minutes=1)  # a clock that is set by less is believed at once
TRUSTED_AFTER = timedelta(days=1)  # a clock that was set further is believed when it has stayed so
BOOT_TRUSTED_AFTER = timedelta(hours=1)  # at a boot, of a machine that seems to have been off for less than that
NOTED_EVERY = 600.0  # seconds
FIRST_RELEASE = datetime(2026, 1, 1, tzinfo=UTC)  # no clock that shows less is right
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class ExpiryClock:
    """The time by which footage expires: what a wrong clock deletes is gone when the clock is right again.

    Used in the event loop. While the machine's clock is behind what is believed, it counts: then footage is kept
    longer. One that is ahead is believed when it has stayed so: it may be wrong.

    What is believed is kept in a file, so that a machine without a battery, whose clock is right only minutes after its
    boot, is not believed either. A machine that was off seems to have been set forward: its footage expires that much
    later for an hour, or for a day where it was off for longer than a day.

    What was dated by a clock that was set afterwards expires by its true age: ``wrong`` knows the spans.

    Args:
        now: UTC time of the machine.
        elapsed: seconds of a clock that nobody sets, which counts suspension too, since the machine's boot.
        file: where what is believed is kept; None: the clock that the machine shows at the start is believed.
        boot: names the boot; empty where that is not known.

    Attributes:
        problem: that the machine's clock is behind what it showed before, for people; empty when it is not.
        wrong: what was dated by clocks that were set afterwards, or known to be behind.
    """

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        elapsed: Callable[[], float] = boot_time,
        file: Path | None = None,
        boot: str | None = None,
    ) -> None:
        self._file, self._now, self._elapsed = file, now, elapsed
        self._boot = _read_boot() if boot is None else boot
        self._began = self._read()  # what the machine's clock shows at the other's zero, as it is believed
        self._doubted: tuple[datetime, float] | None = None  # a beginning that is not believed yet, and since when
        self._left = TRUSTED_AFTER  # for how long it must stay so
        self._noted = float("-inf")
        self.problem = ""
        self.wrong = WrongTimes()
        self._line, self._since = self._began, self._now()  # what the machine's clock shows, and since which time
        self._take_over()

    def __call__(self) -> datetime:
        """Return the time: the machine's, or while that was set forward, what it would be without."""
        began, elapsed = self._read(), self._elapsed()
        self._note_step(began, elapsed)
        if abs(began - self._began) <= MAX_STEP:
            self._began, self._doubted, self._left = began, None, TRUSTED_AFTER
        elif self._doubted is None or abs(began - self._doubted[0]) > MAX_STEP:  # or set once more
            if self._doubted is not None:
                self._left = TRUSTED_AFTER
            self._doubt(began, elapsed)
        elif elapsed - self._doubted[1] >= self._left.total_seconds():
            self._began, self._doubted, self._left = began, None, TRUSTED_AFTER
        behind = began - self._began < -MAX_STEP
        if not behind:
            self.problem = ""
        if self.wrong.is_open and not behind and began + timedelta(seconds=elapsed) >= FIRST_RELEASE:
            self.wrong.close(began + timedelta(seconds=elapsed))
            self._noted = float("-inf")
        self._note(elapsed)
        return min(began, self._began) + timedelta(seconds=elapsed)

    def _note_step(self, began: datetime, elapsed: float) -> None:
        """Note what the clock has shown until now where it was set."""
        step, self._line = began - self._line, began
        if abs(step) > MAX_STEP:
            shown = began + timedelta(seconds=elapsed)
            self.wrong.set_by(step, self._since, shown - step)
            self._since, self._noted = shown, float("-inf")

    def _doubt(self, began: datetime, elapsed: float) -> None:
        self._doubted = began, elapsed
        if began > self._began:
            log.warning(
                "the clock of this machine was set forward by %s, or it was off for so long: for %.3g hours footage "
                "and audit logs expire as if it had not, because what is deleted does not come back when the clock "
                "was wrong",
                timedelta(seconds=round((began - self._began).total_seconds())),
                self._left / timedelta(hours=1),
            )
        else:
            last = (self._began + timedelta(seconds=elapsed)).isoformat(timespec="seconds")
            self.problem = (
                f"the clock of this machine is behind: it showed {last} before; new footage may have wrong times until "
                "it is set (NTP)"
            )
            log.warning(self.problem)

    def _read(self) -> datetime:
        return self._now() - timedelta(seconds=self._elapsed())

    def _take_over(self) -> None:
        """Go on with what was believed when this was last noted, in this boot of the machine or before."""
        known = self._load()
        if known is None:
            return
        self.wrong = known["wrong"]
        if known["boot"] and known["boot"] == self._boot:
            self._began, self._left = known["began"], max(BOOT_TRUSTED_AFTER, known["left"])
            self._line, self._since = known["line"], known["since"]
            return
        if known["line"] < known["began"] - MAX_STEP or known["shown"] < FIRST_RELEASE:  # it was behind to the end
            self.wrong.open(known["since"], known["shown"] + timedelta(seconds=NOTED_EVERY))
        self._began = known["time"] - timedelta(seconds=self._elapsed())
        off = abs(self._read() - self._began)
        needed = BOOT_TRUSTED_AFTER if off < TRUSTED_AFTER else TRUSTED_AFTER
        self._left = max(BOOT_TRUSTED_AFTER, min(needed, known["left"]))

    def _load(self) -> dict[str, Any] | None:
        try:
            known = json.loads(self._file.read_bytes()) if self._file else None
            if known is None:
                return None
            times = {name: _parse_time(known[name]) for name in ("began", "time")}
            for name, older in (("line", "began"), ("since", "time"), ("shown", "time")):  # files of before
                times[name] = _parse_time(known.get(name, known[older]))
            spans = [WrongSpan(_parse_time(a), _parse_time(b), _parse_offset(c)) for a, b, c in known.get("wrong", ())]
            left = timedelta(seconds=float(known["left"]))
            return {"boot": str(known["boot"]), "left": left, "wrong": WrongTimes(spans), **times}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            log.warning("%s cannot be read (%s): the clock of this machine is believed", self._file, error)
            return None

    def _note(self, elapsed: float) -> None:
        """Keep what is believed, every few minutes."""
        if elapsed - self._noted < NOTED_EVERY:
            return
        self._noted = elapsed
        if self._file is None:
            return
        waited = timedelta(seconds=elapsed - self._doubted[1]) if self._doubted else timedelta()
        content = {
            "boot": self._boot,
            "began": self._began.isoformat(),
            "time": (self._began + timedelta(seconds=elapsed)).isoformat(),
            "left": (self._left - waited).total_seconds(),
            "line": self._line.isoformat(),
            "since": self._since.isoformat(),
            "shown": (self._line + timedelta(seconds=elapsed)).isoformat(),
            "wrong": [
                [s.start.isoformat(), s.end.isoformat(), None if s.offset is None else s.offset.total_seconds()]
                for s in self.wrong.spans
            ],
        }
        with suppress(OSError), atomic_write(self._file) as draft:  # a full disk is told elsewhere
            make_file(draft)
            draft.write_text(json.dumps(content))


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _parse_offset(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _read_boot() -> str:
    with suppress(OSError):
        return BOOT_ID.read_text().strip()
    return ""
