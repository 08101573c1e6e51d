"""Keeps the documents of one kind in memory for some seconds: of what is looked up at each request."""

from __future__ import annotations

import asyncio
import time
from typing import Generic, TypeVar

from pydantic import BaseModel

from footage.indexer.shared_reading import SharedReading
from footage.indexer.store.base import Catalog
from footage.indexer.store.errors import StoreUnreachable
from footage.query.values.documents import parse_documents

T = TypeVar("T", bound=BaseModel)


class CachedDocuments(Generic[T]):
    """The documents of a kind, by name. What is changed here is seen here at once, at other services within seconds.

    Reads and changes take turns: nobody is answered from what another request has only begun to read, and no read that
    began before a change undoes it.
    """

    def __init__(self, catalog: Catalog, kind: str, model: type[T]) -> None:
        self._catalog, self._kind, self._model = catalog, kind, model
        self._found: dict[str, T] | None = None
        self._read_at = float("-inf")
        self._turn = asyncio.Lock()
        self._misses = SharedReading(lambda: self._read(-1.0), lambda: self._read_at)

    async def get(self, name: str, max_age: float) -> T | None:
        """The document of this name as it was ``max_age`` seconds ago at most; while the catalog is away, as read last.

        None means that there was none when this was called: who asks for an unknown name waits for a reading that
        begins after that, a tenth of a second at most.

        Raises:
            StoreUnreachable: and none have been read yet.
        """
        asked = time.monotonic()
        if found := (await self._read(max_age)).get(name):
            return found
        await self._misses.since(asked)
        return (self._found or {}).get(name)

    async def all(self) -> dict[str, T]:
        """Every document as it is now.

        Raises:
            StoreUnreachable: the catalog does not answer.
        """
        return dict(await self._read(None))

    async def put(self, name: str, document: T | None) -> None:
        """Store a document; None removes it, here also when the catalog does not answer.

        Raises:
            StoreUnreachable: the catalog does not answer.
        """
        async with self._turn:
            known = self._found if self._found is not None else {}
            if document is None:
                known.pop(name, None)
            await self._catalog.put_document(self._kind, name, document.model_dump(mode="json") if document else None)
            if document:
                known[name] = document

    async def _read(self, max_age: float | None) -> dict[str, T]:
        asked = time.monotonic()
        async with self._turn:  # whoever waited is content with what was young enough for them when they asked
            if self._found is not None and max_age is not None and asked - self._read_at <= max_age:
                return self._found
            began = time.monotonic()
            try:
                documents = await self._catalog.documents(self._kind)
            except StoreUnreachable:
                if self._found is None or max_age is None:
                    raise
                began = time.monotonic()  # that it does not answer takes long to find out: not for each who waits
            else:
                self._found = parse_documents(self._kind, documents, self._model.model_validate)
            self._read_at = began
            return self._found
