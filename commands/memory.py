"""Has the system's allocator give back what a service has freed, so that its memory stays flat for months."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

import pyarrow as pa

from footage.indexer.embed import network_memory

M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""As in glibc's malloc.h."""
LARGE = 128 << 10
"""Bytes from which on memory comes from the system alone and goes back when it is freed: frames (225 KiB at 320 x 240,
and as many as 128 wait), batches, Arrow's buffers. It is glibc's own first limit, which it else raises to 32 MB after
the first of them, and they leave holes among what is small."""


def limit_arenas() -> None:
    """Let glibc keep freed memory in two arenas instead of one a thread, and what is large in none.

    To be called before threads begin.

    Measured over 1,200 writes to LanceDB: 207 MB and rising without this and without bounded caches, 93 MB and flat
    with both (docs/live.md).
    """
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_ARENA_MAX, 2)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)


def freeze_loaded() -> None:
    """Have full garbage collections pass over what is loaded now and stays: they took 64 ms and stopped everything.

    To be called once, when a service is ready.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Give the system what was freed: glibc keeps the holes between what is in use, Arrow its pools, networks all.

    Takes some milliseconds, in which other threads that allocate may wait; elsewhere than on glibc only Arrow's.
    """
    network_memory.release()
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
