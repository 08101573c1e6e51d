"""Names of moments and frames that need no server state: they hold all that is needed to find them again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from footage.stream.frame import Region

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
FRAME = r"([\w.-]{1,64})~(-?[0-9]{1,16})(?:~([0-9a-f]{1,8}))?"
MOMENT = r"([\w.-]{1,64})~(-?[0-9]{1,16})~([0-9]{1,13})~([0-9]{1,13})(?:~([0-9a-f]{1,8}))?"
"""What ids look like, as a whole."""
_FRAME, _MOMENT = re.compile(FRAME), re.compile(MOMENT)


class BadId(ValueError):
    """The text is not the id of a moment or a frame."""


def micros(time: datetime) -> int:
    """Whole microseconds since 1970 UTC."""
    return (time - _EPOCH) // _TICK


def instant(count: int) -> datetime:
    """The UTC time that ``micros`` counted."""
    return _EPOCH + count * _TICK


@dataclass(frozen=True, slots=True)
class FrameId:
    """Camera, time and region: the key of a record. Text form ``camera~microseconds[~region]``."""

    camera: str
    time: datetime
    region: Region | None = None

    def __str__(self) -> str:
        return f"{self.camera}~{micros(self.time)}" + _tail(self.region)

    @classmethod
    def parse(cls, text: str) -> FrameId:
        """Raises BadId."""
        if not (m := _FRAME.fullmatch(text)):
            raise BadId(f"{text!r} is not a frame's id; take it from a search's answer")
        try:
            return cls(m[1], instant(int(m[2])), _region(m[3]))
        except OverflowError:
            raise BadId(f"{text!r} names a time that does not exist") from None


@dataclass(frozen=True, slots=True)
class MomentId:
    """Camera, start, end and best frame. Text form ``camera~start~best-start~end-start[~region]``, in microseconds."""

    camera: str
    start: datetime
    end: datetime
    best: datetime
    region: Region | None = None

    def __str__(self) -> str:
        best, end = (self.best - self.start) // _TICK, (self.end - self.start) // _TICK
        return f"{self.camera}~{micros(self.start)}~{best}~{end}" + _tail(self.region)

    @property
    def frame(self) -> FrameId:
        """The best frame's id."""
        return FrameId(self.camera, self.best, self.region)

    @classmethod
    def parse(cls, text: str) -> MomentId:
        """Raises BadId."""
        if not (m := _MOMENT.fullmatch(text)):
            raise BadId(f"{text!r} is not a moment's id; take it from a search's answer")
        try:
            start, best, end = (instant(int(m[2]) + d) for d in (0, int(m[3]), int(m[4])))
        except OverflowError:
            raise BadId(f"{text!r} names a time that does not exist") from None
        if best > end:
            raise BadId(f"{text!r} ends before its best frame")
        return cls(m[1], start, end, best, _region(m[5]))


def _tail(region: Region | None) -> str:
    return f"~{region.code:x}" if region else ""


def _region(text: str | None) -> Region | None:
    return Region.of(int(text, 16)) if text else None
