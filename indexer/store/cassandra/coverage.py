"""Stores coverage in Cassandra as notes, in order of writing; reading replays them, so that a note is one write."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.months import month_of, month_start, split_by_month
from footage.indexer.store.cassandra.session import KEYS_PER_QUERY, Statement, gather_all
from footage.indexer.store.coverage_spans import CoverageSpan, replay
from footage.indexer.store.times import micros
from footage.stream.instants import from_micros

INSERT_NOTE = (
    "INSERT INTO @coverage_notes (camera, month, stamp, writer, since, until, state, cause) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
)
DELETE_NOTES = "DELETE FROM @coverage_notes USING TIMESTAMP ? WHERE camera = ? AND month = ?"
FRONT = 60_000_000
"""Microseconds: a note is continued only up to now, where nobody else has noted anything since."""
TIDY_AFTER = 64
"""Notes of one process to a month after which the month is written anew, if that leaves far fewer."""
RECENT_NOTES = 8
"""Notes of a camera and month that this process may still extend."""
OPEN_MONTHS = 4096
"""Cameras' months for which a process remembers its recent notes."""
CLEARED = ""
"""State of a note that says nothing is known."""


@dataclass(slots=True)
class _Note:
    stamp: int
    span: CoverageSpan


@dataclass(slots=True)
class _Month:
    """What this process has noted of a camera's month: the last notes, and how many since it was written anew."""

    recent: deque[_Note] = field(default_factory=lambda: deque(maxlen=RECENT_NOTES))
    count: int = 0


