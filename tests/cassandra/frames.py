"""A table of vectors like the store's, for tests of the server itself."""

from __future__ import annotations

import uuid
from functools import lru_cache

import numpy as np
from cassandra.cluster import Session
from cassandra.query import PreparedStatement
from numpy.typing import NDArray

DIM = 64
SCHEMA_TIMEOUT = 60  # seconds: a cluster takes its time to agree on a change, and more on a busy machine


def make(session: Session) -> str:
    """Create a keyspace with an empty table and its vector index, and use it; return its name."""
    keyspace = f"t_{uuid.uuid4().hex}"
    replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    session.execute(f"CREATE KEYSPACE {keyspace} WITH replication = {replication}", timeout=SCHEMA_TIMEOUT)
    session.set_keyspace(keyspace)
    session.execute(
        "CREATE TABLE frames (camera text, bucket int, ts int, vec VECTOR<FLOAT, 64>, "
        "PRIMARY KEY ((camera, bucket), ts)) WITH memtable = 'trie'",  # skip lists: CASSANDRA-21644
        timeout=SCHEMA_TIMEOUT,
    )
    session.execute(
        "CREATE CUSTOM INDEX ON frames (vec) USING 'StorageAttachedIndex' "
        "WITH OPTIONS = {'similarity_function': 'dot_product'}",
        timeout=SCHEMA_TIMEOUT,
    )
    return keyspace


def units(n: int) -> NDArray[np.float32]:
    """The same ``n`` unit vectors every time, (n, DIM) float32."""
    vectors = np.random.default_rng(7).normal(size=(n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def fill(session: Session, vectors: NDArray[np.float32], first: int = 0) -> None:
    """Insert a row for each vector, with ``ts`` counted from ``first``, in two partitions."""
    insert = _prepared(session, "INSERT INTO frames (camera, bucket, ts, vec) VALUES (?, ?, ?, ?)")
    for ts, vector in enumerate(vectors, first):
        session.execute(insert, ("door", ts % 2, ts, vector.tolist()))


def nearest(session: Session, vector: NDArray[np.float32], k: int) -> list[tuple[int, float]]:
    """The ``k`` best rows of the table: their ``ts`` and Cassandra's score, (1 + inner product) / 2."""
    select = _prepared(session, "SELECT ts, similarity_dot_product(vec, ?) FROM frames ORDER BY vec ANN OF ? LIMIT ?")
    query = vector.tolist()
    return [tuple(row) for row in session.execute(select, (query, query, k))]


@lru_cache(maxsize=4)
def _prepared(session: Session, statement: str) -> PreparedStatement:
    """Prepared once: while a node is frozen, the driver waits ten seconds for it to prepare another one."""
    prepared = session.prepare(statement)
    prepared.is_idempotent = True
    return prepared
