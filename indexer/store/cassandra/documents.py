"""Stores small JSON documents in Cassandra by kind and name, without a tombstone for each one that is deleted."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from footage.indexer.store.cassandra.session import CassandraSession, Row, Statement
from footage.indexer.store.errors import StoreError

log = logging.getLogger(__name__)

DELETED = ""
"""Content of a document that was deleted; no JSON is empty."""
SETTLING_TIME = 30_000_000
"""Microseconds after which a write has arrived or was given up: requests end after ten seconds, and clocks agree."""
DELETED_ROWS = 64
"""Rows of deleted documents from which a kind is written anew, if no more than as many documents are left."""
KEPT_AT_ONCE = 250
"""Documents that are written anew in one batch."""
DOCUMENTS_PER_PAGE = 500
READ = "SELECT name, content, WRITETIME(content) FROM @documents WHERE kind = ? AND name >= ? LIMIT ?"
READ_MORE = READ.replace(">=", ">")
READ_ONE = "SELECT content FROM @documents WHERE kind = ? AND name = ?"
INSERT = "INSERT INTO @documents (kind, name, content) VALUES (?, ?, ?)"
REPLACE_DELETED = "UPDATE @documents SET content = ? WHERE kind = ? AND name = ? IF content = ?"


class DocumentRows:
    """Reads and writes documents: those of a kind in one partition, in order of name.

    Deleting a row leaves a tombstone for ten days, and every read of the kind would walk through them. So a document is
    deleted by emptying its content, and a reader that meets many empty rows replaces them: one range of deleted keys,
    and the documents that are left, in one batch. Only rows that are old enough are touched, with timestamps of then:
    whatever is written meanwhile, or was on its way, is newer and stays. ``remove_documents`` deletes a range that
    begins with the partition, so that one such range swallows the one before.
    """

    _session: CassandraSession

    async def put_document(self, kind: str, name: str, document: Mapping[str, Any] | None) -> None:
        """Store a small JSON document under (kind, name); None deletes it."""
        await self._session.write(INSERT, kind, name, DELETED if document is None else json.dumps(document))

    async def add_document(self, kind: str, name: str, document: Mapping[str, Any]) -> bool:
        """Store a document, unless there is one of this kind and name; returns whether it was stored."""
        content = json.dumps(document)
        insert: Statement = (f"{INSERT} IF NOT EXISTS", (kind, name, content))
        statement = insert
        while not await self._session.execute_if(statement):
            found = await self._session.select(READ_ONE, kind, name, profile="serial")
            if found and found[0][0] != DELETED:
                return bool(found[0][0] == content)
            statement = (REPLACE_DELETED, (content, kind, name, DELETED)) if found else insert
        return True

    async def document(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return one document, or None."""
        found = await self._session.select(READ_ONE, kind, name)
        return dict(json.loads(found[0][0])) if found and found[0][0] != DELETED else None

    async def documents(self, kind: str, *, first: str = "", limit: int | None = None) -> dict[str, dict[str, Any]]:
        """Return documents of a kind, by name, in order of name: from ``first`` on, and at most ``limit``."""
        found: dict[str, dict[str, Any]] = {}
        rows: list[Row] = []
        size = DOCUMENTS_PER_PAGE if limit is None else max(1, min(DOCUMENTS_PER_PAGE, limit))
        cql, after = READ, first
        while limit is None or len(found) < limit:
            page = await self._session.select(cql, kind, after, size)
            found |= {name: json.loads(content) for name, content, _ in page if content != DELETED}
            rows += page
            if len(page) < size:
                break
            cql, after = READ_MORE, page[-1][0]
        if limit is not None:
            return dict(list(found.items())[:limit])
        if not first:
            await self._tidy_documents(kind, rows)
        return found

    async def documents_between(self, kind: str, first: str, end: str) -> dict[str, dict[str, Any]]:
        """Return the documents of a kind whose names lie in [first, end), by name in order of name; reads no others."""
        select = "name, content FROM @documents"
        pages = self._session.select_pages(
            select, "kind = ?", (kind,), "name", (first,), (end,), page=DOCUMENTS_PER_PAGE
        )
        rows = [row async for page in pages for row in page] if first < end else []
        return {name: json.loads(content) for name, content in rows if content != DELETED}

    async def remove_documents(self, kind: str, before: str = "") -> None:
        """Delete the documents of a kind whose names are before ``before``; all of the kind when it is empty."""
        if before:
            await self._session.write("DELETE FROM @documents WHERE kind = ? AND name < ?", kind, before)
        else:
            await self._session.write("DELETE FROM @documents WHERE kind = ?", kind)

    async def _tidy_documents(self, kind: str, rows: Sequence[Row]) -> None:
        """Write a kind anew, a few documents at a time, where many rows of deleted ones lie between them."""
        before = time.time_ns() // 1000 - SETTLING_TIME
        after, part = "", list[Row]()
        for number, row in enumerate(rows, 1):
            part.append(row)
            ended, left = number == len(rows), sum(content != DELETED for _, content, _ in part)
            if not ended and left < KEPT_AT_ONCE:
                continue
            settled = [each for each in part if each[2] <= before]
            kept = [each for each in settled if each[1] != DELETED]
            if len(settled) - len(kept) >= max(DELETED_ROWS, left):
                await self._replace_documents(kind, after, None if ended else row[0], kept, before)
            after, part = row[0], []

    async def _replace_documents(
        self, kind: str, after: str, last: str | None, kept: Sequence[Row], before: int
    ) -> None:
        """Delete what was written of (after, last] until ``before`` (last None: to the end), and write ``kept``."""
        end, bound = ("", ()) if last is None else (" AND name <= ?", (last,))
        delete = f"DELETE FROM @documents USING TIMESTAMP ? WHERE kind = ? AND name > ?{end}"
        changes: list[Statement] = [(delete, (before, kind, after, *bound))]
        insert = f"{INSERT} USING TIMESTAMP ?"
        changes += [(insert, (kind, name, content, before + 1)) for name, content, _ in kept]
        try:
            await self._session.write_batch(changes)
        except StoreError as error:  # nothing that was asked for depends on it: a reader may not be permitted to write
            log.debug("deleted documents of the kind '%s' stay for now: %s", kind, error)
