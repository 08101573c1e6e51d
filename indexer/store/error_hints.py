"""Translates errors of LanceDB, SQLite and the file system into StoreError with a hint."""

from __future__ import annotations

import re
import sqlite3
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from footage.indexer.store.errors import StoreBlocked, StoreDamaged, StoreError, StoreFull

FULL = "the disk is full; free some space or run `footage forget`"
DAMAGED = (
    "its files are damaged or missing; see how much with: footage doctor --deep, and repair it with: footage index"
)
FAILING = "its disk fails, or is away; look at the system's log (dmesg), and whether it is mounted"
HINTS = {
    "no space left": FULL,
    "disk is full": FULL,
    "quota exceeded": FULL,
    "file too large": FULL,
    "input/output error": FAILING,
    "disk i/o error": FAILING,
    "stale file handle": FAILING,
    "read-only file system": "its file system is read-only, as one whose disk fails; look at the system's log (dmesg)",
    "permission denied": "it cannot be written; check its owner, or choose another folder with --data",
    "readonly database": "it cannot be written; check its owner, or choose another folder with --data",
    "read-only": "it cannot be written; check its owner, or choose another folder with --data",
    "not a directory": "it is not a folder; choose another one with --data",
    "file exists": "it is not a folder; choose another one with --data",
    "unable to open": "it cannot be opened; check its owner, or choose another folder with --data",
    "not a database": "the file is damaged or something else; restore it, or choose another folder with --data",
    "malformed": "the file is damaged; restore it from a copy, or index again into another folder",
    "schema does not match": "another version of Footage made it; index again into another folder (--data)",
    "database is locked": "another program holds it; try again when that one has finished",
}
BLOCKED_SIGNS = (
    *("permission denied", "readonly database", "read-only", "unable to open", "database is locked"),
    *("input/output error", "disk i/o error", "stale file handle"),
)
"""Signs of what is about the place and not about what was to be written."""
DAMAGE_SIGNS = (
    *("failed to fill whole buffer", "file size is too small", "invalid range", "protobuf", "corrupt", "magic number"),
    *("lanceerror(", "unexpected eof", "not found", "no such file", "out of bounds", "invalid utf", "panic", "decod"),
    *("unexpected end", "out of range"),
)
"""What LanceDB, Arrow and the conversion to records say, in lower case, of files that are cut, changed or gone."""


@contextmanager
def translate_errors(place: Path) -> Iterator[None]:
    """Raise errors of the libraries and of the system in the block as StoreError that names ``place``, with advice.

    A fault of this program stays what it is: translated, it would be taken for the store's and retried.
    """
    try:
        yield
    except StoreError:
        raise
    except BaseException as error:
        if not is_panic(error) and not _is_of_library(error):
            raise
        said = str(error).lower()
        hint = next((hint for sign, hint in HINTS.items() if sign in said), None)
        if hint is FULL:
            raise StoreFull(f"{place}: {hint}") from error
        if hint is not None and any(sign in said for sign in BLOCKED_SIGNS):
            raise StoreBlocked(f"{place}: {hint}") from error
        if hint is None and (is_panic(error) or _tells_damage(said)):
            raise StoreDamaged(f"{place}: {DAMAGED}") from error
        raise StoreError(f"{place}: {hint or _first_line(error)}") from error


def _is_of_library(error: BaseException) -> bool:
    """Whether the system, SQLite, Arrow or LanceDB raised the error; the last one raises ValueError, too."""
    arrow = sys.modules.get("pyarrow")  # not imported for this: what was not loaded has raised nothing
    if isinstance(error, (OSError, sqlite3.Error)) or (arrow and isinstance(error, arrow.ArrowException)):
        return True
    if not isinstance(error, (RuntimeError, ValueError)):
        return False
    frames = traceback.walk_tb(error.__traceback__)
    *_, (last, _) = frames
    return str(last.f_globals.get("__name__", "")).partition(".")[0] == "lancedb"


def is_panic(error: BaseException) -> bool:
    """Whether the error is a panic of LanceDB's Rust code, which is no Exception."""
    return type(error).__name__ == "PanicException"


def _tells_damage(said: str) -> bool:
    return any(sign in said for sign in DAMAGE_SIGNS) and "conflict" not in said


def _first_line(error: BaseException) -> str:
    """The first line of an error's text, without the place in LanceDB's sources."""
    return re.sub(r",? ?/\S+\.rs:\d+:\d+$", "", str(error).partition("\n")[0])


def is_stale(error: Exception) -> bool:
    """Whether the error says that a file of an older, removed version is missing."""
    said = str(error).lower()
    return "not found" in said or "no such file" in said
