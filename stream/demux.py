"""Reads the packets of an open container to its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TypeVar, cast

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

StreamT = TypeVar("StreamT", bound=Stream)


def demux(container: InputContainer, streams: Sequence[StreamT]) -> Iterator[Packet[StreamT]]:
    """The packets of some streams, without the empty ones at the end.

    Where a stream appeared after opening (a transport stream's second program, sound that began later), PyAV 14 to 18
    go past the end of their list of streams once all packets were given: https://github.com/PyAV-Org/PyAV/issues/692.

    Raises:
        FFmpegError, OSError: it cannot be read on.
    """
    with suppress(IndexError):
        for packet in container.demux(list(streams)):
            if packet.size:
                yield cast("Packet[StreamT]", packet)
