"""Stores in Cassandra one small row a camera: what every search asks of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from footage.indexer.store.base import CameraSummary
from footage.indexer.store.cassandra.months import FIRST_INSTANT, MonthRows, month_start
from footage.indexer.store.cassandra.session import CassandraSession, Statement
from footage.indexer.store.cassandra.tables import SHARDS, shard_of
from footage.stream.frame import Clock
from footage.stream.instants import from_micros

LIVE_STEP = 10_000_000
"""Microseconds that a live camera's footage may reach beyond its row."""
LIVE_CACHE_SECONDS = 60.0
"""Age at which what this process knows of a live camera's row is read again: another worker may have had it since."""
MAX_CLOCK_STEP = 3_600_000_000
"""Microseconds before a camera's row that are read too: a clock may be set back while the row is narrowed."""
TAIL_ROWS = 100
"""Rows from which the end of a camera's media is found when some were removed."""
FACTS = "version, files, first, last, removed, live_added, live_first, live_last, clocks"
READ_FACTS = f"SELECT {FACTS} FROM @camera_facts WHERE shard = ? AND camera = ?"
WIDEN = (
    "UPDATE @camera_facts SET version = ?, files = ?, first = ?, last = ?, clocks = clocks + ? "
    "WHERE shard = ? AND camera = ? IF version = ?"
)
NOTE_LIVE = (
    "UPDATE @camera_facts SET live_added = ?, live_first = ?, live_last = ?, clocks = clocks + ? "
    "WHERE shard = ? AND camera = ?"
)
NOTE_REMOVED = (
    "UPDATE @camera_facts SET version = ?, files = ?, removed = ?, first = ?, last = ?, live_first = ? "
    "WHERE shard = ? AND camera = ? IF version = ?"
)
EMPTY = (
    "UPDATE @camera_facts SET version = ?, files = 0, removed = ?, first = null, last = null, live_first = null, "
    "live_last = null, clocks = {} WHERE shard = ? AND camera = ? IF version = ?"
)


class Facts(NamedTuple):
    """A camera's row. Times in microseconds.

    ``files``, ``first`` and ``last`` are of files and change by lightweight transactions, which ``version`` counts.
    ``live_added``, ``live_first`` and ``live_last`` are of a live camera's segments and are written by the one service
    that watches the camera. ``removed`` counts segments that were deleted.
    """

    version: int | None = None
    files: int | None = None
    first: int | None = None
    last: int | None = None
    removed: int | None = None
    live_added: int | None = None
    live_first: int | None = None
    live_last: int | None = None
    clocks: Iterable[str] | None = None

    @property
    def media(self) -> int:
        """Number of media; at least one where there is a first time."""
        return max(0 if self.start is None else 1, (self.files or 0) + (self.live_added or 0) - (self.removed or 0))

    @property
    def start(self) -> int | None:
        """No media of the camera begins before."""
        return _least(self.first, self.live_first)

    @property
    def end(self) -> int | None:
        """No media of the camera ends later, but for what a live camera has recorded in the last seconds."""
        return _most(self.last, self.live_last)

    @property
    def first_read(self) -> int:
        """Where reads of the camera's media begin.

        What was deleted lies before: a read from the beginning of a month would walk through all of it until the node
        compacts it away.
        """
        return FIRST_INSTANT if self.start is None else self.start - MAX_CLOCK_STEP


@dataclass(slots=True)
class _LiveFacts:
    added: int
    first: int | None
    last: int | None
    read: float  # monotonic time
    clocks: set[str] = field(default_factory=set)


