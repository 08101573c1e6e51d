"""Loads frames and cuts clips on demand for search results; finished clips are kept in a bounded cache."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol
from weakref import WeakValueDictionary

from pydantic import TypeAdapter, ValidationError

from footage.indexer.store.base import NOT_WRITTEN, Catalog, CatalogEntry, Store, Where
from footage.query.clips.boxes import draw_regions
from footage.query.values.ids import FrameId, MomentId
from footage.query.values.timeline import find_chain
from footage.stream.atomic import atomic_write
from footage.stream.errors import AWAY, NOTHING, FootageError
from footage.stream.frame import Image, Kind, Media
from footage.stream.instants import MICROSECOND
from footage.stream.private import make_folder
from footage.stream.recording.segment import is_unfinished

if TYPE_CHECKING:
    from footage.query.clips.clip import Clip

# PyAV and OpenCV are imported where they are first needed: a search in words needs neither.

WRITING = 5.0
"""Seconds within which a live frame is in its segment: the muxer writes a second at a time."""
LOOK_AGAIN = 0.2
"""Seconds between two looks for a frame that is being written."""
RetentionHold = Callable[[str], AbstractContextManager[None]]
"""Keeps a path from being deleted by retention while the context is open."""


class NotFound(FootageError):
    """What was asked for does not exist (any more); the message says what and why. HTTP 404."""

    exit_code, http_status = NOTHING, 404


class NotHere(NotFound):
    """The file of a media is not on this machine."""

    def __init__(self, message: str, media: Media) -> None:
        super().__init__(message)
        self.media = media


class FootageUnreachable(FootageError):
    """Footage is on another machine that does not answer; says which, and since when (exit code 5, HTTP 503)."""

    exit_code, http_status = AWAY, 503
    hint = "its footage can be had again when that service is back"
    public = "the footage is on another machine, which does not answer"


def _is_being_written(media: Media) -> bool:
    """Whether a segment was written to, or finished, a moment ago; whatever the camera's clock says."""
    path = Path(media.path)
    if media.kind is Kind.SEGMENT and is_unfinished(media):
        for one in (path, path.parent):  # when it is finished it has another name, which the catalog will say soon
            with suppress(OSError):
                return time.time() - one.stat().st_mtime < WRITING
    return False


class RemoteFootage(Protocol):
    """Gets footage that is not on this machine from the one that has it (``query.peers``).

    Its methods raise NotFound where no machine has it any more, and FootageUnreachable where one does not answer.
    """

    async def holds(self, frame: FrameId, media: Media) -> bool:
        """Tell whether another machine has the media that has a frame."""
        ...

    async def get_image(self, frame: FrameId, media: Media, side: int | None) -> Image:
        """Get the image behind a frame's id, as ``frame_at.read_image_at`` gives it there."""
        ...

    async def get_clip(
        self, moment: MomentId, media: Media, out: Path, *, precise: bool, pad: float, play: bool
    ) -> Clip:
        """Get a moment's clip, as ``ClipService.get_clip`` cuts it there, into a file."""
        ...


