"""Fixtures: ``cassandra``, one server for a whole run and its workers, and ``cassandra3``, a cluster of three nodes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cassandra.jars import Unavailable, jars, java
from tests.require import require

if TYPE_CHECKING:
    from tests.cassandra.server import Contact, Server


@pytest.fixture(scope="session")
def cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contact]:
    """A Cassandra 5: the one that ``FOOTAGE_TEST_CASSANDRA=host:port`` names, or one that lives for this run.

    Or Astra DB, for the contracts alone: ``FOOTAGE_ASTRA_BUNDLE``, ``FOOTAGE_ASTRA_TOKEN``, and in
    ``FOOTAGE_ASTRA_KEYSPACE`` a keyspace that the tests may empty.
    """
    need_driver()
    if bundle := os.environ.get("FOOTAGE_ASTRA_BUNDLE"):
        yield _astra(Path(bundle))
        return
    named = os.environ.get("FOOTAGE_TEST_CASSANDRA")
    if named:
        yield _named(named)
        return
    need_java()
    from tests.cassandra.server import NEVER_RESTARTED, QUICK, shared

    run = tmp_path_factory.getbasetemp()
    folder = (run.parent if "PYTEST_XDIST_WORKER" in os.environ else run) / "cassandra"
    with shared(folder, options=(*QUICK, *NEVER_RESTARTED)) as contact:
        yield contact


@pytest.fixture
def cassandra3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """Three running nodes of one cluster, for tests that take one away; no password is asked for."""
    need_driver()
    need_java()
    from tests.cassandra.server import QUICK, start, three

    nodes = three(
        tmp_path_factory.mktemp("cassandra3"), options=QUICK, settings={"authenticator": "AllowAllAuthenticator"}
    )
    try:
        start(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.kill()


def need_driver() -> None:
    """End the test, or the module that calls this first, where the driver is not installed: it is an extra."""
    if find_spec("cassandra") is None:
        require("cassandra", "pip install 'footage[cassandra]'")


def need_java() -> None:
    """End the test where Java 17 or the jars of the server are missing."""
    try:
        java()
        jars()
        return
    except Unavailable as missing:
        how = str(missing)
    require("cassandra", how)


def _astra(bundle: Path) -> Contact:
    from tests.cassandra.server import Contact

    token, keyspace = os.environ["FOOTAGE_ASTRA_TOKEN"], os.environ["FOOTAGE_ASTRA_KEYSPACE"]
    return Contact("", 0, "", "", bundle, token, keyspace)


def _named(address: str) -> Contact:
    from tests.cassandra.server import Contact

    host, _, port = address.rpartition(":")
    user = os.environ.get("FOOTAGE_TEST_CASSANDRA_USER", "cassandra")
    return Contact(host, int(port), user, os.environ.get("FOOTAGE_TEST_CASSANDRA_PASSWORD", "cassandra"))
