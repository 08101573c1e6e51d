"""The server under the tests is a real Cassandra 5 that indexes vectors, and its faults are real faults."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cassandra.fixture import need_driver

# ruff: noqa: E402 - what follows imports the driver
need_driver()

from cassandra.cluster import Session

from tests.cassandra.frames import fill, make, nearest, units
from tests.cassandra.server import Contact, until

START_AND_DIE = """
import os, pathlib, signal, sys
from tests.cassandra.server import QUICK, Server
server = Server(pathlib.Path(sys.argv[1]), options=QUICK)
server.start()
print(server.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def session(cassandra: Contact) -> Iterator[Session]:
    """A session in a new keyspace that holds an empty table of vectors."""
    cluster = cassandra.cluster()
    session = cluster.connect()
    session.default_timeout = 120
    keyspace = make(session)
    yield session
    session.execute(f"DROP KEYSPACE {keyspace}")
    cluster.shutdown()


def test_nearest_vectors_come_in_order_of_their_inner_product(session: Session) -> None:
    vectors = units(60)
    fill(session, vectors)
    found = nearest(session, vectors[0], 5)
    exact = vectors @ vectors[0]
    assert [ts for ts, _ in found] == np.argsort(-exact)[:5].tolist()
    assert [score for _, score in found] == pytest.approx((1 + np.sort(exact)[::-1][:5]) / 2, abs=1e-5)


def test_a_range_inside_one_partition_needs_no_further_index(session: Session) -> None:
    vectors = units(60)
    fill(session, vectors)
    select = session.prepare(
        "SELECT ts FROM frames WHERE camera = ? AND bucket = ? AND ts >= ? AND ts < ? ORDER BY vec ANN OF ? LIMIT 5"
    )
    rows = session.execute(select, ("door", 1, 10, 40, vectors[0].tolist())).all()
    inside = [i for i in range(10, 40) if i % 2 == 1]
    assert [row.ts for row in rows] == sorted(inside, key=lambda i: -(vectors[i] @ vectors[0]))[:5]


@pytest.mark.slow
def test_the_server_dies_with_the_run_that_started_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", START_AND_DIE, tmp_path], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    until(lambda: not _running(pid), 60, lambda: f"process {pid} is still there")


def _running(pid: int) -> bool:
    try:
        return "java" in Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