class CameraRows(MonthRows):
    """Keeps a row a camera with the number of its media, their first and last time, and their clocks.

    The row is widened before media are added and narrowed after media were removed, so that it never ends too early.
    Numbers of a live camera may be off by what a killed service was about to add.
    """

    _session: CassandraSession
    _known_cameras: set[str]
    _live_facts: dict[str, _LiveFacts]

    async def _camera_names(self) -> list[str]:
        return sorted(await self._all_facts())

    async def _all_facts(self) -> dict[str, Facts]:
        cql = f"SELECT camera, {FACTS} FROM @camera_facts WHERE shard IN ?"  # one request: every search waits for it
        return {row[0]: Facts(*row[1:]) for row in await self._session.select(cql, list(range(SHARDS)))}

    async def _add_camera(self, camera: str) -> None:
        if camera not in self._known_cameras:
            await self._session.write("INSERT INTO @camera_facts (shard, camera) VALUES (?, ?)", *facts_key(camera))
            self._known_cameras.add(camera)

    async def _facts(self, camera: str, profile: str = "read") -> Facts:
        found = await self._session.select(READ_FACTS, *facts_key(camera), profile=profile)
        return Facts(*found[0]) if found else Facts()

    async def _widen(self, camera: str, start: int, end: int, clock: str, *, added: int = 0) -> None:
        """Have the row reach over a file's time, in microseconds, and count it with ``added``."""
        facts = await self._facts(camera)
        while added or _is_wider(facts, start, end, clock):
            first, last = _least(start, facts.first), _most(end, facts.last)
            files, version = (facts.files or 0) + added, (facts.version or 0) + 1
            change = (version, files, first, last, {clock}, *facts_key(camera), facts.version)
            if await self._session.execute_if((WIDEN, change)):
                return
            facts = await self._facts(camera, "serial")

    async def _note_live(self, camera: str, start: int, end: int, clock: str, *, added: int) -> None:
        """Note a live camera's segment: ``added`` new ones, from ``start`` to ``end`` in microseconds."""
        known, now = self._live_facts.get(camera), time.monotonic()
        if known is None or now - known.read > LIVE_CACHE_SECONDS:
            facts = await self._facts(camera)
            known = _LiveFacts(facts.live_added or 0, facts.live_first, facts.live_last, now)
        known.added, known.read = known.added + added, now
        if not added and known.last is not None and end <= known.last + LIVE_STEP and clock in known.clocks:
            return
        known.first, known.last = _least(start, known.first), _most(end, known.last)
        self._live_facts[camera] = known
        clocks = {clock} - known.clocks
        known.clocks |= clocks
        await self._session.write(NOTE_LIVE, known.added, known.first, known.last, clocks, *facts_key(camera))

    async def _note_removed(self, camera: str, files: int, segments: int) -> None:
        """Count what was removed, and narrow the row to the media that are left."""
        facts = await self._facts(camera, "serial")
        while True:
            span = await self._media_span(camera, facts.first_read)
            version = (facts.version or 0) + 1
            if span is None:
                change: Statement = (EMPTY, (version, facts.live_added or 0, *facts_key(camera), facts.version))
            else:
                first, last = span
                left, removed = max(0, (facts.files or 0) - files), (facts.removed or 0) + segments
                last = facts.last if last is None or facts.last is None else min(facts.last, last)
                live_first = None if facts.live_first is None else max(first, facts.live_first)
                values = (version, left, removed, first, last, live_first, *facts_key(camera), facts.version)
                change = (NOTE_REMOVED, values)
            if await self._session.execute_if(change):
                self._forget_live(camera, span)
                return
            facts = await self._facts(camera, "serial")

    def _forget_live(self, camera: str, span: tuple[int, int | None] | None) -> None:
        if span is None:
            self._live_facts.pop(camera, None)
        elif known := self._live_facts.get(camera):
            known.first = _most(span[0], known.first)

    async def _media_span(self, camera: str, since: int) -> tuple[int, int | None] | None:
        """Return the start of the first media and the end of the last one, in microseconds; None without media.

        The end is None where only reading all media of a month could tell.

        Args:
            since: no media begins before, in microseconds.
        """
        months = [(month, longest) for month, longest in await self._months(camera) if month_start(month + 1) > since]
        cql = "SELECT given, kind FROM @camera_media WHERE camera = ? AND month = ? AND given >= ? LIMIT 1"
        first = None
        for month, _ in months:
            found = await self._session.select(cql, camera, month, since)
            if found and found[0][1] is not None:
                first = int(found[0][0])
                break
        return None if first is None else (first, await self._media_end(camera, months))

    async def _media_end(self, camera: str, months: list[tuple[int, int]]) -> int | None:
        cql = (
            "SELECT given, since, length FROM @camera_media WHERE camera = ? AND month = ? "
            "ORDER BY given DESC, id DESC LIMIT ?"
        )
        for month, longest in reversed(months):
            rows = [row for row in await self._session.select(cql, camera, month, TAIL_ROWS) if row[1] is not None]
            if rows:
                end = max(since + length for _, since, length in rows)
                whole = len(rows) < TAIL_ROWS and month == months[0][0]
                return end if whole or rows[-1][0] + longest < end else None
        return None


def _least(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _most(*times: int | None) -> int | None:
    return max((time for time in times if time is not None), default=None)


def facts_key(camera: str) -> tuple[int, str]:
    """Return the key of a camera's row: shard and name."""
    return shard_of(camera), camera


def _is_wider(facts: Facts, start: int, end: int, clock: str) -> bool:
    if facts.first is None or facts.last is None:
        return True
    return start < facts.first or end > facts.last or clock not in (facts.clocks or ())


def summarize(camera: str, facts: Facts) -> CameraSummary:
    """Return what a camera's row says of its media."""
    if facts.start is None or facts.end is None:
        return CameraSummary(camera, 0, None, None)
    start, end = from_micros(facts.start), from_micros(facts.end)
    clocks = tuple(clock.value for clock in Clock if clock.value in (facts.clocks or ()))
    return CameraSummary(camera, facts.media, start, end, clocks)
