"""The query log: who asked what over HTTP, when, and how many were found. One file a day, a line of JSON each."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from footage.query.http.schemas import AuditOut, EntryOut

log = logging.getLogger(__name__)

LONG = 500
"""Characters of a text that are kept: a picture that was sent is not."""
SWEEP = 3600.0
"""Seconds between looks at what is too old."""


class Audit:
    """Keeps entries in a folder that its owner alone can read.

    Args:
        keep: how long; whole days (UTC) that are older are removed.
    """

    def __init__(self, folder: Path, keep: timedelta) -> None:
        self._folder, self._keep = folder, keep

    async def note(self, who: str, what: str, asked: dict[str, Any], found: int | None, status: int = 200) -> None:
        """Append an entry of now. A full disk costs the entry, not the answer; the log says so."""
        entry = EntryOut(time=datetime.now(UTC), who=who, what=what, asked=_short(asked), found=found, status=status)
        try:
            await asyncio.to_thread(self._append, entry)
        except OSError as error:
            log.error("the audit cannot be written: %s", error)

    def _append(self, entry: EntryOut) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{entry.time:%Y-%m-%d}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, entry.model_dump_json().encode() + b"\n")
        finally:
            os.close(file)

    async def entries(self, start: datetime | None = None, end: datetime | None = None, limit: int = 100) -> AuditOut:
        """Entries of [start, end), newest first, at most ``limit``; a line that a crash cut short is left out."""
        return AuditOut(entries=await asyncio.to_thread(self._read, start, end, limit))

    def _read(self, start: datetime | None, end: datetime | None, limit: int) -> list[EntryOut]:
        found: list[EntryOut] = []
        for day, path in reversed(list(self._days())):
            if (start and day < start.date()) or (end and day > end.date()):
                continue
            for line in reversed(path.read_bytes().splitlines()):
                try:
                    entry = EntryOut.model_validate_json(line)
                except ValidationError:
                    continue
                if (start is None or entry.time >= start) and (end is None or entry.time < end):
                    found.append(entry)
                if len(found) == limit:
                    return found
        return found

    def _days(self) -> Iterator[tuple[date, Path]]:
        """Files by day, oldest first."""
        for path in sorted(self._folder.glob("????-??-??.jsonl")):
            try:
                yield date.fromisoformat(path.stem), path
            except ValueError:
                continue

    async def run(self) -> None:
        """Remove what is too old, now and every hour, until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
            except OSError as error:
                log.error("the audit's old days cannot be removed: %s", error)
            await asyncio.sleep(SWEEP)

    def sweep(self) -> None:
        """Remove days that ended longer ago than entries are kept."""
        now = datetime.now(UTC)
        for day, path in list(self._days()):
            if datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) <= now - self._keep:
                path.unlink(missing_ok=True)


def _short(value: Any) -> Any:
    """The same JSON with long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= LONG else value[:LONG] + "..."
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    return [_short(v) for v in value] if isinstance(value, list) else value
