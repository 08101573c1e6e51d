"""Parses and formats times, durations and sizes as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import PlainSerializer

from footage.stream.errors import InvalidInput
from footage.stream.instants import from_local

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: object) -> float:
    """Parse ``1s``, ``500ms``, ``2m``, ``1h``, ``7d`` or a bare number of seconds into seconds."""
    if isinstance(text, int | float):
        return float(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*", str(text))
    if not match:
        raise InvalidInput(f"{text!r} is not a length of time; write 1s, 500ms, 2m, 1h or 7d")
    return float(match[1]) * _UNITS[match[2] or "s"]


def parse_time(text: str) -> datetime:
    """Parse a time into UTC: ISO 8601 (without an offset: this machine's zone), ``now`` or ``-2h`` (two hours ago)."""
    text = text.strip()
    try:
        if text == "now" or text.startswith("-"):
            ago = parse_duration(text[1:]) if text != "now" else 0.0
            return datetime.now(UTC) - timedelta(seconds=ago)
        return _parse_iso(text)
    except OverflowError:
        raise InvalidInput(f"{text[:40]!r} is a time that no calendar here reaches") from None


def _parse_iso(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return time.astimezone(UTC) if time.tzinfo else from_local(time)
    except ValueError:
        raise InvalidInput(
            f"{text!r} is not a time; write 2026-05-04T13:30, 2026-05-04T13:30Z or -2h for two hours ago"
        ) from None


def parse_size(text: object) -> int:
    """Parse ``500GB``, ``1.5TB``, ``200 MB`` (powers of 1000), or a bare number into bytes."""
    if isinstance(text, int | float):
        return int(text)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kMGT]?)B?\s*", str(text))
    if not match:
        raise InvalidInput(f"{text!r} is not a size; write 200MB, 500GB or 1.5TB")
    power = " kMGT".index(match[2] or " ")
    return round(float(match[1]) * float(1000**power))


def format_time(time: datetime) -> str:
    """Format a time as ISO 8601 in UTC, with microseconds where there are any, ending in Z."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


Utc = Annotated[datetime, PlainSerializer(format_time, return_type=str)]
"""A UTC time that pydantic serializes as ISO 8601 with Z."""
