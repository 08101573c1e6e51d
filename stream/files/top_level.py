"""Walks the top level of MP4, ASF and Matroska files, to find out what is behind the recording that is read of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

FOOTAGE_BOXES = frozenset({b"ftyp", b"moov", b"moof", b"mdat"})
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


class Box(NamedTuple):
    """A whole box of an MP4 (ISO/IEC 14496-12, 4.2): its kind, and where it begins and ends in the file."""

    kind: bytes
    start: int
    end: int


def mp4_boxes(file: BinaryIO, size: int) -> Iterator[Box]:
    """The whole boxes of the top level, up to the first that is none."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length, least = int.from_bytes(header[:4]), 8
        if length == 1:
            length, least = int.from_bytes(header[8:16]), 16
        if length < least or at + length > size:
            return
        yield Box(header[4:8], at, at + length)
        at += length


def unread_bytes(path: Path, container: str, read_until: int) -> int:
    """Bytes behind ``read_until`` that may be footage.

    Raises:
        OSError: the file cannot be read.
    """
    if container.startswith("mov"):
        return _unread_mp4_bytes(path, read_until)
    return _unread_asf_bytes(path, read_until) if container == "asf" else path.stat().st_size - read_until


def _unread_mp4_bytes(path: Path, read_until: int) -> int:
    """Bytes behind ``read_until`` that are footage, or no boxes at all; an index at the end does not count."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        boxes = list(mp4_boxes(file, size))
        whole = boxes[-1].end if boxes else 0
        file.seek(whole)
        header = file.read(8)
        to_the_end = boxes and header[:4] == bytes(4) and header[4:] in FOOTAGE_BOXES
    begun, unread = False, 0  # another recording
    for box in boxes:
        begun = begun or (box.kind == b"ftyp" and box.start > 0)
        if box.start >= read_until and (box.kind in (b"moof", b"mdat") or (begun and box.kind in FOOTAGE_BOXES)):
            unread += box.end - box.start
    return unread if to_the_end and whole <= read_until else unread + size - max(whole, min(read_until, size))


def _unread_asf_bytes(path: Path, read_until: int) -> int:
    """Bytes from where another ASF file begins, or where objects end; an index at the end does not count."""
    at = 0
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        while at + 24 <= size:
            file.seek(at)
            kind, length = file.read(16), int.from_bytes(file.read(8), "little")
            if length < 24 or at + length > size or (kind == ASF_HEADER and at):
                break
            at += length
    return size - max(at, min(read_until, size))


def is_joined(path: Path, container: str) -> bool:
    """Whether another recording follows in the file, which FFmpeg reads on into: fragmented MP4, and Matroska."""
    if not container.startswith(("mov", "matroska")):
        return False
    with suppress(OSError):
        stat = path.stat()
        return _is_joined(path.absolute(), container, stat.st_size, stat.st_mtime_ns)
    return False


@lru_cache(maxsize=256)
def _is_joined(path: Path, container: str, size: int, changed: int) -> bool:
    del changed  # it is a part of the key
    with path.open("rb") as file:
        if container.startswith("matroska"):
            end = _segment_end(file.read(4096))
            return end is not None and _is_ebml(file, end, size)
        kinds = [box.kind for box in mp4_boxes(file, size)]
    return b"moof" in kinds and kinds.count(b"moov") > 1


def _is_ebml(file: BinaryIO, at: int, size: int) -> bool:
    file.seek(min(at, size))
    return file.read(4) == EBML


def _segment_end(head: bytes) -> int | None:
    """Where the first segment of a Matroska file ends (RFC 8794, 4 and 6.2); None where that is not said."""
    if not head.startswith(EBML):
        return None
    length, at = _ebml_size(head, 4)
    at += length or 0
    if length is None or head[at : at + 4] != SEGMENT:
        return None
    length, at = _ebml_size(head, at + 4)
    return None if length is None else at + length


def _ebml_size(data: bytes, at: int) -> tuple[int | None, int]:
    """A size of variable width, None where it is unknown, and where it ends."""
    width = 9 - data[at].bit_length() if at < len(data) and data[at] else 0
    if not width:
        return None, at
    bits = 7 * width
    value = int.from_bytes(data[at : at + width]) & ((1 << bits) - 1)
    return (None if value == (1 << bits) - 1 else value), at + width
