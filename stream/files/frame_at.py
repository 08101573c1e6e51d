"""The exact frame shown at an offset, for thumbnails."""

from __future__ import annotations

import io
from pathlib import Path

from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image as Pillow

from footage.stream.files import image_file
from footage.stream.files.video_file import Film, MediaError, stamp
from footage.stream.frame import Image, Kind

NEAR = 0.0005  # seconds; an offset that went through rounding still means its own frame


def picture(path: Path, kind: Kind, offset: float, side: int | None = None) -> Image:
    """The frame that is shown ``offset`` seconds after the first one.

    Args:
        side: length in pixels of the shorter side; None keeps the size.

    Returns:
        (height, width, 3) uint8 RGB, upright.

    Raises:
        MediaError: the file is gone, or has no frame there that can be decoded.
    """
    if kind is Kind.PHOTO:
        return image_file.load(path, side)
    with Film(path) as film:
        target = film.origin + int((max(0.0, offset) + NEAR) / film.tick)
        packets = _until(film, target)
        shown = max((at for p in packets if (at := stamp(p)) is not None and at <= target), default=target)
        best = None
        for packet in [*packets, None]:
            for frame in film.decode(packet, packet is None or stamp(packet) == shown):
                at = stamp(frame)
                if at is not None and at <= target:
                    best = frame
        if best is None:
            raise MediaError(path, f"no frame can be decoded at {offset:.1f} s")
        return film.picture(best, side)


def jpeg(image: Image, quality: int = 85) -> bytes:
    """Encode RGB as JPEG."""
    out = io.BytesIO()
    Pillow.fromarray(image).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _until(film: Film, target: int) -> list[Packet[VideoStream]]:
    """Packets from the keyframe before ``target`` to the last that is shown by then."""
    group: list[Packet[VideoStream]] = []
    for packet in film.packets(target):
        at = stamp(packet)
        assert at is not None  # Film.packets yields nothing else
        if packet.dts is not None and packet.dts > target:
            break  # not at one without a decoding time: Matroska leaves it out of the first few after a seek
        if packet.is_keyframe and at <= target:
            group = []
        group.append(packet)
    return group
