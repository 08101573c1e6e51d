"""Footage of one camera decoded densely between two times, whatever media hold it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime

from footage.stream.files.decode import MediaError, read
from footage.stream.frame import Frame, Media


def frames(line: Sequence[Media], start: datetime, end: datetime, every: float, side: int) -> Iterator[Frame]:
    """Frames strictly between two times; only what leads to them is decoded. Blocks: run it in a thread.

    Args:
        line: media that follow each other, in order, as ``query.values.timeline.chains`` gives them.
        every: seconds between frames; fewer where the footage has fewer.
        side: length in pixels of the shorter side.

    Raises:
        MediaError: a media is gone or cannot be decoded. One that is damaged further on gives what it has.
    """
    for media in line:
        if media.end < start or media.start >= end:
            continue
        after = (start - media.start).total_seconds() if start >= media.start else None
        with closing(_read(media, every, side, after)) as shown:
            for frame in shown:
                if frame.time >= end:
                    break
                if frame.time > start:
                    yield frame


def _read(media: Media, every: float, side: int, after: float | None) -> Generator[Frame, None, None]:
    try:
        yield from read(media, every, side, after)
    except MediaError as error:
        if error.good is None:
            raise
