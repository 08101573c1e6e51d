"""Remembers in the catalog which vectors belong to it, so that either that was put back from a copy is noticed."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from footage.indexer.store.base import Catalog

NOTE_KIND = "vectors"
"""Kind of the catalog's documents, one a table of vectors, of what the catalog knows of it."""


@dataclass(frozen=True, slots=True)
class VectorsNote:
    """What a catalog knows of a table of vectors.

    Attributes:
        version: the last commit that it was told of; the numbers of commits only rise.
        unknown: records of footage that the catalog does not know, since it is newer than they are.
    """

    version: int = 0
    unknown: int = 0


async def read_note(catalog: Catalog, table: str) -> VectorsNote:
    """Return what the catalog knows of a table; nothing where none was noted, or it cannot be read."""
    found = await catalog.document(NOTE_KIND, table) or {}
    try:
        return VectorsNote(int(found["version"]), int(found["unknown"]))
    except (KeyError, TypeError, ValueError):
        return VectorsNote()


async def write_note(catalog: Catalog, table: str, note: VectorsNote) -> None:
    """Replace what the catalog knows of a table."""
    await catalog.put_document(NOTE_KIND, table, asdict(note))
