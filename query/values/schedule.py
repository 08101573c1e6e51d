"""Restricts times to hours of the day and days of the week, in the time zone of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from footage.stream.errors import InvalidInput
from footage.stream.instants import MICROSECOND, from_local

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = timedelta(days=1)


class BadSchedule(InvalidInput):
    """The text does not name hours or days; the message says how to write them."""


def parse_hours(text: str) -> tuple[int, int]:
    """Parse ``8-18``, or ``22-6`` for over midnight, into two hours; an empty text means the whole day."""
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", text or "0-24")
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if first == last or first > 23 or last > 24:
        raise BadSchedule(f"{text!r} are not hours; write 8-18, or 22-6 for over midnight")
    return first, last


def parse_weekdays(text: str) -> frozenset[int]:
    """Parse ``mon-fri``, ``sat,sun`` or ``fri-mon`` into numbers, Monday 0; an empty text means every day."""
    found: set[int] = set()
    for part in text.lower().split(",") if text else DAYS:
        first, _, last = part.strip().partition("-")
        if first not in DAYS or (last and last not in DAYS):
            raise BadSchedule(f"{text!r} are not days; write mon-fri or sat,sun")
        a, b = DAYS.index(first), DAYS.index(last or first)
        found |= {day % 7 for day in range(a, (b if b >= a else b + 7) + 1)}
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Hours and days on which a watch is active or a search covers; a night belongs to the day on which it begins.

    Attributes:
        hours: ``8-18`` or ``22-6``; empty means all.
        days: ``mon-fri`` or ``sat,sun``; empty means all.

    Raises:
        BadSchedule: hours or days are malformed.
    """

    hours: str = ""
    days: str = ""

    def __post_init__(self) -> None:
        parse_hours(self.hours)
        parse_weekdays(self.days)

    def __bool__(self) -> bool:
        """Whether the schedule restricts anything."""
        return bool(self.hours or self.days)

    def spans(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """Return the allowed parts of the UTC span [start, end): half-open UTC spans, in order, not touching.

        Daylight saving time is followed: the spans are those of the local clock.
        """
        first, last = parse_hours(self.hours)
        allowed = parse_weekdays(self.days)
        day = start.astimezone().date() - _DAY
        found: list[tuple[datetime, datetime]] = []
        while day <= end.astimezone().date():
            if day.weekday() in allowed:
                a = max(start, _local_hour(day, first))
                b = min(end, _local_hour(day if first < last else day + _DAY, last))
                if found and a <= found[-1][1] < b:
                    found[-1] = (found[-1][0], b)
                elif a < b:
                    found.append((a, b))
            day += _DAY
        return found

    def includes(self, at: datetime) -> bool:
        """Whether the schedule allows this instant."""
        return not self or bool(self.spans(at, at + MICROSECOND))


def _local_hour(day: date, hour: int) -> datetime:
    """Return the UTC time at which the local clock shows this hour; 24 is the next day's 0."""
    return from_local(datetime.combine(day + _DAY * (hour // 24), time(hour % 24)))
