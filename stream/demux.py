"""Reads the packets of an open container to its end."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from typing import TypeVar, cast

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream

StreamT = TypeVar("StreamT", bound=Stream)


def demux(container: InputContainer, streams: Sequence[StreamT]) -> Iterator[Packet[StreamT]]:
    """The packets of some streams, without the empty ones at the end.

    Where a stream appeared after opening (a transport stream's second program, sound that began later), PyAV 14 to 18
    go past the end of their list of streams once all packets were given: https://github.com/PyAV-Org/PyAV/issues/692.
    Its generator is closed here: one that is only dropped, as in a loop that ends early, keeps 156 bytes for good
    (PyAV 18.1, which Cython compiles for the stable ABI), two for each picture that is shown.

    Raises:
        FFmpegError, OSError: it cannot be read on.
    """
    found = cast("Generator[Packet[StreamT]]", container.demux(list(streams)))
    with suppress(IndexError), closing(found) as packets:
        for packet in packets:
            if packet.size:
                yield packet
