"""How a media enters the catalogue: under a start that hides no other record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from footage.indexer.store.times import micros
from footage.stream.frame import Kind, Media

STEP = 10  # microseconds between starts that were moved apart; above the rounding of frame times
PHASES = 10_000  # microseconds: overlapping media whose starts agree in this remainder may share frame times
NONE = 1 << 62  # microseconds: longer than any media


def insert(connection: sqlite3.Connection, media: Media, recipe: str) -> None:
    """Add a row for a new media, its start moved on where that is needed."""
    length = micros(media.end) - micros(media.start)
    since = micros(media.start)
    if media.kind in (Kind.VIDEO, Kind.PHOTO):  # a live camera's times never repeat
        since = _apart(connection, media.camera, since, length)
    connection.execute(
        """INSERT INTO media (id, camera, path, kind, clock, since, length, duration, recipe)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (media.id, media.camera, media.path, media.kind, media.clock, since, length, media.duration, recipe),
    )


def _apart(connection: sqlite3.Connection, camera: str, since: int, length: int) -> int:
    """The start, moved on until no overlapping media of the camera is likely to have frames at the same times.

    Overlapping media are kept apart by the remainder of their starts, because real starts are whole seconds and frame
    intervals whole hundredths more often than not. Where that would need a move of ``PHASES`` or more, photographs
    stop counting, then everything but an equal start.
    """
    for shortest in (0, 1, NONE):
        step = _free(partial(_taken, connection, camera, since, length, shortest))
        if step * STEP < PHASES:
            break
    return since + step * STEP


def _taken(connection: sqlite3.Connection, camera: str, since: int, length: int, shortest: int, step: int) -> bool:
    """Whether, ``step`` steps on, one of at least ``shortest`` overlaps in the same phase, or any starts with it."""
    found = connection.execute(
        f"""SELECT 1 FROM media WHERE camera = :camera AND since % {PHASES} = :since % {PHASES}
        AND since + length >= :since AND (length >= :shortest OR since = :since)
        AND since <= :since + :length AND since >= :since - (SELECT max(length) FROM media WHERE camera = :camera)
        LIMIT 1""",
        {"camera": camera, "since": since + step * STEP, "length": length, "shortest": shortest},
    )
    return found.fetchone() is not None


def _free(taken: Callable[[int], bool]) -> int:
    """A step that is not taken, just behind one that is (or 0): found by doubling and halving, not one by one."""
    if not taken(0):
        return 0
    low, high = 0, 1
    while taken(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return high
