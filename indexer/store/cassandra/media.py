"""Stores media in Cassandra: those of one camera in one partition, ordered by start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from footage.indexer.store.admission import MAX_LENGTH, PHASE_PERIOD, START_STEP
from footage.indexer.store.base import CameraSummary, CatalogEntry
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.session import Row, Statement, gather_all
from footage.indexer.store.times import micros
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import from_micros

MAX_START_SHIFT = 60_000_000  # microseconds: more than a start is ever shifted
ENTRY_COLUMNS = "id, camera, path, kind, since, clock, duration, recipe, done, note"
INSERT_MEDIA = (
    "INSERT INTO @media (camera, given, id, path, kind, clock, since, length, duration, recipe, done, note) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, '')"
)
UPDATE_CAMERA = "UPDATE @media SET version = ?, longest = ? WHERE camera = ? IF version = ?"
ROW_KEY = "WHERE camera = ? AND given = ? AND id = ?"


class MediaKey(NamedTuple):
    """The key of a media's row; ``given`` is its start before any shift (microseconds)."""

    camera: str
    given: int
    id: str


class MediaRows(CameraRows):
    """Adds, changes and finds media.

    A media is listed by id (``places``) and by path (``paths``) before its row is inserted, and until after the row is
    deleted. So every row can be found, and a listed media without a row does not exist. Every change of a row is a
    lightweight transaction, because only those agree with each other on their order.
    """

    async def add_media(self, media: Media, recipe: str) -> CatalogEntry:
        """Add a media, or return its entry when it exists already; see ``Catalog.add_media``.

        An existing media that comes with another recipe keeps its start and is no longer done.
        """
        key = await self._claim_key(media)
        again = f"UPDATE @media SET recipe = ?, done = false, note = '' {ROW_KEY} IF EXISTS"
        while True:
            entry = await self._entry(key)
            if entry is None:
                await self._insert(media, recipe, key)
            elif entry.recipe != recipe:
                await self._session.execute_if((again, (recipe, *key)))
            else:
                return entry

    async def finish_media(self, media: str, note: str = "", *, records: int | None = None) -> None:  # noqa: ARG002
        """Mark a media as completely indexed; a cluster keeps copies of its own, and no number of records."""
        await self._change(media, "done = true, note = ?", note)

    async def media(self, ids: Sequence[str]) -> dict[str, CatalogEntry]:
        """Return entries by id; unknown ids are left out."""
        found = await gather_all(self._find_entry(id) for id in dict.fromkeys(ids))
        return {entry.media.id: entry for entry in found if entry}

    async def media_at_path(self, path: str) -> list[CatalogEntry]:
        """Return the entries whose file is ``path``, in order of start."""
        pages = self._session.select_pages("id FROM @paths", "path = ?", (path,), "id", ("",)) if path else None
        ids = [id async for page in pages for (id,) in page] if pages else []
        entries = [entry for entry in (await self.media(ids)).values() if entry.media.path == path]
        return sorted(entries, key=lambda entry: (entry.media.start, entry.media.id))

    async def media_between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[CatalogEntry]:
        """Return the entries that overlap [start, end), of these cameras (none named: all), in order of start."""
        first, last = micros(start), micros(end)
        names = sorted(set(cameras)) or await self._camera_names()
        rows = [
            row
            for part in await gather_all(self._rows_near(name, first, last, ENTRY_COLUMNS) for name in names)
            for row in part
        ]
        entries = [_entry(row[2:]) for row in rows]
        found = [e for e in entries if e.media.start < end and (e.media.start >= start or e.media.end > start)]
        return sorted(found, key=lambda entry: (entry.media.start, entry.media.camera, entry.media.id))

    async def update_media(self, media: Media) -> None:
        """Set the path and duration of the media with this id; its start stays."""
        before = await self._find_entry(media.id)
        if before is None:
            return
        length = micros(media.end) - micros(media.start)
        await self._add_path(media.path, media.id)
        await self._raise_longest(before.media.camera, length)
        await self._change(media.id, "path = ?, duration = ?, length = ?", media.path, media.duration, length)
        if before.media.path != media.path:
            await self._remove_path(before.media.path, media.id)

    async def remove_media(self, ids: Sequence[str]) -> None:
        """Delete these media."""
        await gather_all(self._remove(id) for id in set(ids))

    async def cameras(self) -> list[CameraSummary]:
        """Return every camera that has media or coverage, by name; start and end are those of its media."""
        found = await gather_all(self._summary(name) for name in await self._camera_names())
        return [summary for summary in found if summary]

    async def _insert(self, media: Media, recipe: str, key: MediaKey) -> None:
        """Insert the row, with its start shifted where needed, unless another media was added meanwhile."""
        version, longest = await self._admission_version(key.camera)
        given, length = micros(media.start), micros(media.end) - micros(media.start)
        since = given
        if media.kind in (Kind.VIDEO, Kind.PHOTO):  # a live camera's times never repeat
            near = await self._rows_near(key.camera, given, given + length + 1, "since, length")
            since = separate_start(given, length, [(row[2], row[3]) for row in near])
        await self._add_path(media.path, media.id)
        row = (*key, media.path, media.kind, media.clock, since, length, media.duration, recipe)
        admitted: Statement = (UPDATE_CAMERA, ((version or 0) + 1, max(longest or 0, length), key.camera, version))
        await self._session.execute_if(admitted, (INSERT_MEDIA, row))

    async def _claim_key(self, media: Media) -> MediaKey:
        """Return the key of this media's row, and list the id under it when it is new."""
        asked = "SELECT camera, given FROM @places WHERE id = ?"
        while not (found := await self._session.select(asked, media.id, profile="serial")):
            await self._add_camera(media.camera)
            take = "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?) IF NOT EXISTS"
            await self._session.execute_if((take, (media.id, media.camera, micros(media.start))))
        return MediaKey(found[0][0], found[0][1], media.id)

    async def _admission_version(self, camera: str) -> tuple[int | None, int | None]:
        """Return the version of the camera's media, which counts additions, and the length of the longest."""
        asked = "SELECT version, longest FROM @media WHERE camera = ? LIMIT 1"
        found = await self._session.select(asked, camera, profile="serial")
        return (found[0][0], found[0][1]) if found else (None, None)

    async def _rows_near(self, camera: str, first: int, last: int, columns: str) -> list[Row]:
        """Return the rows (given, id, columns) of media that may overlap [first, last)."""
        asked = await self._session.select("SELECT longest FROM @media WHERE camera = ? LIMIT 1", camera)
        longest = asked[0][0] or 0 if asked else 0
        bounds = (first - longest - MAX_START_SHIFT, ""), (last, "")
        found: list[Row] = []
        async for page in self._session.select_pages(
            f"given, id, {columns} FROM @media", "camera = ?", (camera,), "given, id", *bounds
        ):
            found += page
        return found

    async def _raise_longest(self, camera: str, length: int) -> None:
        while True:
            version, longest = await self._admission_version(camera)
            if version is None or (longest or 0) >= length:
                return
            await self._session.execute_if((UPDATE_CAMERA, (version + 1, length, camera, version)))

    async def _find_entry(self, id: str) -> CatalogEntry | None:
        found = await self._session.select("SELECT camera, given FROM @places WHERE id = ?", id)
        return await self._entry(MediaKey(found[0][0], found[0][1], id)) if found else None

    async def _entry(self, key: MediaKey) -> CatalogEntry | None:
        found = await self._session.select(f"SELECT {ENTRY_COLUMNS} FROM @media {ROW_KEY}", *key)
        return _entry(found[0]) if found else None

    async def _change(self, id: str, settings: str, *values: object) -> None:
        """Change the row of a media, if it has one."""
        found = await self._session.select("SELECT camera, given FROM @places WHERE id = ?", id)
        if found:
            cql = f"UPDATE @media SET {settings} {ROW_KEY} IF EXISTS"
            while not await self._session.execute_if((cql, (*values, *found[0], id))):
                if await self._find_entry(id) is None:
                    return

    async def _remove(self, id: str) -> None:
        entry = await self._find_entry(id)
        if entry is not None:
            await self._remove_path(entry.media.path, id)
        found = await self._session.select("SELECT camera, given FROM @places WHERE id = ?", id, profile="serial")
        if found:
            key = MediaKey(found[0][0], found[0][1], id)
            while await self._entry(key):
                await self._session.execute_if((f"DELETE FROM @media {ROW_KEY} IF EXISTS", key))
            await self._session.execute_if(("DELETE FROM @places WHERE id = ? IF EXISTS", (id,)))

    async def _add_path(self, path: str, id: str) -> None:
        if path:  # a feed has none
            await self._session.write("INSERT INTO @paths (path, id) VALUES (?, ?)", path, id)

    async def _remove_path(self, path: str, id: str) -> None:
        if path:
            await self._session.write("DELETE FROM @paths WHERE path = ? AND id = ?", path, id)

    async def _summary(self, camera: str) -> CameraSummary | None:
        rows = await self._rows_near(camera, -MAX_LENGTH // 2, MAX_LENGTH // 2, "since, length, clock")
        if not rows:
            covered = await self._session.select("SELECT since FROM @coverage WHERE camera = ? LIMIT 1", camera)
            return CameraSummary(camera, 0, None, None) if covered and covered[0][0] is not None else None
        start, end = min(row[2] for row in rows), max(row[2] + row[3] for row in rows)
        clocks = {row[4] for row in rows}
        named = tuple(clock.value for clock in Clock if clock in clocks)
        return CameraSummary(camera, len(rows), from_micros(start), from_micros(end), named)


def separate_start(since: int, length: int, others: Sequence[tuple[int, int]]) -> int:
    """Return the start, shifted as ``admission.insert_media`` does, so that overlapping media share no frame times.

    Args:
        since: start in microseconds.
        length: in microseconds.
        others: (since, length) of media of the same camera.
    """
    starts = {start for start, _ in others}
    near = [
        (start, size) for start, size in others if start <= since + length + MAX_START_SHIFT and start + size >= since
    ]
    for shortest in (0, 1):
        phases = {start % PHASE_PERIOD for start, size in near if size >= shortest}
        for moved in range(since, since + PHASE_PERIOD, START_STEP):
            if moved % PHASE_PERIOD not in phases and moved not in starts:
                return moved
    while since in starts:
        since += START_STEP
    return since


def _entry(row: Row) -> CatalogEntry:
    id, camera, path, kind, since, clock, duration, recipe, done, note = row
    media = Media(id, camera, path, Kind(kind), from_micros(since), Clock(clock), duration)
    return CatalogEntry(media, recipe, bool(done), note)
