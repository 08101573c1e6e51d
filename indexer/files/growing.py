"""Recognizes files that have grown since they were indexed, so that only what is new is indexed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from footage.indexer.store.base import Catalog, CatalogEntry
from footage.stream.frame import Kind, Media
from footage.stream.source import identify_file

DOCUMENTS = "growing"
"""Kind of the catalog's documents: by media, the size that was indexed and the identity that the file had then."""
STILL_WRITTEN = 86_400.0
"""Seconds since a file was written to, up to which it may still grow."""


@dataclass(frozen=True, slots=True)
class Growth:
    """A file that was indexed before, under the id that it had when it was smaller.

    Attributes:
        entry: with the duration that the file has now, not done where it has grown.
        size: of the file now, in bytes.
    """

    entry: CatalogEntry
    size: int


class GrowingFiles:
    """Remembers in the catalog how large recently written files were when they were indexed.

    The identity of a file is made from its size and content, so that of a growing file changes; its records stay those
    of its first identity. What was indexed must still be the beginning of the file.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[str, dict[str, Any]] | None = None

    async def load(self) -> None:
        """Read what is known, once."""
        if self._known is None:
            self._known = await self._catalog.documents(DOCUMENTS)

    def identity(self, media: str) -> str:
        """The identity of the file of a media when it was indexed last; its id where it has not grown."""
        return str((self._known or {}).get(media, {}).get("identity", media))

    async def find(self, media: Media, recipe: str, entries: Sequence[CatalogEntry]) -> Growth | None:
        """The earlier entry of a file, if its content then is the beginning of what it is now.

        Args:
            entries: the catalog's entries with this path and camera.
        """
        await self.load()
        for entry in entries:
            before = (self._known or {}).get(entry.media.id)
            if before is None or entry.recipe != recipe or entry.media.kind is not Kind.VIDEO:
                continue
            size = await asyncio.to_thread(lambda: Path(media.path).stat().st_size)
            if size == before["size"] and media.id == before["identity"]:
                return Growth(entry, size)
            if size > before["size"]:
                head = await asyncio.to_thread(identify_file, Path(media.path), media.camera, before["size"])
                if head == before["identity"]:
                    longer = replace(entry.media, duration=max(media.duration, entry.media.duration))
                    return Growth(replace(entry, media=longer, done=False), size)
        return None

    async def remember(self, media: str, path: Path, identity: str, size: int) -> None:
        """Note what was indexed of a file that may still grow."""
        try:
            still_written = time.time() - (await asyncio.to_thread(path.stat)).st_mtime < STILL_WRITTEN
        except OSError:
            return
        known = {"size": size, "identity": identity}
        if still_written and (self._known or {}).get(media) != known:
            await self._catalog.put_document(DOCUMENTS, media, known)
            self._known = {**(self._known or await self._catalog.documents(DOCUMENTS)), media: known}

    async def forget(self, media: Sequence[str]) -> None:
        """Drop what is known of media that are removed."""
        for one in media:
            if self._known and self._known.pop(one, None):
                await self._catalog.put_document(DOCUMENTS, one, None)
