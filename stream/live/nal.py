"""Tells from a live packet's NAL units whether coding changes and whether a picture goes on (ITU-T H.264 and H.265)."""

from __future__ import annotations

from collections.abc import Iterator

from footage.stream.files.nal_units import is_sequence_set, split_units

HEAD_BYTES = 4096  # bytes of a packet in which its parameter sets are


def parameter_sets(data: bytes, codec: str) -> bytes | None:
    """The sequence parameter sets (SPS) at the head of a packet, or None; when they change, so does size or coding.

    Args:
        data: a packet; one that is not a byte stream holds none.
        codec: as FFmpeg names it.
    """
    found = {unit for unit in _units(data, codec) if is_sequence_set(unit, codec)}  # they may be repeated
    return b"\x00".join(sorted(found)) or None


def continues_picture(data: bytes, codec: str) -> bool:
    """Whether a packet's first slice is not the first one of its picture."""
    header = 1 if codec == "h264" else 2
    for unit in _units(data, codec):
        slice_ = 1 <= unit[0] & 0x1F <= 5 if codec == "h264" else unit[0] >> 1 & 0x3F < 32
        if slice_ and len(unit) > header:
            return not unit[header] & 0x80  # first_mb_in_slice is 0, first_slice_segment_in_pic_flag is 1
    return False


def _units(data: bytes, codec: str) -> Iterator[bytes]:
    """The NAL units that begin in the first ``HEAD_BYTES``; the last one is a slice, which may be cut off."""
    if codec in {"h264", "hevc"} and data.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        yield from filter(None, (unit.rstrip(b"\x00") for unit in split_units(data[:HEAD_BYTES], 0)))
