"""Fixture ``astra``: a database of the module's own that behaves as Astra does, in front of the run's Cassandra."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
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
