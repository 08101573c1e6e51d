"""Stores the embedded catalog, of media, coverage, documents and leases, in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from footage.indexer.embed.base import Space
from footage.indexer.store.admission import PHASE_PERIOD, insert_media
from footage.indexer.store.base import CameraSummary, CatalogEntry, Coverage, CoverageState
from footage.indexer.store.coverage_spans import CoverageSpan, replace_span
from footage.indexer.store.database import Database
from footage.indexer.store.space_binding import check_binding
from footage.indexer.store.times import micros
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import from_micros

MIGRATIONS = (
    (
        """CREATE TABLE space (
            one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL, dim INTEGER NOT NULL, fingerprint BLOB NOT NULL
        ) STRICT""",
        """CREATE TABLE media (
            id TEXT PRIMARY KEY, camera TEXT NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, clock TEXT NOT NULL,
            since INTEGER NOT NULL, length INTEGER NOT NULL, duration REAL NOT NULL,
            recipe TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0, note TEXT NOT NULL DEFAULT ''
        ) STRICT""",
        "CREATE INDEX media_path ON media (path)",
        "CREATE INDEX media_since ON media (since)",
        "CREATE INDEX media_length ON media (camera, length)",
        f"CREATE INDEX media_phase ON media (camera, since % {PHASE_PERIOD}, since, length)",
        """CREATE TABLE coverage (
            camera TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
            state TEXT NOT NULL, cause TEXT NOT NULL, PRIMARY KEY (camera, since)
        ) STRICT, WITHOUT ROWID""",
    ),
    (
        """CREATE TABLE document (
            kind TEXT NOT NULL, name TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (kind, name)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE lease (
            name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL, number INTEGER NOT NULL
        ) STRICT""",
    ),
    ("ALTER TABLE media ADD COLUMN records INTEGER",),
    (
        "DROP TABLE lease",
        """CREATE TABLE lease (
            name TEXT PRIMARY KEY, holder TEXT NOT NULL, session TEXT NOT NULL, number INTEGER NOT NULL
        ) STRICT""",
        "CREATE TABLE session (session TEXT PRIMARY KEY, until REAL NOT NULL) STRICT",
    ),
    (  # deliveries in a queue a watch, triggers in a document a camera
        """UPDATE document SET kind =
            iif(json_extract(content, '$.dead'), 'watch-dead/', 'watch-outbox/') || json_extract(content, '$.owner')
            WHERE kind = 'watch-outbox' AND json_type(content, '$.owner') = 'text'""",
        """INSERT INTO document SELECT 'watch-trigger', camera, json_group_object(id, json(saved)) FROM (
            SELECT substr(name, instr(name, '/') + 1) AS camera, json_extract(content, '$.id') AS id,
            json_extract(content, '$.trigger') AS saved FROM document
            WHERE kind = 'watch-state' AND json_type(content, '$.id') = 'text'
        ) GROUP BY camera""",
        "DELETE FROM document WHERE kind IN ('watch-outbox', 'watch-state')",
    ),
)


class SqliteCatalog:
    """A catalog of one data folder, shared by any number of processes.

    Times are stored in microseconds since 1970; leases end by this machine's clock.
    """

    def __init__(self, database: Database) -> None:
        """Use ``open`` instead."""
        self._database = database
        self._cameras: tuple[tuple[int, int], list[CameraSummary]] | None = None

    @classmethod
    async def open(cls, path: Path) -> SqliteCatalog:
        """Open or create the catalog in the file ``path``.

        Raises:
            StoreError: it cannot be read or written, or a newer version of Footage made it.
        """
        return cls(await Database.open(path, MIGRATIONS))

    async def bind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to a space the first time; refuse any other one later with SpaceMismatch."""

        def work(connection: sqlite3.Connection) -> sqlite3.Row:
            connection.execute(
                "INSERT INTO space VALUES (1, ?, ?, ?) ON CONFLICT DO NOTHING", (space.name, space.dim, fingerprint)
            )
            row: sqlite3.Row = connection.execute("SELECT * FROM space").fetchone()
            return row

        row = await self._database.write(work)
        check_binding(Space(row["name"], row["dim"]), row["fingerprint"], space, fingerprint)

    async def bound_space(self) -> Space | None:
        """Return the space that this index is bound to, or None for a new index."""
        rows = await self._database.read("SELECT name, dim FROM space")
        return Space(rows[0]["name"], rows[0]["dim"]) if rows else None

    async def bound_fingerprint(self) -> bytes:
        """Return the fingerprint that this index is bound with; empty for a new index."""
        rows = await self._database.read("SELECT fingerprint FROM space")
        return bytes(rows[0]["fingerprint"]) if rows else b""

    async def rebind_space(self, space: Space, fingerprint: bytes) -> None:
        """Bind this index to another space, atomically."""
        await self._change("INSERT OR REPLACE INTO space VALUES (1, ?, ?, ?)", space.name, space.dim, fingerprint)

    async def add_media(self, media: Media, recipe: str) -> CatalogEntry:
        """Add a media, or return its entry when it exists already; see ``Catalog.add_media``.

        An existing media that comes with another recipe keeps its start and is no longer done.
        """

        def work(connection: sqlite3.Connection) -> sqlite3.Row:
            known = connection.execute("SELECT recipe FROM media WHERE id = ?", (media.id,)).fetchone()
            if known is None:
                insert_media(connection, media, recipe)
            elif known["recipe"] != recipe:
                again = "UPDATE media SET recipe = ?, done = 0, note = '', records = NULL WHERE id = ?"
                connection.execute(again, (recipe, media.id))
            row: sqlite3.Row = connection.execute("SELECT * FROM media WHERE id = ?", (media.id,)).fetchone()
            return row

        return _entry(await self._database.write(work))

    async def finish_media(self, media: str, note: str = "", *, records: int | None = None) -> None:
        """Mark a media as completely indexed, with the number of its records where that is known."""
        await self._change("UPDATE media SET done = 1, note = ?, records = ? WHERE id = ?", note, records, media)

    async def has_records(self) -> bool:
        """Return whether any media is completely indexed and has records; costs little."""
        sql = "SELECT EXISTS (SELECT 1 FROM media WHERE done AND coalesce(records, 1) > 0)"
        return bool((await self._database.read(sql))[0][0])

    async def find_damage(self) -> str:
        """Check every page of the file; return what is wrong, or nothing. Takes a second per 100 MB or so."""
        found = [row[0] for row in await self._database.read("PRAGMA integrity_check(3)")]
        return "" if found == ["ok"] else "; ".join(found)

    async def media(self, ids: Sequence[str]) -> dict[str, CatalogEntry]:
        """Return entries by id; unknown ids are left out."""
        sql = "SELECT * FROM media WHERE id IN (SELECT value FROM json_each(?))"
        return {row["id"]: _entry(row) for row in await self._database.read(sql, json.dumps(list(ids)))}

    async def media_at_path(self, path: str) -> list[CatalogEntry]:
        """Return the entries of files at ``path``, in order of start; recorded segments are not found by path."""
        sql = "SELECT * FROM media WHERE path = ? AND kind IN (?, ?) ORDER BY since, id"
        rows = await self._database.read(sql, path, Kind.VIDEO, Kind.PHOTO)
        return [_entry(row) for row in rows]

    async def media_between(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[CatalogEntry]:
        """Return the entries that overlap [start, end), of these cameras (none named: all), in order of start."""
        among, named = _among(cameras)
        sql = f"""SELECT * FROM media WHERE since >= ? - (SELECT coalesce(max(length), 0) FROM media WHERE {among})
            AND since < ? AND (since >= ? OR since + length > ?) AND {among} ORDER BY since, camera, id"""
        first = micros(start)
        rows = await self._database.read(sql, first, *named, micros(end), first, first, *named)
        return [_entry(row) for row in rows]

    async def update_media(self, media: Media) -> None:
        """Set the path and duration of the media with this id; its start stays."""
        length = micros(media.end) - micros(media.start)
        sql = "UPDATE media SET path = ?, duration = ?, length = ? WHERE id = ?"
        await self._change(sql, media.path, media.duration, length, media.id)

    async def remove_media(self, ids: Sequence[str]) -> None:
        """Delete these media."""
        await self._change("DELETE FROM media WHERE id IN (SELECT value FROM json_each(?))", json.dumps(list(ids)))

    async def set_coverage(self, coverage: Coverage) -> None:
        """Set the coverage of a span; it overwrites the camera's coverage of that time and joins equal neighbors."""
        span = CoverageSpan(micros(coverage.start), micros(coverage.end), coverage.state.value, coverage.cause)
        await self._database.write(lambda connection: _replace_span(connection, coverage.camera, span, keep=True))

    async def coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> list[Coverage]:
        """Return the coverage of [start, end) for these cameras (none named: all), clipped, by camera and time."""
        among, named = _among(cameras)
        since, until = micros(start), micros(end)
        sql = f"""SELECT camera, max(since, ?) AS since, min(until, ?) AS until, state, cause FROM coverage
            WHERE until > ? AND coverage.since < ? AND {among} ORDER BY camera, coverage.since"""
        rows = await self._database.read(sql, since, until, since, until, *named) if since < until else []
        return [
            Coverage(
                row["camera"],
                from_micros(row["since"]),
                from_micros(row["until"]),
                CoverageState(row["state"]),
                row["cause"],
            )
            for row in rows
        ]

    async def clear_coverage(self, cameras: Sequence[str], start: datetime, end: datetime) -> None:
        """Delete the coverage of that time, of these cameras (none named: all)."""
        among, named = _among(cameras)
        span = CoverageSpan(micros(start), micros(end), "", "")

        def work(connection: sqlite3.Connection) -> None:
            for row in connection.execute(f"SELECT DISTINCT camera FROM coverage WHERE {among}", named).fetchall():
                _replace_span(connection, row["camera"], span, keep=False)

        await self._database.write(work)

    async def cameras(self) -> list[CameraSummary]:
        """Return every camera that has media or coverage, by name; start and end are those of its media.

        Every search asks, and the answer takes a look at all media: it is kept until something is written.
        """

        def work(connection: sqlite3.Connection) -> list[CameraSummary]:
            (others,) = connection.execute("PRAGMA data_version").fetchone()  # counts what other connections write
            state = others, connection.total_changes
            if self._cameras is None or self._cameras[0] != state:
                self._cameras = state, _read_cameras(connection)
            return list(self._cameras[1])

        return await self._database.run(work)

    async def put_document(self, kind: str, name: str, document: Mapping[str, Any] | None) -> None:
        """Store a small JSON document under (kind, name); None deletes it."""
        if document is None:
            await self._change("DELETE FROM document WHERE kind = ? AND name = ?", kind, name)
            return
        sql = "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET content = excluded.content"
        await self._change(sql, kind, name, json.dumps(document))

    async def add_document(self, kind: str, name: str, document: Mapping[str, Any]) -> bool:
        """Store a document, unless there is one of this kind and name; returns whether it was stored."""
        row = (kind, name, json.dumps(document))
        sql = "INSERT INTO document VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        return await self._database.write(lambda connection: connection.execute(sql, row).rowcount == 1)

    async def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one document, or None."""
        rows = await self._database.read("SELECT content FROM document WHERE kind = ? AND name = ?", kind, name)
        return dict(json.loads(rows[0]["content"])) if rows else None

    async def documents(self, kind: str, *, first: str = "", limit: int | None = None) -> dict[str, dict[str, Any]]:
        """Return documents of a kind, by name, in order of name: from ``first`` on, and at most ``limit``."""
        sql = "SELECT name, content FROM document WHERE kind = ? AND name >= ? ORDER BY name LIMIT ?"
        rows = await self._database.read(sql, kind, first, -1 if limit is None else limit)
        return {row["name"]: json.loads(row["content"]) for row in rows}

    async def documents_between(self, kind: str, first: str, end: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a kind whose names lie in [first, end), by name in order of name; reads no others."""
        sql = "SELECT name, content FROM document WHERE kind = ? AND name >= ? AND name < ? ORDER BY name"
        return {row["name"]: json.loads(row["content"]) for row in await self._database.read(sql, kind, first, end)}

    async def remove_documents(self, kind: str, before: str = "") -> None:
        """Delete the documents of a kind whose names are before ``before``; all of the kind when it is empty."""
        await self._change("DELETE FROM document WHERE kind = ? AND (? = '' OR name < ?)", kind, before, before)

    async def announce_session(self, session: str, holder: str, seconds: float) -> None:  # noqa: ARG002
        """Begin or renew a session; it ends by itself after ``seconds``."""
        now = time.time()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM session WHERE until < ?", (now,))
            connection.execute("INSERT OR REPLACE INTO session VALUES (?, ?)", (session, now + seconds))

        await self._database.write(work)

    async def end_session(self, session: str) -> None:
        """End a session: its leases are free."""
        await self._change("DELETE FROM session WHERE session = ?", session)

    async def acquire_lease(self, name: str, holder: str, session: str) -> int | None:
        """Take a lease for a session that was announced; return its fencing number, or None while another has it."""

        def work(connection: sqlite3.Connection) -> int | None:
            held = connection.execute("SELECT * FROM lease WHERE name = ?", (name,)).fetchone()
            kept = held is not None and held["holder"] == holder and held["session"] != ""
            if held is not None and not kept:
                alive = "SELECT 1 FROM session WHERE session = ? AND until > ?"
                if connection.execute(alive, (held["session"], time.time())).fetchone():
                    return None
            number = int(held["number"]) + (not kept) if held else 1
            connection.execute("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?)", (name, holder, session, number))
            return number

        return await self._database.write(work)

    async def release_lease(self, name: str, session: str) -> None:
        """Release the lease, if ``session`` has it; its number is not used again."""
        await self._change("UPDATE lease SET session = '' WHERE name = ? AND session = ?", name, session)

    async def close(self) -> None:
        """Release. Calling it twice does no harm."""
        await self._database.close()

    async def _change(self, sql: str, *values: str | float | bytes | None) -> None:
        await self._database.write(lambda connection: connection.execute(sql, values).close())


def _replace_span(connection: sqlite3.Connection, camera: str, span: CoverageSpan, *, keep: bool) -> None:
    if span.until <= span.since:
        return
    touching = connection.execute(
        """SELECT since, until, state, cause FROM coverage WHERE camera = ? AND since <= ? AND until >= ?
        AND since >= coalesce((SELECT max(since) FROM coverage WHERE camera = ? AND since < ?), ?)""",
        (camera, span.until, span.since, camera, span.since, span.since),
    ).fetchall()
    before = [CoverageSpan(*row) for row in touching]
    connection.executemany("DELETE FROM coverage WHERE camera = ? AND since = ?", [(camera, s.since) for s in before])
    after = replace_span(before, span, keep=keep)
    connection.executemany("INSERT INTO coverage VALUES (?, ?, ?, ?, ?)", [(camera, *each) for each in after])


def _read_cameras(connection: sqlite3.Connection) -> list[CameraSummary]:
    sql = """SELECT camera, count(id) AS media, min(since) AS since, max(since + length) AS until,
        group_concat(DISTINCT clock) AS clocks FROM (
            SELECT camera, id, since, length, clock FROM media
            UNION ALL SELECT DISTINCT camera, NULL, NULL, NULL, NULL FROM coverage
        ) GROUP BY camera ORDER BY camera"""
    return [_summary(row) for row in connection.execute(sql)]


def _among(cameras: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the SQL condition, and its values, that a row is of one of these cameras; of any when none is named."""
    if not cameras:
        return "true", ()
    return "camera IN (SELECT value FROM json_each(?))", (json.dumps(list(cameras)),)


def _entry(row: sqlite3.Row) -> CatalogEntry:
    start, kind, clock = from_micros(row["since"]), Kind(row["kind"]), Clock(row["clock"])
    media = Media(row["id"], row["camera"], row["path"], kind, start, clock, row["duration"])
    return CatalogEntry(media, row["recipe"], bool(row["done"]), row["note"], row["records"])


def _summary(row: sqlite3.Row) -> CameraSummary:
    if not row["media"]:
        return CameraSummary(row["camera"], 0, None, None)
    found = (row["clocks"] or "").split(",")
    clocks = tuple(clock.value for clock in Clock if clock in found)
    return CameraSummary(row["camera"], row["media"], from_micros(row["since"]), from_micros(row["until"]), clocks)
