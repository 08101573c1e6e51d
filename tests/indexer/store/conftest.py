"""Fixtures: ``session``, to a keyspace of the test's own on the run's Cassandra, with the tables of a space."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from footage.indexer.store.cassandra import CassandraSession
    from tests.cassandra.server import Contact


@pytest.fixture
async def session(cassandra: Contact) -> AsyncIterator[CassandraSession]:
    """A session; its keyspace is dropped after the test."""
    from footage.indexer.store.cassandra import connect_cassandra, schema
    from tests.indexer.store.store_contract import SPACE

    name, at = f"t_{uuid.uuid4().hex[:12]}", cassandra
    session = await connect_cassandra([at.host], at.port, name, user=at.user, password=at.password)
    await schema.create_tables(session, SPACE)
    yield session
    await session.execute_ddl(f"DROP KEYSPACE {name}")
    await session.close()
