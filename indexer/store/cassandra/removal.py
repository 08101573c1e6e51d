"""Removes media from Cassandra: what retention deletes leaves one range of deleted rows, not a mark a row."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from footage.indexer.store.cassandra.cameras import CameraRows
from footage.indexer.store.cassandra.months import month_of
from footage.indexer.store.cassandra.session import KEYS_PER_QUERY, CassandraSession, gather_all
from footage.stream.frame import Kind

FILE_KINDS = {Kind.VIDEO.value, Kind.PHOTO.value}
PARTITION = "camera = ? AND month = ?"


class MediaRemoval(CameraRows):
    """Deletes rows of media.

    Segments that follow one another are deleted as one range of keys, and as one that begins with the partition when
    nothing is before them: such ranges swallow each other, so a reader meets one of them, however long retention has
    run. Files, which transactions added, are deleted by transactions, one at a time.
    """

    _session: CassandraSession
    _open: OrderedDict[str, Any]

    async def remove_media(self, ids: Sequence[str]) -> None:
        """Delete these media."""
        places = await self._places(ids)
        months: dict[tuple[str, int], dict[tuple[int, str], None]] = defaultdict(dict)
        for id, camera, given in places:
            self._open.pop(id, None)
            months[camera, month_of(given)][given, id] = None
        removed: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        since = {camera: (await self._facts(camera)).first_read for camera in {camera for camera, _ in months}}
        for (camera, month), keys in months.items():
            files, segments = await self._remove_rows(camera, month, set(keys), since[camera])
            removed[camera][0] += files
            removed[camera][1] += segments
        gone = "DELETE FROM @places WHERE id IN ?"
        await gather_all(self._session.write(gone, group) for group in _groups([id for id, _, _ in places]))
        for camera, (files, segments) in removed.items():
            await self._note_removed(camera, files, segments)

    async def _places(self, ids: Sequence[str]) -> list[tuple[str, str, int]]:
        """Return (id, camera, given) of the ids that are listed."""
        cql = "SELECT id, camera, given FROM @places WHERE id IN ?"
        parts = await gather_all(self._session.select(cql, group) for group in _groups(list(dict.fromkeys(ids))))
        return [(id, camera, given) for part in parts for id, camera, given in part]

    async def _remove_rows(self, camera: str, month: int, keys: set[tuple[int, str]], since: int) -> tuple[int, int]:
        """Delete rows of a month, none of which begins before ``since``; returns how many files and segments."""
        first, last = min(keys), max(keys)
        select, key = "given, id, kind, path FROM @camera_media", "given, id"
        pages = self._session.select_pages(select, PARTITION, (camera, month), key, first, (last[0] + 1, ""))
        rows = [row async for page in pages for row in page if row[1] is not None]
        before = f"SELECT given FROM @camera_media WHERE {PARTITION} AND given >= ? AND given < ? LIMIT 1"
        earlier = await self._session.select(before, camera, month, min(since, first[0]), first[0])
        leading = not [row for row in earlier if row[0] is not None]
        files = segments = 0
        for kind, run in groupby(rows, key=lambda row: _removal(row, keys)):
            part = list(run)
            if kind == "file":
                files += len(part)
                for row in part:
                    await self._remove_file(camera, month, row)
            elif kind == "segment":
                segments += len(part)
                begin = (-(1 << 62), "") if leading and part[0] is rows[0] else tuple(part[0][:2])
                inside = "(given, id) >= (?, ?) AND (given, id) <= (?, ?)"
                cql = f"DELETE FROM @camera_media WHERE {PARTITION} AND {inside}"
                await self._session.write(cql, camera, month, *begin, *part[-1][:2])
        return files, segments

    async def _remove_file(self, camera: str, month: int, row: tuple[Any, ...]) -> None:
        given, id, _, path = row
        key = (camera, month, given, id)
        there = f"SELECT id FROM @camera_media WHERE {PARTITION} AND given = ? AND id = ?"
        gone = f"DELETE FROM @camera_media WHERE {PARTITION} AND given = ? AND id = ? IF EXISTS"
        while await self._session.select(there, *key, profile="serial"):
            await self._session.execute_if((gone, key))
        if path:
            await self._session.write("DELETE FROM @paths WHERE path = ? AND id = ?", path, id)


def _groups(ids: list[str]) -> list[list[str]]:
    return [ids[i : i + KEYS_PER_QUERY] for i in range(0, len(ids), KEYS_PER_QUERY)]


def _removal(row: tuple[Any, ...], keys: set[tuple[int, str]]) -> str:
    """Return how a row is removed: as a file, as a segment, or not at all."""
    if (row[0], row[1]) not in keys:
        return ""
    return "file" if row[2] in FILE_KINDS else "segment"
