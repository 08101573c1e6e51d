"""Which partitions of vectors there are, and which pieces of them a filter leaves."""

from __future__ import annotations

import time
from itertools import groupby
from typing import NamedTuple

from footage.indexer.embed.base import Space
from footage.indexer.store.base import Where
from footage.indexer.store.cassandra.session import Row, Session, Statement, together
from footage.indexer.store.times import spans

BATCH = 200  # small rows a batch
ENDS = (-(1 << 62), 1 << 62)  # microseconds, and buckets: wider than datetime


class Piece(NamedTuple):
    """Part of a partition: records of ``camera`` in ``bucket`` from ``since`` until before ``until`` (microseconds)."""

    camera: str
    bucket: int
    since: int
    until: int


class Pieces:
    """The lists of partitions by camera and by media, of one space."""

    def __init__(self, session: Session, space: Space, bucket: int) -> None:
        """``bucket`` is a partition's time in microseconds."""
        self._session = session
        self._space = f"{space.name}/{space.dim}"
        self._bucket = bucket

    async def matching(self, where: Where) -> list[Piece]:
        """What may hold records that match; the filter by media is still to be applied to their rows."""
        asked = [span for span in spans(where.spans) if span[0] < span[1]] if where.spans else [ENDS]
        if not asked:
            return []
        first, last = asked[0][0] // self._bucket, (asked[-1][1] - 1) // self._bucket
        if where.media:
            held = await together(self._of_media(media) for media in set(where.media))
            cameras = set(where.cameras)
            places = {place for part in held for place in part if not cameras or place[0] in cameras}
        else:
            known = await together(self._of_camera(camera, first, last) for camera in set(where.cameras) or [None])
            places = {place for part in known for place in part}
        return [
            Piece(camera, bucket, max(start, bucket * self._bucket), min(end, (bucket + 1) * self._bucket))
            for camera, bucket in sorted(places)
            for start, end in asked
            if start < (bucket + 1) * self._bucket and end > bucket * self._bucket
        ]

    async def note(self, places: list[tuple[str, int]], media: list[tuple[str, str, int]], ttl: int) -> None:
        """These partitions, and these (media, camera, bucket), hold records that will stay for ``ttl`` seconds.

        Noted with each write anew, so that neither a time to live nor ``drop`` outruns the records.
        """
        camera = "INSERT INTO @buckets (space, camera, bucket) VALUES (?, ?, ?) USING TTL ?"
        holding = "INSERT INTO @holdings (space, media, camera, bucket) VALUES (?, ?, ?, ?) USING TTL ?"
        groups: list[list[Statement]] = [[(camera, (self._space, *place, ttl)) for place in places]]
        for _, held in groupby(media, key=lambda one: one[0]):
            groups.append([(holding, (self._space, *one, ttl)) for one in held])
        parts = [group[i : i + BATCH] for group in groups for i in range(0, len(group), BATCH)]
        await together(self._session.batch(part) for part in parts)

    async def drop(self, piece: Piece, table: str, media: tuple[str, ...]) -> None:
        """Take the partition off the lists if it is empty, or holds none of ``media`` any more.

        The removal carries the time before the look: a writer that came after the look notes its partition later,
        and that stays.
        """
        before = time.time_ns() // 1000
        place = (piece.camera, piece.bucket)
        any_left = f"SELECT time FROM @{table} WHERE camera = ? AND bucket = ? LIMIT 1"
        if not await self._session.rows(any_left, *place):
            cql = "DELETE FROM @buckets USING TIMESTAMP ? WHERE space = ? AND camera = ? AND bucket = ?"
            await self._session.write(cql, before, self._space, *place)
        left = f"SELECT time FROM @{table} WHERE camera = ? AND bucket = ? AND media = ? LIMIT 1 ALLOW FILTERING"
        for one in set(media):
            if not await self._session.rows(left, *place, one):
                key = "space = ? AND media = ? AND camera = ? AND bucket = ?"
                cql = f"DELETE FROM @holdings USING TIMESTAMP ? WHERE {key}"
                await self._session.write(cql, before, self._space, one, *place)

    async def _of_media(self, media: str) -> list[tuple[str, int]]:
        where, fixed = "space = ? AND media = ?", (self._space, media)
        return await self._listed("holdings", where, fixed, "camera, bucket", ("", ENDS[0]), None)

    async def _of_camera(self, camera: str | None, first: int, last: int) -> list[tuple[str, int]]:
        if camera is None:
            found = await self._listed("buckets", "space = ?", (self._space,), "camera, bucket", ("", ENDS[0]), None)
            return [place for place in found if first <= place[1] <= last]
        where, fixed = "space = ? AND camera = ?", (self._space, camera)
        found = await self._listed("buckets", where, fixed, "bucket", (first,), (last + 1,))
        return [(camera, bucket) for (bucket,) in found]

    async def _listed(self, table: str, where: str, fixed: Row, key: str, first: Row, last: Row | None) -> list[Row]:
        found: list[Row] = []
        async for page in self._session.pages(f"{key} FROM @{table}", where, fixed, key, first, last):
            found += page
        return found
