"""What is known of media, in Cassandra: the media of one camera in one partition, by start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from footage.indexer.store.admission import NONE, PHASES, STEP
from footage.indexer.store.base import CameraSummary, Entry
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.session import Row, Statement, together
from footage.indexer.store.times import micros, moment
from footage.stream.frame import Clock, Kind, Media

SLACK = 60_000_000  # microseconds: more than a start is ever moved on
FACTS = "id, camera, path, kind, since, clock, duration, recipe, done, note"
INSERT = (
    "INSERT INTO @media (camera, given, id, path, kind, clock, since, length, duration, recipe, done, note) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, '')"
)
ADMIT = "UPDATE @media SET version = ?, longest = ? WHERE camera = ? IF version = ?"
ROW = "WHERE camera = ? AND given = ? AND id = ?"


class Place(NamedTuple):
    """The key of a media's row; ``given`` is the start that it first came with (microseconds)."""

    camera: str
    given: int
    id: str


class MediaRows(CameraRows):
    """A media is listed by id (``places``) and by path (``paths``) before its row is made, and after it is removed.

    So a row can always be found, and what is listed without a row is unknown. Every change of a row is a lightweight
    transaction, because only those agree with one another on what came first.
    """

    async def admit(self, media: Media, recipe: str) -> Entry:
        """Make a media known, or return it as it is known already; see ``Catalog.admit``.

        A known media that comes with another recipe keeps its start and is to be done anew.
        """
        place = await self._place(media)
        again = f"UPDATE @media SET recipe = ?, done = false, note = '' {ROW} IF EXISTS"
        while True:
            entry = await self._entry(place)
            if entry is None:
                await self._insert(media, recipe, place)
            elif entry.recipe != recipe:
                await self._session.decide((again, (recipe, *place)))
            else:
                return entry

    async def finish(self, media: str, note: str = "") -> None:
        """Mark a media as wholly indexed."""
        await self._change(media, "done = true, note = ?", note)

    async def media(self, ids: Sequence[str]) -> dict[str, Entry]:
        """Entries by id; unknown ids are left out."""
        found = await together(self._known(id) for id in dict.fromkeys(ids))
        return {entry.media.id: entry for entry in found if entry}

    async def at(self, path: str) -> list[Entry]:
        """Entries whose file is ``path``, in order of start."""
        pages = self._session.pages("id FROM @paths", "path = ?", (path,), "id", ("",)) if path else None
        ids = [id async for page in pages for (id,) in page] if pages else []
        entries = [entry for entry in (await self.media(ids)).values() if entry.media.path == path]
        return sorted(entries, key=lambda entry: (entry.media.start, entry.media.id))

    async def between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Entry]:
        """Entries that overlap [start, end), of these cameras (none named: all), in order of start."""
        first, last = micros(start), micros(end)
        names = sorted(set(cameras)) or await self._names()
        rows = [row for part in await together(self._near(name, first, last, FACTS) for name in names) for row in part]
        entries = [_entry(row[2:]) for row in rows]
        found = [e for e in entries if e.media.start < end and (e.media.start >= start or e.media.end > start)]
        return sorted(found, key=lambda entry: (entry.media.start, entry.media.camera, entry.media.id))

    async def amend(self, media: Media) -> None:
        """The media with this id has another path or duration now; its start stays."""
        before = await self._known(media.id)
        if before is None:
            return
        length = micros(media.end) - micros(media.start)
        await self._list(media.path, media.id)
        await self._lengthen(before.media.camera, length)
        await self._change(media.id, "path = ?, duration = ?, length = ?", media.path, media.duration, length)
        if before.media.path != media.path:
            await self._unlist(before.media.path, media.id)

    async def remove(self, ids: Sequence[str]) -> None:
        """Forget these media rows."""
        await together(self._remove(id) for id in set(ids))

    async def cameras(self) -> list[CameraSummary]:
        """Every camera that has media or coverage, by name; start and end are those of its media."""
        found = await together(self._summary(name) for name in await self._names())
        return [summary for summary in found if summary]

    async def _insert(self, media: Media, recipe: str, place: Place) -> None:
        """Add the row, its start moved on where that is needed, unless another one was admitted meanwhile."""
        version, longest = await self._guard(place.camera)
        given, length = micros(media.start), micros(media.end) - micros(media.start)
        since = given
        if media.kind in (Kind.VIDEO, Kind.PHOTO):  # a live camera's times never repeat
            near = await self._near(place.camera, given, given + length + 1, "since, length")
            since = apart(given, length, [(row[2], row[3]) for row in near])
        await self._list(media.path, media.id)
        row = (*place, media.path, media.kind, media.clock, since, length, media.duration, recipe)
        admitted: Statement = (ADMIT, ((version or 0) + 1, max(longest or 0, length), place.camera, version))
        await self._session.decide(admitted, (INSERT, row))

    async def _place(self, media: Media) -> Place:
        """Where the row of this media is, or is to be made."""
        asked = "SELECT camera, given FROM @places WHERE id = ?"
        while not (found := await self._session.rows(asked, media.id, how="serial")):
            await self._name(media.camera)
            take = "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?) IF NOT EXISTS"
            await self._session.decide((take, (media.id, media.camera, micros(media.start))))
        return Place(found[0][0], found[0][1], media.id)

    async def _guard(self, camera: str) -> tuple[int | None, int | None]:
        """How often media of the camera were admitted, and the longest of them."""
        asked = "SELECT version, longest FROM @media WHERE camera = ? LIMIT 1"
        found = await self._session.rows(asked, camera, how="serial")
        return (found[0][0], found[0][1]) if found else (None, None)

    async def _near(self, camera: str, first: int, last: int, columns: str) -> list[Row]:
        """Rows (given, id, columns) of media that may overlap [first, last)."""
        asked = await self._session.rows("SELECT longest FROM @media WHERE camera = ? LIMIT 1", camera)
        longest = asked[0][0] or 0 if asked else 0
        bounds = (first - longest - SLACK, ""), (last, "")
        found: list[Row] = []
        async for page in self._session.pages(
            f"given, id, {columns} FROM @media", "camera = ?", (camera,), "given, id", *bounds
        ):
            found += page
        return found

    async def _lengthen(self, camera: str, length: int) -> None:
        while True:
            version, longest = await self._guard(camera)
            if version is None or (longest or 0) >= length:
                return
            await self._session.decide((ADMIT, (version + 1, length, camera, version)))

    async def _known(self, id: str) -> Entry | None:
        found = await self._session.rows("SELECT camera, given FROM @places WHERE id = ?", id)
        return await self._entry(Place(found[0][0], found[0][1], id)) if found else None

    async def _entry(self, place: Place) -> Entry | None:
        found = await self._session.rows(f"SELECT {FACTS} FROM @media {ROW}", *place)
        return _entry(found[0]) if found else None

    async def _change(self, id: str, settings: str, *values: object) -> None:
        """Change the row of a media, if it has one."""
        found = await self._session.rows("SELECT camera, given FROM @places WHERE id = ?", id)
        if found:
            cql = f"UPDATE @media SET {settings} {ROW} IF EXISTS"
            while not await self._session.decide((cql, (*values, *found[0], id))):
                if await self._known(id) is None:
                    return

    async def _remove(self, id: str) -> None:
        entry = await self._known(id)
        if entry is not None:
            await self._unlist(entry.media.path, id)
        found = await self._session.rows("SELECT camera, given FROM @places WHERE id = ?", id, how="serial")
        if found:
            place = Place(found[0][0], found[0][1], id)
            while await self._entry(place):
                await self._session.decide((f"DELETE FROM @media {ROW} IF EXISTS", place))
            await self._session.decide(("DELETE FROM @places WHERE id = ? IF EXISTS", (id,)))

    async def _list(self, path: str, id: str) -> None:
        if path:  # a feed has none
            await self._session.write("INSERT INTO @paths (path, id) VALUES (?, ?)", path, id)

    async def _unlist(self, path: str, id: str) -> None:
        if path:
            await self._session.write("DELETE FROM @paths WHERE path = ? AND id = ?", path, id)

    async def _summary(self, camera: str) -> CameraSummary | None:
        rows = await self._near(camera, -NONE // 2, NONE // 2, "since, length, clock")
        if not rows:
            covered = await self._session.rows("SELECT since FROM @coverage WHERE camera = ? LIMIT 1", camera)
            return CameraSummary(camera, 0, None, None) if covered and covered[0][0] is not None else None
        start, end = min(row[2] for row in rows), max(row[2] + row[3] for row in rows)
        clocks = {row[4] for row in rows}
        named = tuple(clock.value for clock in Clock if clock in clocks)
        return CameraSummary(camera, len(rows), moment(start), moment(end), named)


def apart(since: int, length: int, others: Sequence[tuple[int, int]]) -> int:
    """The start, moved on as ``admission.insert`` does, so that records of overlapping media share no time.

    Args:
        since: start in microseconds.
        length: in microseconds.
        others: (since, length) of media of the same camera.
    """
    starts = {start for start, _ in others}
    near = [(start, size) for start, size in others if start <= since + length + SLACK and start + size >= since]
    for shortest in (0, 1):
        phases = {start % PHASES for start, size in near if size >= shortest}
        for moved in range(since, since + PHASES, STEP):
            if moved % PHASES not in phases and moved not in starts:
                return moved
    while since in starts:
        since += STEP
    return since


def _entry(row: Row) -> Entry:
    id, camera, path, kind, since, clock, duration, recipe, done, note = row
    media = Media(id, camera, path, Kind(kind), moment(since), Clock(clock), duration)
    return Entry(media, recipe, bool(done), note)
