"""Decodes the exact frame shown at an offset, for thumbnails; encodes images as JPEG."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from av.packet import Packet
from av.video.stream import VideoStream
from PIL import Image as Pillow

from footage.stream.files import image_file
from footage.stream.files.frame_image import fit_size
from footage.stream.files.unreadable import MediaError
from footage.stream.files.video_file import VideoFile, presentation_time
from footage.stream.frame import Image, Kind

OFFSET_TOLERANCE = 0.0005  # seconds; an offset that was rounded still means its own frame
LONG_LEAD = 10.0  # seconds in which a stream that refreshes its pictures bit by bit has done so several times


def read_image_at(path: Path, kind: Kind, offset: float, side: int | None = None, *, written: bool = False) -> Image:
    """Decode the frame that is shown ``offset`` seconds after the first one.

    Args:
        side: length in pixels of the shorter side; None keeps the size.
        written: of a file that grows: that frame has to be in it; else the last one that is there is given.

    Returns:
        (height, width, 3) uint8 RGB, upright.

    Raises:
        MediaError: the file is gone, or has no frame there (yet) that can be decoded.
    """
    if kind is Kind.PHOTO:
        return image_file.load(path, side)
    for lead in (None, 0.0, LONG_LEAD):
        image = _decode_at(path, offset, side, written, lead)
        if image is not None:
            return image
    raise MediaError(path, f"no frame can be decoded at {offset:.1f} s")


def _decode_at(path: Path, offset: float, side: int | None, written: bool, lead: float | None) -> Image | None:
    """The frame that is shown; None when none was decoded, or only an earlier one and not all was tried.

    Args:
        lead: seconds before it from which everything is decoded; None decodes only what it refers to, which may not
            suffice where pictures build up over several frames.
    """
    with VideoFile(path) as video:
        target = video.origin + int((max(0.0, offset) + OFFSET_TOLERANCE) / video.time_base)
        packets, is_end = _packets_until(video, target, round((lead or 0.0) / video.time_base))
        times = (presentation_time(packet) for packet in packets)
        shown = max((time for time in times if time is not None and time <= target), default=target)
        if written and is_end and (target - shown) * video.time_base > 2 * OFFSET_TOLERANCE:
            raise MediaError(path, f"nothing is written yet at {offset:.1f} s")
        best = None
        for packet in [*packets, None]:
            for frame in video.decode(packet, lead is not None or packet is None or presentation_time(packet) == shown):
                time = presentation_time(frame)
                if time is not None and time <= target:
                    best = frame
        if best is None or not (lead == LONG_LEAD or presentation_time(best) == shown):
            return None
        return video.to_image(best, side)


def shrink(image: Image, side: int) -> Image:
    """Shrink an image until its shorter side has ``side`` pixels; a smaller one stays."""
    height, width = image.shape[:2]
    size = fit_size(width, height, side)
    if size == (width, height):
        return image
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BOX))


def encode_jpeg(image: Image, quality: int = 85) -> bytes:
    """Encode RGB as JPEG."""
    out = io.BytesIO()
    Pillow.fromarray(image).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _packets_until(video: VideoFile, target: int, lead: int) -> tuple[list[Packet[VideoStream]], bool]:
    """Packets from the keyframe before ``target``, or before so much earlier, to the last that is shown by then.

    Also returned is whether the video ends there.
    """
    group: list[Packet[VideoStream]] = []
    for packet in video.packets(target - lead):
        time = presentation_time(packet)
        assert time is not None  # VideoFile.packets yields nothing else
        if packet.dts is not None and packet.dts > target:
            return (
                group,
                False,
            )  # not at one without a decoding time: Matroska leaves it out of the first few after a seek
        if packet.is_keyframe and time <= target - lead:
            group = []
        group.append(packet)
    return group, True
