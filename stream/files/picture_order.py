"""Reads the display order of H.264 and HEVC pictures (picture order counts), for files without presentation times."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from footage.stream.files.nal_units import (
    HEADER_BYTES,
    BitReader,
    configuration_units,
    length_size,
    split_units,
)

MAX_PARAMETERS = 1024
"""Bytes of a sequence parameter set that are looked at; a longer one was made to take time."""
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_H264_SPS, _HEVC_SPS, _HEVC_PPS = 7, 33, 34
_IDR_H264, _IDR_HEVC, _RANDOM_ACCESS_HEVC = 5, frozenset({19, 20}), range(16, 24)
_SLICES_H264, _SLICES_HEVC = frozenset({1, 2, 5}), frozenset({*range(10), *range(16, 22)})


@dataclass(slots=True)
class _Parameters:
    """What is needed of parameter sets to read the head of a slice."""

    separate_planes: bool = False
    frame_number_bits: int = 4
    count_bits: int | None = None  # None: pictures are shown in decoding order
    frames_only: bool = True
    extra_bits: int = 0
    output_flag: bool = False


class PictureOrder:
    """Reads the picture order count of each packet, in decoding order.

    Args:
        codec: "h264" or "hevc".
        extradata: the decoder's configuration, where the container holds one.
    """

    def __init__(self, codec: str, extradata: bytes | None) -> None:
        self._codec, self._size = codec, length_size(extradata, codec)
        self._parameters = _Parameters()
        self._high = self._low = 0  # of the reference before
        for unit in configuration_units(extradata, codec):
            self._read_parameters(unit)

    def count(self, data: bytes) -> tuple[bool, int] | None:
        """Whether a picture begins a new sequence, and its count in the sequence: pictures are shown in its order.

        None where that cannot be read: the picture is shown in decoding order.
        """
        for unit in split_units(data, self._size):
            with suppress(IndexError):
                self._read_parameters(unit)
                if self._parameters.count_bits is not None:
                    found = self._h264_slice(unit) if self._codec == "h264" else self._hevc_slice(unit)
                    if found is not None:
                        return found
        return None

    def _read_parameters(self, unit: bytes) -> None:
        with suppress(IndexError):
            if self._codec == "h264" and unit[0] & 0x1F == _H264_SPS:
                self._h264_sequence(unit)
            elif self._codec == "hevc" and unit[0] >> 1 & 0x3F == _HEVC_SPS:
                self._hevc_sequence(unit)
            elif self._codec == "hevc" and unit[0] >> 1 & 0x3F == _HEVC_PPS:
                read = BitReader(unit[2 : 2 + HEADER_BYTES])
                read.golomb(), read.golomb(), read.bits(1)
                self._parameters.output_flag, self._parameters.extra_bits = bool(read.bits(1)), read.bits(3)

    def _h264_sequence(self, unit: bytes) -> None:
        read, found = BitReader(unit[4:MAX_PARAMETERS]), self._parameters
        read.golomb()
        if unit[1] in _HIGH_PROFILES:
            chroma = read.golomb()
            found.separate_planes = chroma == 3 and bool(read.bits(1))
            read.golomb(), read.golomb(), read.bits(1)
            if read.bits(1):
                for i in range(12 if chroma == 3 else 8):
                    if read.bits(1):
                        _skip_scaling_list(read, 16 if i < 6 else 64)
        found.frame_number_bits = read.golomb() + 4
        kind = read.golomb()
        found.count_bits = read.golomb() + 4 if kind == 0 else None
        if kind == 0:  # the others are shown in decoding order (2), or too rare to be read (1)
            read.golomb(), read.bits(1), read.golomb(), read.golomb()
            found.frames_only = bool(read.bits(1))

    def _hevc_sequence(self, unit: bytes) -> None:
        read, found = BitReader(unit[2:MAX_PARAMETERS]), self._parameters
        read.bits(4)
        layers = read.bits(3)
        read.bits(1 + 88 + 8)
        present = [(read.bits(1), read.bits(1)) for _ in range(layers)]
        read.bits(2 * (8 - layers) if layers else 0)
        for profile, level in present:
            read.bits(88 * profile + 8 * level)
        read.golomb()
        found.separate_planes = read.golomb() == 3 and bool(read.bits(1))
        read.golomb(), read.golomb()
        if read.bits(1):
            read.golomb(), read.golomb(), read.golomb(), read.golomb()
        read.golomb(), read.golomb()
        found.count_bits = read.golomb() + 4

    def _h264_slice(self, unit: bytes) -> tuple[bool, int] | None:
        kind, known = unit[0] & 0x1F, self._parameters
        if kind not in _SLICES_H264 or known.count_bits is None:
            return None
        read = BitReader(unit[1 : 1 + HEADER_BYTES])
        read.golomb(), read.golomb(), read.golomb()
        read.bits(2 * known.separate_planes + known.frame_number_bits)
        if not known.frames_only and read.bits(1):
            read.bits(1)
        if kind == _IDR_H264:
            read.golomb()
        return self._whole(read.bits(known.count_bits), kind == _IDR_H264, reference=unit[0] & 0x60 > 0)

    def _hevc_slice(self, unit: bytes) -> tuple[bool, int] | None:
        kind, known = unit[0] >> 1 & 0x3F, self._parameters
        if kind not in _SLICES_HEVC or known.count_bits is None:
            return None
        read = BitReader(unit[2 : 2 + HEADER_BYTES])
        if not read.bits(1):
            return None  # not the first slice of its picture
        read.bits(kind in _RANDOM_ACCESS_HEVC)
        read.golomb()
        read.bits(known.extra_bits)
        read.golomb()
        read.bits(known.output_flag + 2 * known.separate_planes)
        if kind in _IDR_HEVC:
            return self._whole(0, True, reference=True)
        lowest_layer = (unit[1] & 7) == 1
        return self._whole(read.bits(known.count_bits), False, reference=lowest_layer and (kind > 15 or kind % 2 == 1))

    def _whole(self, low: int, begins: bool, reference: bool) -> tuple[bool, int]:
        """The whole count from its lower bits: the nearest to the reference before (H.264 8.2.1.1, H.265 8.3.1)."""
        assert self._parameters.count_bits is not None
        span = 1 << self._parameters.count_bits
        high = 0
        if not begins:
            ahead = low - self._low
            high = self._high + (span if ahead <= -span // 2 else -span if ahead > span // 2 else 0)
        if reference:
            self._high, self._low = high, low
        return begins, high + low


def _skip_scaling_list(read: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + read.signed_golomb() + 256) % 256
        last = following or last