class CoverageRows(CameraRows):
    """Writes and reads coverage.

    A note is a row of its camera's month, and later notes overwrite earlier ones where they overlap. A note that
    continues one of this process up to now, as a live camera's do, is written over that one: so a camera that is
    watched without a break has one row, and no note reads anything or takes a transaction. A note over a whole month
    replaces the month's partition, and a month of many notes that overwrite each other is written anew, as one batch.
    """

    _writer: str
    """Name of this process, so that two notes of the same instant both stay."""
    _noted: OrderedDict[tuple[str, int], _Month]
    _last_stamp: int

    async def set_coverage(self, coverage: Coverage) -> None:
        """Set the coverage of a span; it overwrites the camera's coverage of that time and joins equal neighbors."""
        span = CoverageSpan(micros(coverage.start), micros(coverage.end), coverage.state.value, coverage.cause)
        if span.since < span.until:
            await self._add_camera(coverage.camera)
        await self._write(coverage.camera, span)

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """Return the coverage of [start, end) for these cameras (none named: all), clipped, by camera and time."""
        since, until = micros(start), micros(end)
        if since >= until:
            return []
        names = sorted(set(cameras)) or await self._camera_names()
        groups = [names[i : i + KEYS_PER_QUERY] for i in range(0, len(names), KEYS_PER_QUERY)]
        known: dict[str, list[CoverageSpan]] = {}
        for part in await gather_all(self._spans(group, since, until) for group in groups):
            known |= part
        return [
            Coverage(camera, from_micros(s.since), from_micros(s.until), CoverageState(s.state), s.cause)
            for camera in names
            for s in known.get(camera, ())
        ]

    async def clear_coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Delete the coverage of that time, of these cameras (none named: all)."""
        span = CoverageSpan(micros(start), micros(end), CLEARED, "")
        for camera in set(cameras) or await self._camera_names():
            for month, _ in await self._months(camera):
                since, until = max(span.since, month_start(month)), min(span.until, month_start(month + 1))
                if since < until:
                    await self._write_note(camera, month, span._replace(since=since, until=until))

    async def _write(self, camera: str, span: CoverageSpan) -> None:
        for month, since, until in split_by_month(span.since, span.until):
            await self._add_month(camera, month)
            await self._write_note(camera, month, span._replace(since=since, until=until))

    async def _write_note(self, camera: str, month: int, span: CoverageSpan) -> None:
        now = self._next_stamp()
        if span.since <= month_start(month) and span.until >= month_start(month + 1):
            self._noted.pop((camera, month), None)
            await self._replace(camera, month, [span] if span.state else [], now - 1)
            return
        noted = self._noted.setdefault((camera, month), _Month())
        self._noted.move_to_end((camera, month))
        if len(self._noted) > OPEN_MONTHS:
            self._noted.popitem(last=False)
        note = _find_extensible(noted.recent, span) if span.until > now - FRONT else None
        if note is None:
            note = _Note(now, span)
            noted.recent.append(note)
        else:
            note.span = note.span._replace(until=max(note.span.until, span.until))
        await self._session.write(INSERT_NOTE, camera, month, note.stamp, self._writer, *note.span, now)
        noted.count += 1
        if noted.count >= TIDY_AFTER:
            self._noted.pop((camera, month), None)
            await self._tidy(camera, month)

    async def _tidy(self, camera: str, month: int) -> None:
        """Write a month anew, as its notes leave it, if that leaves far fewer."""
        before = self._next_stamp()  # what others note from now on stays, and counts as later
        notes = (await self._read_notes([camera], month)).get(camera, [])
        spans = [span for span in replay(notes) if span.state]
        if 4 * len(spans) <= len(notes):
            await self._replace(camera, month, spans, before)

    async def _replace(self, camera: str, month: int, spans: Sequence[CoverageSpan], before: int) -> None:
        """Put spans in the place of everything that was noted of a month until ``before``, at once or not at all."""
        changes: list[Statement] = [(DELETE_NOTES, (before, camera, month))]
        for number, span in enumerate(spans):
            writer = f"{self._writer}~{number}"
            changes.append((INSERT_NOTE, (camera, month, before, writer, *span, before + 1)))
        await self._session.write_batch(changes)

    def _next_stamp(self) -> int:
        """Return a time in microseconds that is later than every one before."""
        self._last_stamp = max(self._last_stamp + 2, time.time_ns() // 1000)
        return self._last_stamp

    async def _spans(self, cameras: list[str], since: int, until: int) -> dict[str, list[CoverageSpan]]:
        """Return the spans of [since, until), clipped to it, by camera and time, of at most ``KEYS_PER_QUERY``."""
        asked = "SELECT camera, month FROM @camera_months WHERE camera IN ? AND month >= ? AND month <= ?"
        months: dict[int, list[str]] = {}
        for camera, month in await self._session.select(asked, cameras, month_of(since), month_of(until - 1)):
            months.setdefault(month, []).append(camera)
        parts = await gather_all(self._replay(each, month) for month, each in sorted(months.items()))
        spans: dict[str, list[CoverageSpan]] = {}
        for camera, each in ((camera, each) for part in parts for camera, found in part.items() for each in found):
            if each.until <= since or each.since >= until:
                continue
            span = each._replace(since=max(each.since, since), until=min(each.until, until))
            before = spans.setdefault(camera, [])
            if before and before[-1].until == span.since and before[-1][2:] == span[2:]:
                span = span._replace(since=before.pop().since)
            before.append(span)
        return spans

    async def _replay(self, cameras: list[str], month: int) -> dict[str, list[CoverageSpan]]:
        """Return the spans of a month as its notes leave them, by camera."""
        notes = await self._read_notes(cameras, month)
        return {camera: [span for span in replay(each) if span.state] for camera, each in notes.items()}

    async def _read_notes(self, cameras: list[str], month: int) -> dict[str, list[CoverageSpan]]:
        """Return the notes of a month in order of writing, by camera."""
        cql = "SELECT camera, since, until, state, cause FROM @coverage_notes WHERE camera IN ? AND month = ?"
        notes: dict[str, list[CoverageSpan]] = {}
        for camera, *note in await self._session.select(cql, cameras, month):
            notes.setdefault(camera, []).append(CoverageSpan(*note))
        return notes


def _find_extensible(notes: Sequence[_Note], span: CoverageSpan) -> _Note | None:
    """Return the note that ``span`` continues, if nothing that was noted since then overlaps what is new."""
    later: list[CoverageSpan] = []
    for note in reversed(notes):
        known = note.span
        if known[2:] == span[2:] and known.since <= span.since <= known.until:
            new = span.since, max(span.until, known.until)
            return note if all(other.until <= new[0] or other.since >= new[1] for other in later) else None
        later.append(known)
    return None
