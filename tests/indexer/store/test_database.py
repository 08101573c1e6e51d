"""Tests of what many read from one SQLite connection at the same time."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from footage.indexer.store.database import Database
from footage.indexer.store.errors import StoreError


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await Database.open(tmp_path / "x.sqlite", [["CREATE TABLE number (n INTEGER)"]])
    yield database
    await database.close()


async def test_each_of_many_at_once_gets_its_own_answer(database: Database) -> None:
    async def ask(n: int) -> int:
        return int((await database.read("SELECT ? * 2", n))[0][0])

    assert await asyncio.gather(*map(ask, range(100))) == [2 * n for n in range(100)]


async def test_an_error_belongs_to_who_caused_it(database: Database) -> None:
    asked = [database.read("SELECT 1"), database.read("SELECT missing"), database.read("SELECT 2")]
    first, failed, last = await asyncio.gather(*asked, return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert not isinstance(last, BaseException)
    assert (first[0][0], last[0][0]) == (1, 2)
    assert isinstance(failed, StoreError)
    assert "no such column" in str(failed)


async def test_what_was_written_before_is_read(database: Database) -> None:
    for n in range(20):
        await database.write(lambda connection, n=n: connection.execute("INSERT INTO number VALUES (?)", (n,)))  # type: ignore[misc]
        counts = await asyncio.gather(*(database.read("SELECT count(*) FROM number") for _ in range(3)))
        assert [rows[0][0] for rows in counts] == [n + 1] * 3


async def test_what_is_read_fast_does_not_wait_for_what_is_read_slowly_with_it(database: Database) -> None:
    go_on = threading.Event()

    def slow(connection: sqlite3.Connection) -> int:
        assert go_on.wait(60)
        return int(connection.execute("SELECT 3").fetchone()[0])

    def pause(_: sqlite3.Connection) -> None:
        assert not go_on.wait(0.01)  # longer than results are kept back

    asked = [asyncio.ensure_future(database.read("SELECT 1")), asyncio.ensure_future(database.run(pause))]
    waiting = asyncio.ensure_future(database.run(slow))
    assert (await asked[0])[0][0] == 1
    await asked[1]
    assert not waiting.done()
    go_on.set()
    assert await waiting == 3


async def test_who_gives_up_is_not_read_for(database: Database) -> None:
    read: list[str] = []
    blocked, go_on = threading.Event(), threading.Event()

    def block(_: sqlite3.Connection) -> None:
        blocked.set()
        assert go_on.wait(60)

    first = asyncio.ensure_future(database.run(block))
    await asyncio.to_thread(blocked.wait, 60)
    gone = asyncio.ensure_future(database.run(lambda _: read.append("gone")))
    stays = asyncio.ensure_future(database.run(lambda _: read.append("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    go_on.set()
    await asyncio.gather(first, stays)
    assert read == ["stays"]
    assert gone.cancelled()


async def test_a_closed_database_says_so(database: Database) -> None:
    waiting = asyncio.ensure_future(database.read("SELECT 1"))
    await asyncio.sleep(0)
    await database.close()
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    assert isinstance(outcome, StoreError) or outcome[0][0] == 1
    with pytest.raises(StoreError, match="closed"):
        await database.read("SELECT 1")
