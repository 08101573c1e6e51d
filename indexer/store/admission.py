"""Adds media to the embedded catalog, shifting starts so that records of overlapping media share no time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from footage.indexer.store.times import micros
from footage.stream.frame import Kind, Media

START_STEP = 10  # microseconds between shifted starts; above the rounding of frame times
PHASE_PERIOD = 10_000  # microseconds: overlapping media whose starts agree in this remainder may share frame times
LONGEST_MEDIA = 1 << 62  # microseconds: longer than any media


def insert_media(connection: sqlite3.Connection, media: Media, recipe: str) -> None:
    """Add a row for a new media, with its start shifted where needed."""
    length = micros(media.end) - micros(media.start)
    since = micros(media.start)
    if media.kind in (Kind.VIDEO, Kind.PHOTO):  # a live camera's times never repeat
        since = _separate_start(connection, media.camera, since, length)
    connection.execute(
        """INSERT INTO media (id, camera, path, kind, clock, since, length, duration, recipe)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (media.id, media.camera, media.path, media.kind, media.clock, since, length, media.duration, recipe),
    )


def _separate_start(connection: sqlite3.Connection, camera: str, since: int, length: int) -> int:
    """Return the start, shifted until no overlapping media of the camera is likely to have frames at the same times.

    Overlapping media are separated by the remainder of their starts, because most starts are whole seconds and most
    frame intervals whole hundredths of a second. Where that would need a shift of ``PHASE_PERIOD`` or more, first
    photographs are ignored, then everything but an equal start.
    """
    for shortest in (0, 1, LONGEST_MEDIA):
        step = _first_free_step(partial(_conflicts, connection, camera, since, length, shortest))
        if step * START_STEP < PHASE_PERIOD:
            break
    return since + step * START_STEP


def _conflicts(connection: sqlite3.Connection, camera: str, since: int, length: int, shortest: int, step: int) -> bool:
    """Whether, after ``step`` steps, a media of this length or more overlaps in phase, or any has the same start."""
    found = connection.execute(
        f"""SELECT 1 FROM media WHERE camera = :camera AND since % {PHASE_PERIOD} = :since % {PHASE_PERIOD}
        AND since + length >= :since AND (length >= :shortest OR since = :since)
        AND since <= :since + :length AND since >= :since - (SELECT max(length) FROM media WHERE camera = :camera)
        LIMIT 1""",
        {"camera": camera, "since": since + step * START_STEP, "length": length, "shortest": shortest},
    )
    return found.fetchone() is not None


def _first_free_step(taken: Callable[[int], bool]) -> int:
    """Return 0 or a free step just after a taken one; doubling and bisection find it in few queries."""
    if not taken(0):
        return 0
    low, high = 0, 1
    while taken(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return high
