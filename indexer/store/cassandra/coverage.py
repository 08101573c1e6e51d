"""Stores coverage in Cassandra: the spans of one camera in one partition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from footage.indexer.store.base import Coverage, CoverageState
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.session import Statement, gather_all
from footage.indexer.store.coverage_spans import CoverageSpan, replace_span
from footage.indexer.store.times import micros
from footage.stream.instants import from_micros

BUMP_VERSION = "UPDATE @coverage SET version = ? WHERE camera = ? IF version = ?"
DELETE_SPAN = "DELETE FROM @coverage WHERE camera = ? AND since = ?"
INSERT_SPAN = "INSERT INTO @coverage (camera, since, until, state, cause) VALUES (?, ?, ?, ?, ?)"
SPAN_COLUMNS = "since, until, state, cause FROM @coverage"
MAX_SPANS = 100  # spans per transaction


class CoverageRows(CameraRows):
    """Changes and reads coverage spans, which do not overlap.

    A change replaces the spans that it touches, if the camera's version is still the one that was read.
    """

    async def set_coverage(self, coverage: Coverage) -> None:
        """Set the coverage of a span; it overwrites the camera's coverage of that time and joins equal neighbors."""
        span = CoverageSpan(micros(coverage.start), micros(coverage.end), coverage.state.value, coverage.cause)
        if span.since < span.until:
            await self._add_camera(coverage.camera)
        await self._replace_span(coverage.camera, span, keep=True)

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """Return the coverage of [start, end) for these cameras (none named: all), clipped, by camera and time."""
        since, until = micros(start), micros(end)
        if since >= until:
            return []
        names = sorted(set(cameras)) or await self._camera_names()
        known = await gather_all(self._between(camera, since, until) for camera in names)
        return [
            Coverage(
                camera,
                from_micros(max(s.since, since)),
                from_micros(min(s.until, until)),
                CoverageState(s.state),
                s.cause,
            )
            for camera, spans in zip(names, known, strict=True)
            for s in spans
            if s.until > since
        ]

    async def clear_coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Delete the coverage of that time, of these cameras (none named: all)."""
        span = CoverageSpan(micros(start), micros(end), "", "")
        await gather_all(
            self._replace_span(camera, span, keep=False) for camera in set(cameras) or await self._camera_names()
        )

    async def _replace_span(self, camera: str, new: CoverageSpan, *, keep: bool) -> None:
        while new.since < new.until:
            asked = "SELECT version FROM @coverage WHERE camera = ? LIMIT 1"
            found = await self._session.select(
                asked, camera, profile="serial"
            )  # read before the spans, because it guards them
            version = found[0][0] if found else None
            touching = await self._between(camera, new.since, new.until + 1, MAX_SPANS + 2)
            part = new if len(touching) <= MAX_SPANS else new._replace(until=touching[MAX_SPANS].since)
            touching = [span for span in touching if span.until >= part.since and span.since <= part.until]
            after = replace_span(touching, part, keep=keep)
            changes = _changes(camera, touching, after)
            guard: Statement = (BUMP_VERSION, ((version or 0) + 1, camera, version))
            if not changes or await self._session.execute_if(guard, *changes):
                new = new._replace(since=part.until)

    async def _between(self, camera: str, since: int, until: int, most: int | None = None) -> list[CoverageSpan]:
        """Return the spans that begin in [since, until), and the one before, which may overlap it."""
        before = f"SELECT {SPAN_COLUMNS} WHERE camera = ? AND since < ? ORDER BY since DESC LIMIT 1"
        found = [CoverageSpan(*row) for row in await self._session.select(before, camera, since)]
        async for page in self._session.select_pages(
            SPAN_COLUMNS, "camera = ?", (camera,), "since", (since,), (until,)
        ):
            found += [CoverageSpan(*row) for row in page]
            if most and len(found) >= most:
                break
        return found


def _changes(camera: str, before: list[CoverageSpan], after: list[CoverageSpan]) -> list[Statement]:
    """Return deletes and inserts; no row gets both, because a delete would win over an insert of its transaction."""
    gone = {span.since for span in before} - {span.since for span in after}
    deletes: list[Statement] = [(DELETE_SPAN, (camera, since)) for since in sorted(gone)]
    return deletes + [(INSERT_SPAN, (camera, *span)) for span in after if span not in before]
