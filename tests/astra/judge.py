"""Decides what of a connection's statements Astra would execute, knowing the tables and what was prepared."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from tests.astra import frames, limits
from tests.astra.frames import Request

DISALLOWED = (
    "Provided value {} is not allowed for Write Consistency Level (disallowed values are: [ANY, ONE, LOCAL_ONE])"
)
IGNORED = "Ignoring provided values {} as they are not supported for Table Properties"
Refusal = tuple[int, str]
"""Code of the protocol and message."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared statement: its CQL, and which of its values make the partition key, as the server said."""

    query: str
    keys: Sequence[int]


class Judge:
    """Judges statements of one keyspace. Asks the server behind for tables, on worker threads.

    Attributes:
        rate: most statements a second; 0 for no limit.
    """

    def __init__(self, session: Any, keyspace: str) -> None:
        self.rate = 0.0
        self._session, self._keyspace = session, keyspace
        self._prepared: dict[bytes, Prepared] = {}
        self._keys: dict[str, set[str]] = {}
        self._left, self._counted = 0.0, 0.0

    def remember(self, statement: bytes, query: str, keys: Sequence[int]) -> None:
        """Note what the server said of a prepared statement."""
        self._prepared[statement] = Prepared(query, keys)

    def query(self, request: Request) -> str:
        """The CQL of a request."""
        known = self._prepared.get(request.prepared)
        return request.query or (known.query if known else "")

    def is_too_fast(self, count: int) -> bool:
        """Whether so many more statements exceed the rate; a second's worth may come at once."""
        if not self.rate:
            return False
        now = time.monotonic()
        self._left = min(self.rate, self._left + (now - self._counted) * self.rate)
        self._counted = now
        if self._left < count:
            return True
        self._left -= count
        return False

    async def execution(self, requests: Sequence[Request]) -> Refusal | None:
        """Why Astra does not execute a statement, or the statements of a batch; None if it does."""
        for request in requests:
            if why := await self._statement(self.query(request), request):
                return frames.INVALID, why
        size = sum(len(value) for request in requests for value in request.values if value)
        if size > limits.BATCH and len({self._partition(request) for request in requests}) > 1:
            return frames.INVALID, f"Batch is of size {size}, exceeding specified failure threshold {limits.BATCH}"
        return None

    async def definition(self, query: str) -> Refusal | None:
        """Why Astra does not take CQL at all; None if it does."""
        if limits.is_forbidden(query):
            return frames.UNAUTHORIZED, f"Missing correct permission on {self._keyspace}."
        if search := limits.restricted(query):
            missing = await asyncio.to_thread(self._unindexed, *search)
            if missing:
                text = "ANN ordering by vector requires each restricted column to be indexed; no index on: "
                return frames.INVALID, text + ", ".join(missing)
        why = await asyncio.to_thread(self._too_many, query)
        return (frames.INVALID, why) if why else None

    async def warnings(self, query: str) -> list[str]:
        """What Astra says to a statement that it executes."""
        told = []
        if ignored := limits.kept_properties(query)[1]:
            told.append(IGNORED.format(f"[{', '.join(ignored)}]"))
        created = limits.defined_columns(query)
        if created and not created[2] and (count := await asyncio.to_thread(self._table_count)) >= limits.MANY_TABLES:
            text = "Creating table {}, current number of tables {} exceeds warning threshold of {}."
            told.append(text.format(created[0], count, limits.MANY_TABLES))
        return told

    async def _statement(self, query: str, request: Request) -> str | None:
        if limits.is_write(query) and request.consistency in frames.CONSISTENCY:
            return DISALLOWED.format(frames.CONSISTENCY[request.consistency])
        if (size := limits.largest_value(query, request.values)) > limits.VALUE:
            return f"Value of size {size} is greater than the maximum allowed ({limits.VALUE})"
        if limits.in_product(query, request.values) > limits.IN_VALUES:
            text = (
                "The query cannot be completed because cartesian product of all values in IN conditions is greater than"
            )
            return f"{text} {limits.IN_VALUES}"
        if lists := limits.in_lists(query, request.values):
            keys = await asyncio.to_thread(self._partition_keys, limits.selected_table(query))
            count = prod(n for column, n in lists if column in keys)
            if count > limits.IN_PARTITIONS:
                text = f"it selects {count} partitions keys - more than the maximum allowed {limits.IN_PARTITIONS}"
                return f"Select query cannot be completed because {text}"
        return None

    def _partition(self, request: Request) -> object:
        """What tells a statement's partition from others; itself where the server did not say which values do."""
        known = self._prepared.get(request.prepared)
        if request.query is not None or known is None or not known.keys:
            return id(request)
        return tuple(request.values[place] for place in known.keys)

    def _unindexed(self, table: str, columns: list[str]) -> list[str]:
        """Restricted columns that have no SAI index and are not the whole partition key's."""
        partition = self._partition_keys(table)
        asked = "SELECT options FROM system_schema.indexes WHERE keyspace_name = %s AND table_name = %s"
        indexed = {dict(row[0]).get("target", "") for row in self._session.execute(asked, self._names(table))}
        free = partition if partition <= set(columns) else set()
        return sorted(set(columns) - indexed - free)

    def _partition_keys(self, table: str) -> set[str]:
        """Columns of a table's partition key, which never change."""
        if table not in self._keys:
            found = {name for name, kind in self._columns(table) if kind == "partition_key"}
            if not found:  # not there yet
                return found
            self._keys[table] = found
        return self._keys[table]

    def _columns(self, table: str) -> list[tuple[str, str]]:
        asked = "SELECT column_name, kind FROM system_schema.columns WHERE keyspace_name = %s AND table_name = %s"
        return [(row[0], row[1]) for row in self._session.execute(asked, self._names(table))]

    def _names(self, table: str) -> tuple[str, str]:
        keyspace, _, name = table.rpartition(".")
        return keyspace or self._keyspace, name

    def _table_count(self) -> int:
        asked = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = %s"
        return len(list(self._session.execute(asked, (self._keyspace,))))

    def _too_many(self, query: str) -> str | None:
        if defined := limits.defined_columns(query):
            table, columns, added = defined
            columns += len(self._columns(table)) if added else 0
            if columns > limits.COLUMNS:
                most = f"Tables cannot have more than {limits.COLUMNS} columns"
                return f"{most}, but {columns} provided for table {table}"
            if not added and self._table_count() >= limits.TABLES:
                return f"Cannot have more than {limits.TABLES} tables, failed to create table {table}"
        if index := limits.defined_index(query):
            return self._too_many_indexes(*index)
        return None

    def _too_many_indexes(self, table: str, kind: str) -> str | None:
        asked = "SELECT table_name, kind, options FROM system_schema.indexes WHERE keyspace_name = %s"
        every = [(row[0], row[1], dict(row[2])) for row in self._session.execute(asked, (self._keyspace,))]
        sai = [name for name, how, _ in every if how == "CUSTOM"]
        plain = [name for name, how, _ in every if how != "CUSTOM"]
        name = self._names(table)[1]
        if kind == "sasi":
            return "Tables cannot have more than 0 SASI indexes"
        if kind == "plain" and plain.count(name) >= limits.PLAIN_INDEXES:
            return f"Tables cannot have more than {limits.PLAIN_INDEXES} secondary indexes"
        if kind == "sai" and sai.count(name) >= limits.SAI_A_TABLE:
            return f"Tables cannot have more than {limits.SAI_A_TABLE} StorageAttachedIndex secondary indexes"
        if kind == "sai" and len(sai) >= limits.SAI:
            return f"Cannot have more than {limits.SAI} StorageAttachedIndex secondary indexes across all keyspaces"
        return None
