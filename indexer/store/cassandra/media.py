"""Stores media in Cassandra: those of one camera and month in one partition, ordered by start."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from footage.indexer.store.admission import PHASE_PERIOD, START_STEP
from footage.indexer.store.base import CatalogEntry
from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.months import month_of, month_start, split_by_month
from footage.indexer.store.cassandra.removal import MediaRemoval
from footage.indexer.store.cassandra.session import KEYS_PER_QUERY, Row, Statement, gather_all
from footage.indexer.store.times import micros
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import from_micros

MAX_START_SHIFT = 60_000_000  # microseconds: more than a start is ever shifted
OPEN_MEDIA = 4096  # live media whose key a process remembers
LIVE_KINDS = (Kind.SEGMENT, Kind.FEED)
"""Kinds that only the one service that watches their camera writes: their rows need no transactions."""
ENTRY_COLUMNS = "id, camera, path, kind, since, clock, duration, recipe, done, note"
INSERT_MEDIA = (
    "INSERT INTO @camera_media (camera, month, given, id, path, kind, clock, since, length, duration, recipe, done, "
    "note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, '')"
)
GUARD = "UPDATE @camera_media SET version = ? WHERE camera = ? AND month = ? IF version = ?"
ROW_KEY = "WHERE camera = ? AND month = ? AND given = ? AND id = ?"


class MediaKey(NamedTuple):
    """The key of a media's row; ``given`` is its start before any shift (microseconds)."""

    camera: str
    month: int
    given: int
    id: str


