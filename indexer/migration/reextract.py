"""The pictures that records were made of, cut from their media once more."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from footage.indexer.pipeline.pipeline import CROPPED, crop
from footage.indexer.store.base import Entry, Record
from footage.stream import source
from footage.stream.files import image_file
from footage.stream.files.frame_at import picture
from footage.stream.files.frames_at import pictures
from footage.stream.frame import Frame, Image, Kind, Media


class Unavailable(Exception):
    """A media from which nothing can be cut.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Recut:
    """Cuts records' pictures at the size at which they were embedded; any thread may use it.

    Args:
        side: length in pixels of the shorter side; what regions are cut from is larger, as for live cameras.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._same: set[str] = set()
        self._lock = threading.Lock()

    def frames(self, entry: Entry | None, wanted: Mapping[datetime, Sequence[Record]]) -> Iterator[Frame]:
        """The frames that records of one media were made of, by time, each once; one that cannot be had is left out.

        Raises:
            Unavailable: nothing can be cut from it.
            MediaError: its file cannot be read.
        """
        if not wanted:
            return
        media = self._present(entry)
        side = self._size(record for records in wanted.values() for record in records)
        places = {_offset(media, records[0]): records[0] for records in wanted.values()}
        for offset, image in _pictures(media, places, side):
            one = places[offset]
            yield Frame(one.camera, one.time, replace(media, id=one.media), one.offset, image)

    def alone(self, entry: Entry | None, record: Record) -> Image:
        """What was embedded for one record. Raises as ``frames`` does."""
        media = self._present(entry)
        image = picture(Path(media.path), media.kind, _offset(media, record), self._size([record]))
        return crop(image, record.region) if record.region else image

    def _size(self, records: Iterable[Record]) -> int:
        return max(CROPPED, self._side) if any(r.region for r in records) else self._side

    def _present(self, entry: Entry | None) -> Media:
        """The media, once its file is known to be there and to be the one that was indexed."""
        if entry is None:
            raise Unavailable("its footage has expired or was forgotten")
        media, path = entry.media, Path(entry.media.path)
        if media.kind is Kind.FEED:
            raise Unavailable("it was not recorded")
        if not path.is_file():
            if media.kind is Kind.SEGMENT:
                raise Unavailable("its footage has expired or was deleted")
            raise Unavailable("its file is gone; put it back or index it where it is now, then migrate again")
        if media.kind is not Kind.SEGMENT:
            self._check(media, path)
        return media

    def _check(self, media: Media, path: Path) -> None:
        with self._lock:
            known = media.id in self._same
        if not known and source.media(path, media.camera)[0].id != media.id:
            raise Unavailable("its file has changed since it was indexed; index it again")
        with self._lock:
            self._same.add(media.id)


def _offset(media: Media, record: Record) -> float:
    return (record.time - media.start).total_seconds()


def _pictures(media: Media, offsets: Collection[float], side: int) -> Iterator[tuple[float, Image]]:
    if media.kind is Kind.PHOTO:
        image = image_file.load(Path(media.path), side)
        return ((offset, image) for offset in offsets)
    return pictures(Path(media.path), offsets, side)
