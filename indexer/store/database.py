"""Opens a SQLite file that several processes share, and runs reads and transactions on it from asyncio."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from footage.indexer.file_lock import lock_file
from footage.indexer.store.error_hints import translate_errors
from footage.indexer.store.errors import StoreError
from footage.stream.private import make_file, make_folder

T = TypeVar("T")
MAX_DELAY = 0.002
"""Seconds for which what has been read waits for what is read together with it."""
SchemaMigration = Sequence[str]
"""The statements that migrate the schema from one version to the next."""


class Database:
    """A SQLite connection that one worker thread uses; callers await it from an event loop, one at a time.

    What is read at the same time, as by ``asyncio.gather`` or by several requests, goes to the thread and comes back
    together: a hand-over between threads costs more than most reads.

    The write-ahead log lets readers and one writer of other processes work at the same time. ``synchronous=FULL``: what
    was acknowledged survives a power cut; a commit costs one fsync, about a millisecond.
    The schema's version is SQLite's ``user_version``; older files are migrated when they are opened.
    """

    def __init__(self, path: Path) -> None:
        """Use ``open`` instead."""
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[_Read] = []

    @classmethod
    async def open(cls, path: Path, migrations: Sequence[SchemaMigration]) -> Database:
        """Open or create the file ``path`` and migrate its schema to the newest version.

        Raises:
            StoreError: it cannot be read or written, or a newer version of Footage made it.
        """
        database = cls(path)
        try:
            with translate_errors(path):
                await asyncio.to_thread(make_folder, path.parent)
                async with lock_file(path.with_suffix(".lock")):  # switching to WAL ignores the busy timeout
                    await database._on_thread(lambda: database._connect(migrations))
        except BaseException:
            await database.close()
            raise
        return database

    async def read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a SELECT."""
        return await self.run(lambda connection: connection.execute(sql, values).fetchall())

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one transaction, with no other writer in between."""

        def transact(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        connection = self._require()
        with translate_errors(self.path):
            return await self._on_thread(lambda: transact(connection))

    async def close(self) -> None:
        """Close the connection and end the thread. Calling it twice does no harm."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._on_thread(connection.close)
        self._thread.shutdown(wait=False)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work``, which reads, on the connection's thread."""
        self._require()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._send)
        self._waiting.append(_Read(work, future))
        with translate_errors(self.path):
            return await future

    def _require(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: it is closed")
        return self._connection

    def _send(self) -> None:
        """Send what waits to the thread."""
        waiting, self._waiting = self._waiting, []
        try:
            self._thread.submit(_read_all, self._require(), waiting, asyncio.get_running_loop())
        except (StoreError, RuntimeError) as error:  # it was closed meanwhile, or the program ends
            _deliver([(read, None, error) for read in waiting])

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _connect(self, migrations: Sequence[SchemaMigration]) -> None:
        make_file(self.path)  # its log and its shared memory get the same mode
        connection = self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # deleted content leaves the disk
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StoreError(f"{self.path}: a newer version of Footage made it; upgrade, or choose another --data")
        for number, migration in enumerate(migrations[version:], version + 1):
            for statement in ("BEGIN IMMEDIATE", *migration, f"PRAGMA user_version = {number}", "COMMIT"):
                connection.execute(statement)


class _Read(NamedTuple):
    """What is to be read, and the future of whoever waits for it."""

    work: Callable[[sqlite3.Connection], Any]
    future: asyncio.Future[Any]


_Outcome = tuple[_Read, Any, BaseException | None]


def _read_all(connection: sqlite3.Connection, waiting: Sequence[_Read], loop: asyncio.AbstractEventLoop) -> None:
    """Read, and hand over what has been read so far when it took long."""
    outcomes: list[_Outcome] = []
    began = time.monotonic()
    for read in waiting:
        if read.future.cancelled():
            continue
        try:
            outcomes.append((read, read.work(connection), None))
        except BaseException as error:
            outcomes.append((read, None, error))
        if time.monotonic() - began > MAX_DELAY:
            _hand_over(loop, outcomes)
            outcomes, began = [], time.monotonic()
    _hand_over(loop, outcomes)


def _hand_over(loop: asyncio.AbstractEventLoop, outcomes: Sequence[_Outcome]) -> None:
    with suppress(RuntimeError):  # the loop was closed: nobody waits any more
        if outcomes:
            loop.call_soon_threadsafe(_deliver, outcomes)


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    for read, result, error in outcomes:
        if read.future.done():
            continue
        if error is None:
            read.future.set_result(result)
        else:
            read.future.set_exception(error)