class MediaRows(MediaRemoval, CameraRows):
    """Adds, changes and finds media.

    A media is listed by id (``places``), and a file also by path (``paths``), before its row is inserted, and until
    after the row is deleted. So every row can be found, and a listed media without a row does not exist. Rows of files
    are added by lightweight transactions, because several processes may add files of one camera that must not share a
    start; those of a live camera are written by the one service that holds it.
    """

    _open: OrderedDict[str, MediaKey]

    async def add_media(self, media: Media, recipe: str) -> CatalogEntry:
        """Add a media, or return its entry when it exists already; see ``Catalog.add_media``.

        An existing media that comes with another recipe keeps its start and is no longer done.
        """
        key = await self._find_key(media.id)
        if key is None and media.kind in LIVE_KINDS:
            return await self._add_live(media, recipe)
        if key is None:
            key = await self._claim_key(media)
        again = f"UPDATE @camera_media SET recipe = ?, done = false, note = '' {ROW_KEY} IF EXISTS"
        new = 1
        while True:
            entry = await self._entry(key)
            if entry is None:
                await self._insert_file(media, recipe, key, new)
                new = 0
            elif entry.recipe != recipe:
                await self._session.execute_if((again, (recipe, *key)))
            else:
                return entry

    async def finish_media(self, media: str, note: str = "", *, records: int | None = None) -> None:  # noqa: ARG002
        """Mark a media as completely indexed; a cluster keeps copies of its own, and no number of records."""
        await self._change(media, "done = true, note = ?", note)

    async def media(self, ids: Sequence[str]) -> dict[str, CatalogEntry]:
        """Return entries by id; unknown ids are left out."""
        months: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
        for id, camera, given in await self._places(ids):
            months[camera, month_of(given)].append((given, id))
        cql = f"SELECT {ENTRY_COLUMNS} FROM @camera_media WHERE camera = ? AND month = ? AND (given, id) IN ?"
        found = await gather_all(
            self._session.select(cql, *month, keys[i : i + KEYS_PER_QUERY])
            for month, keys in months.items()
            for i in range(0, len(keys), KEYS_PER_QUERY)
        )
        return {row[0]: _entry(row) for rows in found for row in rows if row[3] is not None}

    async def media_at_path(self, path: str) -> list[CatalogEntry]:
        """Return the entries of files at ``path``, in order of start; recorded segments are not found by path."""
        pages = self._session.select_pages("id FROM @paths", "path = ?", (path,), "id", ("",)) if path else None
        ids = [id async for page in pages for (id,) in page] if pages else []
        entries = [entry for entry in (await self.media(ids)).values() if entry.media.path == path]
        return sorted(entries, key=lambda entry: (entry.media.start, entry.media.id))

    async def media_between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[CatalogEntry]:
        """Return the entries that overlap [start, end), of these cameras (none named: all), in order of start."""
        first, last = micros(start), micros(end)
        names = sorted(set(cameras)) or await self._camera_names()
        parts = await gather_all(self._rows_near(name, first, last, ENTRY_COLUMNS) for name in names)
        entries = [_entry(row[2:]) for rows in parts for row in rows if row[5] is not None]
        found = [e for e in entries if e.media.start < end and (e.media.start >= start or e.media.end > start)]
        return sorted(found, key=lambda entry: (entry.media.start, entry.media.camera, entry.media.id))

    async def update_media(self, media: Media) -> None:
        """Set the path and duration of the media with this id; its start stays."""
        length = micros(media.end) - micros(media.start)
        key = self._open.get(media.id)
        if key is None:
            before = await self._find_entry(media.id)
            if before is None:
                return
            key = before[0]
            if before[1].media.kind not in LIVE_KINDS:
                await self._update_file(key, before[1].media, media, length)
                return
        await self._raise_longest(key.camera, key.month, length)
        settings = "path = ?, duration = ?, length = ?"
        await self._session.write(
            f"UPDATE @camera_media SET {settings} {ROW_KEY}", media.path, media.duration, length, *key
        )
        await self._note_live(key.camera, key.given, key.given + length, media.clock.value, added=0)

    async def _update_file(self, key: MediaKey, before: Media, media: Media, length: int) -> None:
        start = micros(before.start)
        await self._add_path(media.path, media.id)
        await self._raise_longest(key.camera, key.month, length + MAX_START_SHIFT)
        await self._widen(key.camera, start, start + length, before.clock.value)
        await self._change(media.id, "path = ?, duration = ?, length = ?", media.path, media.duration, length)
        if before.path != media.path:
            await self._remove_path(before.path, media.id)

    async def _add_live(self, media: Media, recipe: str) -> CatalogEntry:
        """Insert the row of a segment or feed; nobody else adds to its camera's, so no start is shifted."""
        given, length = micros(media.start), micros(media.end) - micros(media.start)
        key = MediaKey(media.camera, month_of(given), given, media.id)
        place = "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?)"
        await asyncio.gather(
            self._session.write(place, media.id, media.camera, given),
            self._add_camera(media.camera),
            self._raise_longest(key.camera, key.month, length),
            self._note_live(key.camera, given, given + length, media.clock.value, added=1),
        )
        row = (*key, media.path, media.kind, media.clock, given, length, media.duration, recipe)
        await self._session.write(INSERT_MEDIA, *row)
        self._open[media.id] = key
        while len(self._open) > OPEN_MEDIA:
            self._open.popitem(last=False)
        return CatalogEntry(media, recipe)

    async def _insert_file(self, media: Media, recipe: str, key: MediaKey, new: int) -> None:
        """Insert the row, with its start shifted where needed, unless another media was added meanwhile.

        Args:
            new: by how much the camera's number of files grows: 0 when it was counted in an attempt before.
        """
        given, length = key.given, micros(media.end) - micros(media.start)
        covered = [month for month, _, _ in split_by_month(given, given + length + 1)]
        await self._raise_longest(key.camera, key.month, length + MAX_START_SHIFT)
        versions = {month: await self._guard_version(key.camera, month) for month in covered}
        since = given
        if media.kind not in LIVE_KINDS:
            near = await self._rows_near(key.camera, given, given + length + 1, "since, length")
            since = separate_start(given, length, [(row[2], row[3]) for row in near if row[2] is not None])
        await self._widen(key.camera, since, since + length, media.clock.value, added=new)
        await self._add_path(media.path, media.id)
        row = (*key, media.path, media.kind, media.clock, since, length, media.duration, recipe)
        await self._insert_guarded(key, versions, (INSERT_MEDIA, row))

    async def _insert_guarded(self, key: MediaKey, versions: dict[int, int | None], insert: Statement) -> None:
        """Insert a row if no file was added to the months that it covers since their versions were read.

        Two files that overlap cover a month together, and each changes the version of all that it covers: so one of
        two at once sees the other, or fails.
        """
        guards = {m: (GUARD, ((v or 0) + 1, key.camera, m, v)) for m, v in versions.items()}
        for month, guard in guards.items():
            if month != key.month and not await self._session.execute_if(guard):
                return
        await self._session.execute_if(guards[key.month], insert)

    async def _claim_key(self, media: Media) -> MediaKey:
        """List the id of a new file, and return the key of its row."""
        take = "INSERT INTO @places (id, camera, given) VALUES (?, ?, ?) IF NOT EXISTS"
        await self._add_camera(media.camera)
        while True:
            await self._session.execute_if((take, (media.id, media.camera, micros(media.start))))
            if key := await self._find_key(media.id, "serial"):
                return key

    async def _guard_version(self, camera: str, month: int) -> int | None:
        """Return the version of the month's files, which counts additions."""
        asked = "SELECT version FROM @camera_media WHERE camera = ? AND month = ? LIMIT 1"
        found = await self._session.select(asked, camera, month, profile="serial")
        return found[0][0] if found else None

    async def _rows_near(self, camera: str, first: int, last: int, columns: str) -> list[Row]:
        """Return the rows (given, id, columns) of media that may overlap [first, last)."""
        first -= MAX_START_SHIFT
        parts = await gather_all(
            self._rows_of_month(camera, month, first - longest, last, columns)
            for month, longest in await self._months(camera)
            if month_start(month) < last and month_start(month + 1) + longest > first
        )
        return [row for part in parts for row in part]

    async def _rows_of_month(self, camera: str, month: int, first: int, last: int, columns: str) -> list[Row]:
        select, where, key = f"given, id, {columns} FROM @camera_media", "camera = ? AND month = ?", "given, id"
        pages = self._session.select_pages(select, where, (camera, month), key, (first, ""), (last, ""))
        return [row async for page in pages for row in page]

    async def _find_key(self, id: str, profile: str = "read") -> MediaKey | None:
        if id in self._open:
            return self._open[id]
        found = await self._session.select("SELECT camera, given FROM @places WHERE id = ?", id, profile=profile)
        return MediaKey(found[0][0], month_of(found[0][1]), found[0][1], id) if found else None

    async def _find_entry(self, id: str) -> tuple[MediaKey, CatalogEntry] | None:
        key = await self._find_key(id)
        entry = await self._entry(key) if key else None
        return (key, entry) if key and entry else None

    async def _entry(self, key: MediaKey) -> CatalogEntry | None:
        found = await self._session.select(f"SELECT {ENTRY_COLUMNS} FROM @camera_media {ROW_KEY}", *key)
        return _entry(found[0]) if found and found[0][3] is not None else None

    async def _change(self, id: str, settings: str, *values: object) -> None:
        """Change the row of a media, if it has one."""
        key = await self._find_key(id)
        if key:
            cql = f"UPDATE @camera_media SET {settings} {ROW_KEY} IF EXISTS"
            while not await self._session.execute_if((cql, (*values, *key))):
                if await self._entry(key) is None:
                    return

    async def _add_path(self, path: str, id: str) -> None:
        if path:  # a feed has none
            await self._session.write("INSERT INTO @paths (path, id) VALUES (?, ?)", path, id)

    async def _remove_path(self, path: str, id: str) -> None:
        if path:
            await self._session.write("DELETE FROM @paths WHERE path = ? AND id = ?", path, id)


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
