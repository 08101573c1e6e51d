"""Translates errors of LanceDB, SQLite and the file system into StoreError with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from footage.indexer.store.base import StoreError

HINTS = {
    "no space left": "the disk is full; free some space or run `footage forget`",
    "disk is full": "the disk is full; free some space or run `footage forget`",
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


@contextmanager
def translate_errors(place: Path) -> Iterator[None]:
    """Raise errors of the block as StoreError that names ``place`` and says what to do."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        said = str(error).lower()
        hint = next((hint for sign, hint in HINTS.items() if sign in said), str(error).partition("\n")[0])
        raise StoreError(f"{place}: {hint}") from error


def is_stale(error: Exception) -> bool:
    """Whether the error says that a file of an older, removed version is missing."""
    said = str(error).lower()
    return "not found" in said or "no such file" in said
