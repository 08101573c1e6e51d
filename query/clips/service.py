"""Pictures and clips of what was found, cut from the footage on demand and kept in a bounded cache."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO
from weakref import WeakValueDictionary

import numpy as np
from pydantic import TypeAdapter

from footage.indexer.store.base import Catalog, Entry, Store, Where
from footage.query.clips.clip import Clip, cut
from footage.query.values.ids import FrameId, MomentId
from footage.query.values.timeline import chain
from footage.stream.files import frame_at
from footage.stream.frame import Image, Kind, Media, Region

_TICK = timedelta(microseconds=1)
_CLIP = TypeAdapter(Clip)


Hold = Callable[[str], AbstractContextManager[None]]


class Gone(Exception):
    """What was asked for is not there (any more); the message says what and why. HTTP 404."""


class Cutter:
    """Cuts frames and clips from media.

    Args:
        cache: folder for finished clips.
        limit: bytes that the cache may hold; the least recently used clips go first.
        hold: keeps a path from being deleted by retention while its context is open.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        cache: Path,
        limit: int = 2 << 30,
        hold: Hold = lambda _: nullcontext(),
    ) -> None:
        self._store, self._catalog, self._cache, self._limit, self._hold = store, catalog, cache, limit, hold
        self._busy: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def frame(self, frame: FrameId, side: int | None = None, boxes: bool = True) -> Image:
        """The picture behind a frame's id, its region drawn on it.

        Args:
            side: length of the shorter side in pixels; None for full size.

        Raises:
            Gone: no such frame, or its footage has been moved or deleted.
            stream.film.MediaError: the footage is damaged there.
        """
        media, offset = await self.source(frame)
        image = await asyncio.to_thread(frame_at.picture, Path(media.path), media.kind, offset, side)
        return draw(image, [frame.region]) if boxes and frame.region else image

    async def clip(self, moment: MomentId, out: Path | None = None, *, precise: bool = False, pad: float = 2.0) -> Clip:
        """A moment as an MP4 file, with ``pad`` seconds before and after; in the cache unless ``out`` is given.

        Raises:
            Gone: the footage has been moved or deleted.
            query.clip.ClipError: it cannot be cut; says why.
        """
        media, _ = await self.source(moment.frame)
        edge = timedelta(seconds=pad)
        start, end = moment.start - edge, moment.end + edge
        line = chain([e.media for e in await self._catalog.between([moment.camera], start, end)], media.id)
        with ExitStack() as held:
            for one in line:
                held.enter_context(self._hold(one.path))
            if out:
                return await asyncio.to_thread(cut, line, start, end, out, precise=precise)
            key = (Clip.__slots__, start, end, precise, line)  # a note of another shape is not of this clip
            name = hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()
            async with self._busy.setdefault(name, asyncio.Lock()):
                return await asyncio.to_thread(self._cached, self._cache / f"{name}.mp4", line, start, end, precise)

    def _cached(self, path: Path, line: Sequence[Media], start: datetime, end: datetime, precise: bool) -> Clip:
        note = path.with_suffix(".json")
        if path.exists() and note.exists():
            os.utime(path)
            return _CLIP.validate_json(note.read_bytes())
        self._cache.mkdir(parents=True, exist_ok=True)
        made = cut(line, start, end, path, precise=precise)
        note.write_bytes(_CLIP.dump_json(made))
        prune(self._cache, self._limit, keep=path)
        return made

    def spare(self) -> IO[bytes]:
        """A new file in the cache's folder, to write and read, that has no name: when it is closed, it is gone."""
        self._cache.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=self._cache)

    async def holds(self, frame: FrameId) -> bool:
        """Whether the footage behind a frame is still there."""
        try:
            await self.source(frame)
        except Gone:
            return False
        return True

    async def source(self, frame: FrameId) -> tuple[Media, float]:
        """The media that holds a frame, and the frame's offset in it (s from the media's first frame).

        Raises:
            Gone: no such frame, or its footage has been moved or deleted.
        """
        media, offset = await self._find(frame)
        if not await asyncio.to_thread(Path(media.path).exists):
            raise Gone(_missing(media))
        return media, offset

    async def _find(self, frame: FrameId) -> tuple[Media, float]:
        entries = await self._catalog.between([frame.camera], frame.time, frame.time + _TICK)
        if len(entries) > 1:
            entries = await self._exactly(frame, entries)
        if not entries:
            raise Gone(f"there is no footage of camera '{frame.camera}' at that time (any more)")
        media = entries[0].media
        return media, (frame.time - media.start).total_seconds()

    async def _exactly(self, frame: FrameId, entries: Sequence[Entry]) -> list[Entry]:
        """Where media overlap, the record tells which of them the frame is of."""
        span = (frame.time, frame.time + _TICK)
        ids = {r.media async for r in self._store.scan(Where((frame.camera,), (span,)))}
        return [e for e in entries if e.media.id in ids] or list(entries)


def draw(image: Image, regions: Sequence[Region]) -> Image:
    """A copy of the picture with boxes drawn around its regions."""
    import supervision as sv  # half a second, and only pictures with boxes need it

    height, width = image.shape[:2]
    boxes = np.array(regions, dtype=np.float32) * np.array([width, height, width, height], dtype=np.float32)
    found = sv.Detections(xyxy=boxes, class_id=np.zeros(len(boxes), dtype=int))
    thick = max(1, round(min(height, width) / 240))
    return np.asarray(sv.BoxAnnotator(thickness=thick).annotate(image.copy(), found))


def prune(cache: Path, limit: int, keep: Path) -> None:
    """Delete the least recently used clips until the cache holds at most ``limit`` bytes."""
    clips = sorted(cache.glob("*.mp4"), key=lambda p: p.stat().st_mtime)
    held = sum(p.stat().st_size for p in clips)
    for path in clips:
        if held <= limit:
            return
        if path != keep:
            held -= path.stat().st_size
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def _missing(media: Media) -> str:
    what = (
        "its footage has expired"
        if media.kind is Kind.SEGMENT
        else "the file has been moved or deleted; index it where it is now"
    )
    return f"{media.path}: {what}"
