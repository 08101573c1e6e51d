"""Splits H.264 and HEVC packets into NAL units, and reads their headers (ITU-T H.264 and H.265, clause 7.3)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, pairwise

HEADER_BYTES = 64
"""Bytes of a slice that hold all of its header that is read here."""
NESTED_SETS = 64
"""Parameter sets of one kind that a decoder configuration is believed to hold."""
_START = re.compile(rb"\x00\x00\x01")
_RECOVERY_POINT = 6  # SEI payload type
_H264_SPS, _HEVC_SPS = 7, 33
_H264_SEI, _H264_SLICES = 6, frozenset({1, 2, 5})


class BitReader:
    """Reads the bits of a NAL unit's payload, without its emulation prevention bytes.

    Raises:
        IndexError: at the end of the data.
    """

    def __init__(self, payload: bytes) -> None:
        data = payload.replace(b"\x00\x00\x03", b"\x00\x00")
        self._bits, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def bits(self, count: int) -> int:
        """The next ``count`` bits as an unsigned number."""
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._bits >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """The next unsigned Exp-Golomb code: ue(v)."""
        zeros = 0
        while not self.bits(1):
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def signed_golomb(self) -> int:
        """The next signed Exp-Golomb code: se(v)."""
        code = self.golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def length_size(extradata: bytes | None, codec: str) -> int:
    """Bytes of the length in front of each unit, as an MP4 has them; 0 where start codes separate them."""
    if not extradata or extradata[0] != 1:
        return 0
    place = 4 if codec == "h264" else 21
    return (extradata[place] & 3) + 1 if len(extradata) > place else 0


def split_units(data: bytes, size: int) -> Iterator[bytes]:
    """The NAL units of a packet.

    Args:
        size: of the lengths in front of them; 0 for start codes.
    """
    if not size:
        starts = [match.end() for match in _START.finditer(data)]
        yield from (data[begin : after - 3] for begin, after in pairwise([*starts, len(data) + 3]) if after - 3 > begin)
        return
    place = 0
    while place + size < len(data):
        begin = place + size
        place = begin + int.from_bytes(data[place:begin], "big")
        if place > begin:
            yield data[begin:place]


def configuration_units(extradata: bytes | None, codec: str) -> Iterator[bytes]:
    """The parameter sets in a decoder configuration: of an MP4 (avcC, hvcC), or of a byte stream."""
    if not extradata:
        return
    if not length_size(extradata, codec):
        yield from split_units(extradata, 0)
        return
    place = 5 if codec == "h264" else 22
    groups = 2 if codec == "h264" else int.from_bytes(extradata[place : place + 1], "big")
    place += codec == "hevc"
    for group in range(groups):
        width = 1 if codec == "h264" else 2
        place += codec == "hevc"  # the kind of the sets
        count = int.from_bytes(extradata[place : place + width], "big")
        if codec == "h264" and group == 0:
            count &= 0x1F
        place += width
        for _ in range(min(count, NESTED_SETS)):
            length = int.from_bytes(extradata[place : place + 2], "big")
            if unit := extradata[place + 2 : place + 2 + length]:
                yield unit
            place += 2 + length


def is_sequence_set(unit: bytes, codec: str) -> bool:
    """Whether a NAL unit is a sequence parameter set."""
    return unit[0] & 0x1F == _H264_SPS if codec == "h264" else unit[0] >> 1 & 0x3F == _HEVC_SPS


class ParameterSets:
    """The sequence parameter sets that a stream is configured with: when others come, so does another size or coding.

    Args:
        codec: as FFmpeg names it.
        extradata: the decoder's configuration; where it is an MP4's, packets need not repeat it, and are not looked at.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec = codec
        self._compared = codec in ("h264", "hevc") and bool(extradata) and not length_size(extradata, codec)
        units = configuration_units(extradata, codec) if self._compared else ()
        self._known = {unit.rstrip(b"\0") for unit in units if is_sequence_set(unit, codec)}

    def differ(self, packet: bytes) -> bool:
        """Whether a packet has a parameter set that the configuration does not."""
        if not self._compared:
            return False
        found = (unit.rstrip(b"\0") for unit in split_units(packet, 0) if is_sequence_set(unit, self._codec))
        return any(unit not in self._known for unit in found)


def recovery_frames(data: bytes, size: int) -> int:
    """The frames after an H.264 picture until all that follows is whole; 0 for a picture that needs nothing before it.

    An encoder that refreshes a picture part by part ("periodic intra refresh") sends such recovery points (SEI message
    6) in place of keyframes, and demuxers flag them as keyframes.
    """
    frames = 0
    for unit in split_units(data, size):
        kind = unit[0] & 0x1F
        if kind == _H264_SEI:
            frames = max(frames, _recovery_point(unit[1:]))
        elif kind in _H264_SLICES:
            return 0 if kind == 5 else frames  # an IDR picture needs nothing
    return 0


def _recovery_point(payload: bytes) -> int:
    read = iter(payload)
    with suppress(StopIteration):
        while True:
            kind, length = _sei_number(read), _sei_number(read)
            content = bytes(islice(read, length))
            if kind == _RECOVERY_POINT:
                with suppress(IndexError):
                    return BitReader(content).golomb()
                return 0
    return 0


def _sei_number(read: Iterator[int]) -> int:
    """The next type or length of an SEI message: bytes of 255 and a last one are added up."""
    number = byte = next(read)
    while byte == 0xFF:
        byte = next(read)
        number += byte
    return number
