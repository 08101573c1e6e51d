"""Fixtures of an Astra DB.

``astra`` is a database of the module's own that behaves as Astra does, in front of the run's Cassandra.
``astra_or_real`` is the same, or where ``FOOTAGE_ASTRA_BUNDLE`` names one, a real Astra DB.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.require import require

if TYPE_CHECKING:
    from footage.indexer.embed.base import Space
    from footage.indexer.store.cassandra import CassandraSession
    from tests.astra.server import Astra
    from tests.cassandra.server import Contact


@pytest.fixture(scope="module")
def astra_database(cassandra: Contact, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Astra]:
    """One database for the tests of a module; its keyspace is empty at first."""
    need_cryptography()
    if os.environ.get("FOOTAGE_ASTRA_BUNDLE"):
        pytest.skip("the stand-in's faults and refusals are not for a real Astra DB")
    from tests.astra.server import Astra

    database = Astra(cassandra, tmp_path_factory.mktemp("astra"))
    yield database
    database.close()


@pytest.fixture
def astra(astra_database: Astra) -> Iterator[Astra]:
    """The module's database, without any fault before and after the test."""
    yield astra_database
    astra_database.recover()


@pytest.fixture(scope="module")
def astra_or_real(request: pytest.FixtureRequest) -> Iterator[AstraOrReal]:
    """A keyspace without tables, of the real Astra DB that the environment names, or else of the stand-in.

    In a real one ``FOOTAGE_ASTRA_KEYSPACE`` must be empty, or hold only what the contract tests left, which is dropped
    first; so is at the end what the module made. See ``owned``.
    """
    if not os.environ.get("FOOTAGE_ASTRA_BUNDLE"):
        stand_in: Astra = request.getfixturevalue("astra_database")
        yield AstraOrReal(stand_in.contact, stand_in)
        return
    from tests.astra import owned

    contact: Contact = request.getfixturevalue("cassandra")
    asyncio.run(owned.take(contact))
    yield AstraOrReal(contact)
    asyncio.run(owned.drop(contact))


@dataclass(frozen=True, slots=True)
class AstraOrReal:
    """Where a database is, and the stand-in that it is, if it is one."""

    contact: Contact
    stand_in: Astra | None = None

    def forget_refusals(self) -> None:
        """Begin to note what is refused; a real database tells only by its errors."""
        if self.stand_in:
            self.stand_in.refused.clear()

    @property
    def refused(self) -> list[tuple[str, str]]:
        """What the stand-in has refused."""
        return self.stand_in.refused if self.stand_in else []


@asynccontextmanager
async def open_session(database: Astra, space: Space) -> AsyncIterator[CassandraSession]:
    """A session of the database, with the tables of a space."""
    from footage.indexer.store.cassandra import connect_cassandra, schema

    to = database.contact
    session = await connect_cassandra(keyspace=to.keyspace, bundle=to.bundle, token=to.token)
    try:
        if await schema.find_errors(session, space):
            await schema.create_tables(session, space)
        yield session
    finally:
        await session.close()


def need_cryptography() -> None:
    """End the test, or the module that calls this first, where certificates cannot be made."""
    if find_spec("cryptography") is None:
        require("astra", "pip install 'footage[test]'")


def write_astra_settings(to: Contact, folder: Path, name: str, more: str = "", **changed: object) -> Path:
    """Write a settings file for a database, its data in ``folder``; keywords replace its keys, ``more`` follows."""
    keys = {"bundle": to.bundle, "token": to.token, "keyspace": to.keyspace} | changed
    given = ", ".join(f"{key}: '{value}'" for key, value in keys.items() if value)
    path = folder / name
    path.write_text(f"data: {folder / 'data'}\nembedder: lite\nstore: astra\ncassandra: {{{given}}}\n{more}")
    return path
