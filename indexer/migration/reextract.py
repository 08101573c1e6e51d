"""Extracts the images of records from their media again, for migration."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from footage.indexer.pipeline.pipeline import CROP_SOURCE_SIDE, crop
from footage.indexer.store.base import CatalogEntry, Record
from footage.stream import source
from footage.stream.errors import FootageError
from footage.stream.files import image_file
from footage.stream.files.frame_at import read_image_at
from footage.stream.files.frames_at import read_images_at
from footage.stream.frame import Frame, Image, Kind, Media


class MediaUnavailable(FootageError):
    """No image can be extracted from this media.

    Attributes:
        reason: why.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ImageReextractor:
    """Extracts records' images at the size at which they were embedded; any thread may use it.

    Args:
        side: length in pixels of the shorter side; images to crop regions from are larger, as for live cameras.
    """

    def __init__(self, side: int) -> None:
        self._side = side
        self._unchanged: set[str] = set()
        self._lock = threading.Lock()

    def frames(self, entry: CatalogEntry | None, wanted: Mapping[datetime, Sequence[Record]]) -> Iterator[Frame]:
        """Yield the frames that records of one media were made of, by time, each once; unreadable ones are left out.

        Raises:
            MediaUnavailable: no image can be extracted from it.
            MediaError: its file cannot be read.
        """
        if not wanted:
            return
        media = self._check_media(entry)
        side = self._side_for(record for records in wanted.values() for record in records)
        by_offset = {_offset(media, records[0]): records[0] for records in wanted.values()}
        for offset, image in _read_images(media, by_offset, side):
            record = by_offset[offset]
            yield Frame(record.camera, record.time, replace(media, id=record.media), record.offset, image)

    def image(self, entry: CatalogEntry | None, record: Record) -> Image:
        """Return the image that was embedded for one record. Raises as ``frames`` does."""
        media = self._check_media(entry)
        image = read_image_at(Path(media.path), media.kind, _offset(media, record), self._side_for([record]))
        return crop(image, record.region) if record.region else image

    def _side_for(self, records: Iterable[Record]) -> int:
        return max(CROP_SOURCE_SIDE, self._side) if any(r.region for r in records) else self._side

    def _check_media(self, entry: CatalogEntry | None) -> Media:
        """Return the entry's media if its file is there and is the one that was indexed."""
        if entry is None:
            raise MediaUnavailable("its footage has expired or was forgotten")
        media, path = entry.media, Path(entry.media.path)
        if media.kind is Kind.FEED:
            raise MediaUnavailable("it was not recorded")
        if not path.is_file():
            if media.kind is Kind.SEGMENT:
                raise MediaUnavailable("its footage has expired or was deleted")
            raise MediaUnavailable("its file is gone; put it back or index it where it is now, then migrate again")
        if media.kind is not Kind.SEGMENT:
            self._check_unchanged(media, path)
        return media

    def _check_unchanged(self, media: Media, path: Path) -> None:
        with self._lock:
            known = media.id in self._unchanged
        if not known and source.identify_media(path, media.camera)[0].id != media.id:
            raise MediaUnavailable("its file has changed since it was indexed; index it again")
        with self._lock:
            self._unchanged.add(media.id)


def _offset(media: Media, record: Record) -> float:
    return (record.time - media.start).total_seconds()


def _read_images(media: Media, offsets: Collection[float], side: int) -> Iterator[tuple[float, Image]]:
    if media.kind is Kind.PHOTO:
        image = image_file.load(Path(media.path), side)
        return ((offset, image) for offset in offsets)
    return read_images_at(Path(media.path), offsets, side)
