"""Queues what live cameras report to the catalog: in order for each camera, joined where it can be, and bounded."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from footage.indexer.store.base import Coverage
from footage.stream.frame import Media

log = logging.getLogger(__name__)

MAX_NOTES = 50_000
"""Notes that may wait; they take some 40 MB. 100 cameras note as many in four hours, one camera in two weeks."""


@dataclass(slots=True, eq=False)
class Note:
    """Something to write of a camera, if what happened at ``time`` may be written then.

    Attributes:
        write: writes ``value``.
        updates: whether it sets the path and duration of a media, whatever was noted of them before.
        number: place in the order of all notes.
        deaths: how often the writer died of it.
    """

    camera: str
    time: datetime
    value: Media | Coverage
    write: Callable[[Any], Awaitable[Any]]
    updates: bool = False
    number: int = 0
    deaths: int = 0


class NoteQueue:
    """The notes that wait to be written, each camera's in their order.

    What waits is joined with a new note where that says all: coverage that goes on, and the next update of the same
    media. So only what begins and ends makes the queue longer. When ``limit`` notes wait, threads that bring more wait
    too (the event loop never does): then a camera is not read, which is a gap in its coverage, and nothing is lost of
    what was noted. A note leaves the queue only when ``done`` says so.

    Threads: ``put`` is called from any thread, everything else in the event loop that made the queue. One lock guards
    the notes; ``changed`` is woken by ``call_soon_threadsafe``.
    """

    def __init__(self, limit: int = MAX_NOTES) -> None:
        self._limit = limit
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        self._space = threading.Condition()
        self._notes: dict[str, deque[Note]] = {}
        self._joinable: dict[tuple[str, str], Note] = {}  # by camera, and media or "": not begun yet
        self._count = self._number = 0
        self._barriers: deque[tuple[int, Callable[[], None]]] = deque()
        self._changed = asyncio.Event()
        self._unlimited = self._closed = self._told = False

    def __len__(self) -> int:
        return self._count

    @property
    def finished(self) -> bool:
        """Whether it is closed and everything is written."""
        return self._closed and not self._count

    def put(self, note: Note, still: Callable[[], bool] = lambda: True) -> None:
        """Add a note, or join it with one that waits; a thread waits while there are too many.

        Args:
            still: asked when no other thread can add a note: whether it is to be added.
        """
        with self._space:
            if not still() or self._join(note):
                return
            if threading.get_ident() != self._loop_thread and not self._has_space():
                self._tell(note.camera)
                self._space.wait_for(self._has_space)
            self._number += 1
            note.number = self._number
            self._notes.setdefault(note.camera, deque()).append(note)
            self._count += 1
            if (key := _join_key(note)) is not None:
                self._joinable[key] = note
        self._wake()

    def waits(self, camera: str, media: str) -> bool:
        """Whether an update of this media waits."""
        return (camera, media) in self._joinable

    def cameras(self) -> list[str]:
        """Return the cameras that have notes."""
        with self._space:
            return list(self._notes)

    def begin(self, camera: str) -> Note | None:
        """Return the next note of a camera; it stays in the queue until ``done``, but nothing joins it any more."""
        with self._space:
            notes = self._notes.get(camera)
            if not notes:
                return None
            key = _join_key(notes[0])
            if key is not None and self._joinable.get(key) is notes[0]:
                del self._joinable[key]
            return notes[0]

    def done(self, camera: str) -> None:
        """Remove the first note of a camera, which was written or left out."""
        with self._space:
            notes = self._notes[camera]
            notes.popleft()
            if not notes:
                del self._notes[camera]
            self._count -= 1
            self._told = self._told and self._count >= self._limit // 2
            self._space.notify_all()
        self._reach_barriers()
        self._changed.set()

    def add_barrier(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called when everything that is queued now is written."""
        self._barriers.append((self._number, callback))
        self._reach_barriers()

    async def changed(self) -> None:
        """Return when notes came or went, or it was closed, since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def lift_limit(self) -> None:
        """Let no thread wait from now on, because all of them end."""
        with self._space:
            self._unlimited = True
            self._space.notify_all()

    def close(self) -> None:
        """Have it finished when what is queued now is written."""
        self.lift_limit()
        self._closed = True
        self._changed.set()

    def _has_space(self) -> bool:
        return self._unlimited or self._count < self._limit

    def _join(self, note: Note) -> bool:
        """Join a note with the one that waits of the same kind; returns whether that says all of both."""
        key = _join_key(note)
        last = self._joinable.get(key) if key is not None else None
        if last is None:
            return False
        if isinstance(note.value, Coverage):
            before, new = last.value, note.value
            assert isinstance(before, Coverage)
            if (before.state, before.cause, before.end) != (new.state, new.cause, new.start):
                return False
            note.value = replace(before, end=new.end)
        last.value, last.time = note.value, note.time
        return True

    def _tell(self, camera: str) -> None:
        if not self._told:
            self._told = True
            log.warning("%d notes wait for the catalog: '%s' is not read until it takes some", self._count, camera)

    def _reach_barriers(self) -> None:
        if not self._barriers:
            return
        with self._space:
            oldest = min((notes[0].number for notes in self._notes.values()), default=self._number + 1)
        while self._barriers and self._barriers[0][0] < oldest:
            self._barriers.popleft()[1]()

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)


def _join_key(note: Note) -> tuple[str, str] | None:
    """Which later notes can be joined with this one."""
    if isinstance(note.value, Coverage):
        return note.camera, ""
    return (note.camera, note.value.id) if note.updates else None
