"""Decodes the footage of one camera densely between two times, across media."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import datetime

from footage.stream.files.decode import read_frames
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Frame, Media


def decode_frames(chain: Sequence[Media], start: datetime, end: datetime, every: float, side: int) -> Iterator[Frame]:
    """Yield frames strictly between two times; footage before them is skipped. Blocks: run it in a thread.

    Args:
        chain: continuous media in order, as ``query.values.timeline.media_chains`` returns them.
        every: seconds between frames; fewer frames where the footage has fewer.
        side: length in pixels of the shorter side.

    Raises:
        MediaError: a media is gone or cannot be decoded. One that is damaged later yields the frames before that.
    """
    for media in chain:
        if media.end < start or media.start >= end:
            continue
        after = (start - media.start).total_seconds() if start >= media.start else None
        with closing(_read_media(media, every, side, after)) as decoded:
            for frame in decoded:
                if frame.time >= end:
                    break
                if frame.time > start:
                    yield frame


def _read_media(media: Media, every: float, side: int, after: float | None) -> Generator[Frame, None, None]:
    try:
        yield from read_frames(media, every, side, after)
    except MediaError as error:
        if error.readable_until is None:
            raise