class ClipService:
    """Loads frames and cuts clips from media.

    Args:
        remote: is asked for what is not on this machine; None: nobody is.
        cache: folder for finished clips.
        limit: bytes that the cache may hold; the least recently used clips are deleted first.
        hold: keeps a path from being deleted by retention while a clip is cut.

    Attributes:
        hold: the same.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        cache: Path,
        limit: int = 2 << 30,
        hold: RetentionHold = lambda _: nullcontext(),
        remote: RemoteFootage | None = None,
    ) -> None:
        self._store, self._catalog, self._cache, self._limit, self.hold = store, catalog, cache, limit, hold
        self._remote = remote
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def with_remote(self, remote: RemoteFootage) -> ClipService:
        """Returns the same service, which asks ``remote`` for what is not on this machine."""
        return ClipService(self._store, self._catalog, self._cache, self._limit, self.hold, remote)

    async def get_frame(self, frame: FrameId, side: int | None = None, boxes: bool = True) -> Image:
        """Loads the image behind a frame's id, with its region drawn on it.

        Args:
            side: length of the shorter side in pixels; None for full size.

        Raises:
            NotFound: there is no such frame, or its footage has been moved or deleted.
            FootageUnreachable: its footage is on another machine that does not answer.
            stream.files.unreadable.MediaError: the footage is damaged there.
        """
        try:
            image = await self._read_image(frame, side)
        except NotHere as missing:
            if self._remote is None:
                raise
            image = await self._remote.get_image(frame, missing.media, side)
        return await asyncio.to_thread(draw_regions, image, [frame.region]) if boxes and frame.region else image

    async def _read_image(self, frame: FrameId, side: int | None) -> Image:
        """Read an image here; one of a live camera once it is written, which is a moment after it is indexed."""
        from footage.stream.files.frame_at import read_image_at
        from footage.stream.files.unreadable import MediaError

        until, is_late = time.monotonic() + WRITING, False
        while True:
            media, offset = await self.find_source(frame)
            try:
                with self.hold(media.path):
                    read = partial(read_image_at, Path(media.path), media.kind, offset, side)
                    return await asyncio.to_thread(read, written=_is_being_written(media) and not is_late)
            except MediaError:
                if is_late or not _is_being_written(media):
                    raise
            is_late = time.monotonic() > until
            await asyncio.sleep(LOOK_AGAIN)

    async def get_clip(
        self,
        moment: MomentId,
        out: Path | None = None,
        *,
        precise: bool = False,
        pad: float = 2.0,
        play: bool = False,
    ) -> Clip:
        """Cuts a moment into an MP4 file: ``out``, or one in the cache, which is reused.

        Args:
            pad: seconds shown before and after the moment.
            play: re-encode what not every browser plays, as ``cut_clip`` does.

        Raises:
            NotFound: the footage has been moved or deleted.
            FootageUnreachable: it is on another machine that does not answer.
            query.clips.source.ClipError: it cannot be cut; says why.
        """
        from footage.query.clips.clip import Clip, cut_clip

        try:
            source, _ = await self.find_source(moment.frame)
        except NotHere as missing:
            if self._remote is None:
                raise
            return await self._fetch_clip(self._remote, moment, missing.media, out, precise, pad, play)
        padding = timedelta(seconds=pad)
        start, end = moment.start - padding, moment.end + padding
        entries = await self._catalog.media_between([moment.camera], start, end)
        media = find_chain([e.media for e in entries if e.note != NOT_WRITTEN], source.id)
        with ExitStack() as holds:
            for one in media:
                holds.enter_context(self.hold(one.path))
            if out:
                return await asyncio.to_thread(cut_clip, media, start, end, out, precise=precise, play=play)
            key = (Clip.__slots__, start, end, precise, play, media)  # the fields: other versions have others
            name = hashlib.blake2b(repr(key).encode(), digest_size=12).hexdigest()
            async with self._locks.setdefault(name, asyncio.Lock()):
                return await asyncio.to_thread(
                    self._cut_cached, self._cache / f"{name}.mp4", media, start, end, precise, play
                )

    async def _fetch_clip(
        self,
        remote: RemoteFootage,
        moment: MomentId,
        media: Media,
        out: Path | None,
        precise: bool,
        pad: float,
        play: bool,
    ) -> Clip:
        """Get a clip from the machine that can cut it: into ``out``, or into a file of the cache that is replaced."""
        if out:
            return await remote.get_clip(moment, media, out, precise=precise, pad=pad, play=play)
        name = hashlib.blake2b(repr((str(moment), precise, pad, play)).encode(), digest_size=12).hexdigest()
        path = self._cache / f"remote-{name}.mp4"
        self._cache.mkdir(parents=True, exist_ok=True)
        async with self._locks.setdefault(name, asyncio.Lock()):
            clip = await remote.get_clip(moment, media, path, precise=precise, pad=pad, play=play)
            await asyncio.to_thread(prune_cache, self._cache, self._limit, path)
        return clip

    def _cut_cached(
        self, path: Path, media: Sequence[Media], start: datetime, end: datetime, precise: bool, play: bool
    ) -> Clip:
        from footage.query.clips.clip import Clip, cut_clip

        notes, sidecar = TypeAdapter(Clip), path.with_suffix(".json")
        with suppress(FileNotFoundError, ValidationError):  # not there, deleted meanwhile, or a note that was cut short
            clip = notes.validate_json(sidecar.read_bytes())
            os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))  # the ETag, with which a client resumes, stays
            return clip
        make_folder(self._cache)
        clip = cut_clip(media, start, end, path, precise=precise, play=play)
        with atomic_write(sidecar) as draft:
            draft.write_bytes(notes.dump_json(clip))
        prune_cache(self._cache, self._limit, keep=path)
        return clip

    def open_scratch_file(self) -> IO[bytes]:
        """Opens a new, unnamed file in the cache's folder, to write and read; closing it deletes it."""
        make_folder(self._cache)
        return tempfile.TemporaryFile(dir=self._cache)

    async def explain_missing(self, frame: FrameId) -> str:
        """Tells why there is no footage behind a frame; empty where there is."""
        try:
            await self.find_source(frame)
        except NotHere as missing:
            here = self._remote is None or not await self._remote.holds(frame, missing.media)
            return str(missing) if here else ""
        except NotFound as error:
            return str(error)
        return ""

    async def describe_video(self, frame: FrameId) -> tuple[str, bool, str]:
        """Tells the codec of the video behind a frame, whether every browser plays a copy of it, and its times' source.

        Where they cannot be told, codec and source are empty; the codec for a photograph, both for what is on another
        machine.
        """
        from footage.query.clips.clip import probe_codec
        from footage.query.clips.source import ClipError

        try:
            media, _ = await self.find_source(frame)
        except NotFound:
            return "", True, ""
        try:
            with self.hold(media.path):
                codec, playable = await asyncio.to_thread(probe_codec, media)
        except ClipError:
            codec, playable = "", True
        return codec, playable, media.clock.value

    async def find_source(self, frame: FrameId) -> tuple[Media, float]:
        """Returns the media that has a frame, and the frame's offset in it (s from the media's first frame).

        Raises:
            NotFound: there is no such frame, or its footage has been moved or deleted.
            NotHere: so it is, or its footage is on another machine.
        """
        until = time.monotonic() + WRITING
        while True:
            entry = await self._find_entry(frame)
            media = entry.media
            there = media.kind is not Kind.FEED and await asyncio.to_thread(Path(media.path).exists)
            if there or entry.note == NOT_WRITTEN or not _is_being_written(media) or time.monotonic() > until:
                break
            await asyncio.sleep(LOOK_AGAIN)
        if not there:
            if media.kind is Kind.FEED or entry.note == NOT_WRITTEN:  # no machine has it
                raise NotFound(_explain_missing(entry))
            raise NotHere(describe_missing(media), media)
        return media, (frame.time - media.start).total_seconds()

    async def find_media(self, frame: FrameId) -> tuple[Media, float]:
        """Returns the media that has a frame, wherever its file is, and the frame's offset in it, as ``find_source``.

        Raises:
            NotFound: there is no such frame.
        """
        media = (await self._find_entry(frame)).media
        return media, (frame.time - media.start).total_seconds()

    async def _find_entry(self, frame: FrameId) -> CatalogEntry:
        entries = await self._catalog.media_between([frame.camera], frame.time, frame.time + MICROSECOND)
        if len(entries) > 1:
            entries = await self._select_by_record(frame, entries)
        if not entries:
            if await self._media_of(frame):
                raise NotFound(f"camera '{frame.camera}': {NOT_WRITTEN}")
            raise NotFound(f"there is no footage of camera '{frame.camera}' at that time (any more)")
        return entries[0]

    async def _select_by_record(self, frame: FrameId, entries: Sequence[CatalogEntry]) -> list[CatalogEntry]:
        """Returns the entries that the frame's record names, for media that overlap in time."""
        ids = await self._media_of(frame)
        return [e for e in entries if e.media.id in ids] or list(entries)

    async def _media_of(self, frame: FrameId) -> set[str]:
        """Returns the ids of the media that a frame's records name; none when there are no records of it."""
        span = (frame.time, frame.time + MICROSECOND)
        return {r.media async for r in self._store.scan(Where((frame.camera,), (span,)))}


def prune_cache(cache: Path, limit: int, keep: Path) -> None:
    """Deletes the least recently used clips until the cache holds at most ``limit`` bytes."""
    clips = []
    for path in cache.glob("[!.]*.mp4"):  # drafts begin with a dot
        with suppress(FileNotFoundError):  # another request, or another process, prunes as well
            status = path.stat()
            clips.append((status.st_atime_ns, path, status.st_size))
    total = sum(size for _, _, size in clips)
    for _, path, size in sorted(clips):
        if total <= limit:
            return
        if path != keep:
            total -= size
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)


def _explain_missing(entry: CatalogEntry) -> str:
    media = entry.media
    if entry.note == NOT_WRITTEN:
        return f"camera '{media.camera}': {NOT_WRITTEN}"
    return f"camera '{media.camera}' was not recorded at that time (record: false)"


def describe_missing(media: Media) -> str:
    """Say that the file of a media is nowhere, and what can be done."""
    if media.kind is Kind.SEGMENT:
        return f"{media.path}: its footage has expired, or its disk is not mounted"
    return f"{media.path}: the file has been moved or deleted; index it where it is now"
