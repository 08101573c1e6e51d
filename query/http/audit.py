"""Writes and reads the audit log: who asked what over HTTP, when, with how many results. One JSON Lines file a day."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from footage.query.http.schemas import AuditOut, EntryOut
from footage.stream.private import make_file, make_folder
from footage.stream.recording.wrong_times import WrongTimes

log = logging.getLogger(__name__)

MAX_TEXT = 500
"""Characters that are kept of a text, so that an uploaded picture is not logged."""
CLEANUP_INTERVAL = 3600.0
"""Seconds between removals of expired files."""


class AuditLog:
    """Keeps entries in a folder that only its owner can read.

    Args:
        keep: how long entries are kept; older whole days (UTC) are removed.
    """

    def __init__(self, folder: Path, keep: timedelta) -> None:
        self._folder, self._keep, self._failing = folder, keep, False

    async def append(self, who: str, what: str, asked: dict[str, Any], found: int | None, status: int = 200) -> None:
        """Append an entry with the present time. If the disk is full, the entry is lost and an error is logged."""
        entry = EntryOut(time=datetime.now(UTC), who=who, what=what, asked=_truncate(asked), found=found, status=status)
        try:
            await asyncio.to_thread(self._write, entry)
        except OSError as error:
            if not self._failing:
                log.error("the audit log cannot be written: %s; entries are lost until it can", error)
            self._failing = True
        else:
            self._failing = False

    def _write(self, entry: EntryOut) -> None:
        make_folder(self._folder)
        path = self._folder / f"{entry.time:%Y-%m-%d}.jsonl"
        make_file(path)
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, entry.model_dump_json().encode() + b"\n")
        finally:
            os.close(file)

    async def entries(self, start: datetime | None = None, end: datetime | None = None, limit: int = 100) -> AuditOut:
        """Entries of [start, end), newest first, at most ``limit``; incomplete lines, left by a crash, are skipped."""
        return AuditOut(entries=await asyncio.to_thread(self._read, start, end, limit))

    def _read(self, start: datetime | None, end: datetime | None, limit: int) -> list[EntryOut]:
        found: list[EntryOut] = []
        for day, path in reversed(list(self._files())):
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

    def _files(self) -> Iterator[tuple[date, Path]]:
        """The files with their days, oldest first."""
        for path in sorted(self._folder.glob("????-??-??.jsonl")):
            try:
                yield date.fromisoformat(path.stem), path
            except ValueError:
                continue

    async def run(
        self, clock: Callable[[], datetime] = partial(datetime.now, UTC), wrong: WrongTimes | None = None
    ) -> None:
        """Remove expired files now and every hour, until cancelled.

        Args:
            clock: UTC time by which they expire.
            wrong: what was dated by clocks that were set afterwards.
        """
        while True:
            try:
                await asyncio.to_thread(self.remove_expired, clock(), wrong)
            except OSError as error:
                log.error("old days of the audit log cannot be removed: %s", error)
            await asyncio.sleep(CLEANUP_INTERVAL)

    def remove_expired(self, now: datetime, wrong: WrongTimes | None = None) -> None:
        """Remove the files of days that ended longer ago than entries are kept."""
        wrong = wrong or WrongTimes()
        for day, path in list(self._files()):
            start = datetime(day.year, day.month, day.day, tzinfo=UTC)
            if wrong.latest(start, start + timedelta(days=1)) <= now - self._keep:
                path.unlink(missing_ok=True)


def _truncate(value: Any) -> Any:
    """The same JSON with long texts truncated."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "..."
    if isinstance(value, dict):
        return {k: _truncate(v) for k, v in value.items()}
    return [_truncate(v) for v in value] if isinstance(value, list) else value
