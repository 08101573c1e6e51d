"""Which of a camera's time was watched, in Cassandra: spans of one camera in one partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from footage.indexer.store.base import Coverage, State
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.session import Statement, together
from footage.indexer.store.spans import Span, carve
from footage.indexer.store.times import micros, moment

CHANGE = "UPDATE @coverage SET version = ? WHERE camera = ? IF version = ?"
DELETE = "DELETE FROM @coverage WHERE camera = ? AND since = ?"
INSERT = "INSERT INTO @coverage (camera, since, until, state, cause) VALUES (?, ?, ?, ?, ?)"
SPAN = "since, until, state, cause FROM @coverage"
MOST = 100  # spans changed at once


class CoverageRows(CameraRows):
    """Spans that do not overlap; a change replaces those it touches, if the camera's version is still what was read."""

    async def cover(self, coverage: Coverage) -> None:
        """Note a span; it overwrites what was noted of that camera for that time, and joins equal neighbours."""
        span = Span(micros(coverage.start), micros(coverage.end), coverage.state.value, coverage.cause)
        if span.since < span.until:
            await self._name(coverage.camera)
        await self._carve(coverage.camera, span, keep=True)

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """What is known of [start, end) for these cameras (none named: all), clipped to it, by camera and time."""
        since, until = micros(start), micros(end)
        if since >= until:
            return []
        names = sorted(set(cameras)) or await self._names()
        known = await together(self._between(camera, since, until) for camera in names)
        return [
            Coverage(camera, moment(max(s.since, since)), moment(min(s.until, until)), State(s.state), s.cause)
            for camera, spans in zip(names, known, strict=True)
            for s in spans
            if s.until > since
        ]

    async def uncover(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Forget the coverage of that time, of these cameras (none named: all)."""
        span = Span(micros(start), micros(end), "", "")
        await together(self._carve(camera, span, keep=False) for camera in set(cameras) or await self._names())

    async def _carve(self, camera: str, new: Span, *, keep: bool) -> None:
        while new.since < new.until:
            asked = "SELECT version FROM @coverage WHERE camera = ? LIMIT 1"
            found = await self._session.rows(asked, camera, how="serial")  # before the spans: it guards them
            version = found[0][0] if found else None
            touching = await self._between(camera, new.since, new.until + 1, MOST + 2)
            part = new if len(touching) <= MOST else new._replace(until=touching[MOST].since)
            touching = [span for span in touching if span.until >= part.since and span.since <= part.until]
            after = carve(touching, part, keep=keep)
            changes = _changes(camera, touching, after)
            guard: Statement = (CHANGE, ((version or 0) + 1, camera, version))
            if not changes or await self._session.decide(guard, *changes):
                new = new._replace(since=part.until)

    async def _between(self, camera: str, since: int, until: int, most: int | None = None) -> list[Span]:
        """Spans that begin in [since, until), and the one before, which may reach into it."""
        before = f"SELECT {SPAN} WHERE camera = ? AND since < ? ORDER BY since DESC LIMIT 1"
        found = [Span(*row) for row in await self._session.rows(before, camera, since)]
        async for page in self._session.pages(SPAN, "camera = ?", (camera,), "since", (since,), (until,)):
            found += [Span(*row) for row in page]
            if most and len(found) >= most:
                break
        return found


def _changes(camera: str, before: list[Span], after: list[Span]) -> list[Statement]:
    """Inserts overwrite what begins at the same time: a delete in the same transaction would outlive them."""
    gone = {span.since for span in before} - {span.since for span in after}
    deletes: list[Statement] = [(DELETE, (camera, since)) for since in sorted(gone)]
    return deletes + [(INSERT, (camera, *span)) for span in after if span not in before]
