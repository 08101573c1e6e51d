"""Chooses which video track of a file is its film, and says what is left out."""

from __future__ import annotations

from collections.abc import Sequence

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

THUMBNAIL_SHARE = 0.25
"""A track whose picture has a smaller part of another one's pixels is a preview of it."""


def choose_track(container: InputContainer) -> tuple[VideoStream | None, list[str]]:
    """The video track to read, None where there is none, and what is said of the other ones.

    Cover art and still thumbnails are not videos, and are left out without a word. Of several videos it is the one that
    the file marks as its default, else the first.
    """
    videos = [one for one in container.streams.video if not _is_cover(one)]
    moving = [one for one in videos if one.frames != 1] or videos
    largest = max((_pixels(one) for one in moving), default=0)
    films = [one for one in moving if _pixels(one) >= THUMBNAIL_SHARE * largest]
    known = [one for one in films if one.codec_context is not None] or films
    chosen = next((one for one in known if Disposition.default in one.disposition), next(iter(known), None))
    return chosen, [_describe(container, one) for one in films if one is not chosen]


def describe_audio(container: InputContainer) -> list[str]:
    """What is said where a file has sound that cannot be decoded."""
    tracks: Sequence[object] = container.streams.audio
    unknown = tracks and all(one.codec_context is None for one in container.streams.audio)
    return ["its sound has a codec that is unknown here, so clips have none"] if unknown else []


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _pixels(stream: VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height if context is not None else 0


def _describe(container: InputContainer, stream: VideoStream) -> str:
    context = stream.codec_context
    what = f"{context.name}, {context.width}x{context.height}" if context is not None else "unknown codec"
    place = list(container.streams.video).index(stream)
    return (
        f"it has another video track ({what}), which is left out; to index it, copy it to a file of its own: "
        f"ffmpeg -i FILE -map 0:v:{place} -c copy OTHER.mkv"
    )
