"""Tests that reading packets leaves nothing behind."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import av

from footage.stream.demux import demux

NAMES = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
REPEATS = 2_000


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES]


def allocated() -> int:
    """Bytes that are allocated with glibc's malloc and not freed; holes, which the process holds too, do not count."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = Mallinfo
    gc.collect()
    return int(libc.mallinfo2().uordblks)


def test_reading_that_ends_early_leaves_nothing_in_memory(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        video = film.add_stream("mpeg4", rate=10)
        video.width, video.height = 64, 64
        for _ in range(10):
            film.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
        film.mux(video.encode())
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]

        def read_one() -> None:
            for packet in demux(container, [stream]):
                assert packet.size
                break
            container.seek(0)

        for _ in range(REPEATS):
            read_one()
        before = allocated()
        for _ in range(REPEATS):
            read_one()
        assert allocated() - before < 50 * REPEATS, "it was 156 bytes each time"
