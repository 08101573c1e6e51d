"""Defines the ids of moments and frames. An id contains everything needed to find its moment or frame again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from footage.stream.errors import InvalidInput
from footage.stream.frame import Region
from footage.stream.instants import MICROSECOND, from_micros, to_micros

FRAME_PATTERN = r"([\w.-]{1,64})~(-?[0-9]{1,16})(?:~([0-9a-f]{1,8}))?"
MOMENT_PATTERN = r"([\w.-]{1,64})~(-?[0-9]{1,16})~([0-9]{1,13})~([0-9]{1,13})(?:~([0-9a-f]{1,8}))?"
"""Regular expressions that match a whole id."""
_FRAME, _MOMENT = re.compile(FRAME_PATTERN), re.compile(MOMENT_PATTERN)


class BadId(InvalidInput):
    """The text is not the id of a moment or a frame."""


@dataclass(frozen=True, slots=True)
class FrameId:
    """Identifies a record by camera, time and region. Text form ``camera~microseconds[~region]``."""

    camera: str
    time: datetime
    region: Region | None = None

    def __str__(self) -> str:
        return f"{self.camera}~{to_micros(self.time)}" + _region_suffix(self.region)

    @classmethod
    def parse(cls, text: str) -> FrameId:
        """Parse the text form. Raises BadId."""
        if not (m := _FRAME.fullmatch(text)):
            raise BadId(f"{text!r} is not a frame's id; take it from a search's answer")
        try:
            return cls(m[1], from_micros(int(m[2])), _parse_region(m[3]))
        except OverflowError:
            raise BadId(f"{text!r} names a time that does not exist") from None


@dataclass(frozen=True, slots=True)
class MomentId:
    """Identifies a moment. Text form ``camera~start~best-start~end-start[~region]``, in microseconds."""

    camera: str
    start: datetime
    end: datetime
    best: datetime
    region: Region | None = None

    def __str__(self) -> str:
        best, end = (self.best - self.start) // MICROSECOND, (self.end - self.start) // MICROSECOND
        return f"{self.camera}~{to_micros(self.start)}~{best}~{end}" + _region_suffix(self.region)

    @property
    def frame(self) -> FrameId:
        """The id of the best frame."""
        return FrameId(self.camera, self.best, self.region)

    @classmethod
    def parse(cls, text: str) -> MomentId:
        """Parse the text form. Raises BadId."""
        if not (m := _MOMENT.fullmatch(text)):
            raise BadId(f"{text!r} is not a moment's id; take it from a search's answer")
        try:
            start, best, end = (from_micros(int(m[2]) + d) for d in (0, int(m[3]), int(m[4])))
        except OverflowError:
            raise BadId(f"{text!r} names a time that does not exist") from None
        if best > end:
            raise BadId(f"{text!r} ends before its best frame")
        return cls(m[1], start, end, best, _parse_region(m[5]))


def _region_suffix(region: Region | None) -> str:
    return f"~{region.code:x}" if region else ""


def _parse_region(text: str | None) -> Region | None:
    return Region.of(int(text, 16)) if text else None
