"""Hours of the day and days of the week, in the zone of this machine."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY, _TICK = timedelta(days=1), timedelta(microseconds=1)


class BadSchedule(ValueError):
    """The text is not hours or days; the message says how to write them."""


def hours(text: str) -> tuple[int, int]:
    """``8-18``, or ``22-6`` for over midnight, as two hours; nothing means the whole day."""
    match = re.fullmatch(r"(\d{1,2})-(\d{1,2})", text or "0-24")
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    if first == last or first > 23 or last > 24:
        raise BadSchedule(f"{text!r} are not hours; write 8-18, or 22-6 for over midnight")
    return first, last


def weekdays(text: str) -> frozenset[int]:
    """``mon-fri``, ``sat,sun`` or ``fri-mon`` as numbers, Monday 0; nothing means every day."""
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
    """When something stands or is asked for; a night belongs to the day on which it begins.

    Attributes:
        hours: ``8-18`` or ``22-6``; empty means all.
        days: ``mon-fri`` or ``sat,sun``; empty means all.

    Raises:
        BadSchedule: they are written in another way.
    """

    hours: str = ""
    days: str = ""

    def __post_init__(self) -> None:
        hours(self.hours)
        weekdays(self.days)

    def __bool__(self) -> bool:
        """Whether it restricts anything."""
        return bool(self.hours or self.days)

    def spans(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """What it allows of the half-open UTC span [start, end): half-open UTC spans in order, none touching.

        Clocks that are put forward or back in the night are followed: the spans are those of the local clock.
        """
        first, last = hours(self.hours)
        allowed = weekdays(self.days)
        day = start.astimezone().date() - _DAY
        found: list[tuple[datetime, datetime]] = []
        while day <= end.astimezone().date():
            if day.weekday() in allowed:
                a = max(start, _utc(day, first))
                b = min(end, _utc(day if first < last else day + _DAY, last))
                if found and a <= found[-1][1] < b:
                    found[-1] = (found[-1][0], b)
                elif a < b:
                    found.append((a, b))
            day += _DAY
        return found

    def holds(self, at: datetime) -> bool:
        """Whether it allows this instant."""
        return not self or bool(self.spans(at, at + _TICK))


def _utc(day: date, hour: int) -> datetime:
    """The instant at which the local clock shows this hour; 24 is the next day's 0."""
    return datetime.combine(day + _DAY * (hour // 24), time(hour % 24)).astimezone(UTC)
