"""What commands say of an Astra DB that they cannot use: incomplete settings, wrong tokens, no keyspace, no answer."""

from __future__ import annotations

import asyncio

import pytest

from footage.indexer.store.cassandra import connect_cassandra
from tests.astra.fixture import write_astra_settings
from tests.astra.server import Astra
from tests.commands.runner import footage


@pytest.fixture
def settings(astra: Astra, tmp_path):
    """Writes a settings file for the database; keywords replace its keys."""

    def write(name="astra.yaml", **changed):
        return write_astra_settings(astra.contact, tmp_path, name, **changed)

    return write


def test_incomplete_settings_are_refused_before_anything_is_sent(astra, settings):
    for changed, missing in (({"bundle": None}, "bundle"), ({"token": None}, "token")):
        done = footage("store", "check", "--config", settings(**changed))
        assert done.returncode == 2, done.stderr
        assert f"astra needs {'the secure connect ' if missing == 'bundle' else ''}" in done.stderr
        assert missing in done.stderr
    assert astra.requests == 0


def test_a_wrong_token_is_refused_and_not_repeated(astra, settings):
    done = footage("store", "check", "--config", settings(token="AstraCS:wrong"))
    assert done.returncode == 1, done.stderr
    assert "refuses this user and password (or token)" in done.stderr
    assert "AstraCS" not in done.stderr


def test_a_database_that_sleeps_or_is_away_is_exit_code_5(astra, settings):
    astra.hibernated = True
    asleep = footage("store", "check", "--config", settings())
    assert asleep.returncode == 5, asleep.stderr
    assert "awake" in asleep.stderr
    assert "Traceback" not in asleep.stderr
    astra.hibernated = False
    astra.go_away()
    away = footage("status", "--config", settings())
    assert away.returncode == 5, away.stderr
    assert "Traceback" not in away.stderr


def test_what_init_needs_is_told_before_a_model_is_opened(astra, settings):
    path = settings(keyspace="nobody_made_it")
    path.write_text(path.read_text().replace("embedder: lite", "embedder: clip\nmodel: /nowhere/model"))
    for command in ("init", "check"):
        done = footage("store", command, "--config", path)
        assert done.returncode == 1, done.stderr
        assert ("nobody_made_it" in done.stderr, "/nowhere" in done.stderr) == (True, False), done.stderr
    path = settings()
    path.write_text(path.read_text().replace("embedder: lite", "embedder: clip\nmodel: /nowhere/model"))
    done = footage("store", "init", "--config", path)
    assert done.returncode != 0
    assert "/nowhere/model" in done.stderr
    assert "is ready" not in done.stderr


def test_init_that_leaves_a_problem_does_not_say_that_all_is_well(astra, settings):
    path = settings()
    assert footage("store", "init", "--config", path).returncode == 0
    asyncio.run(execute(astra, "ALTER TABLE @documents ADD by_hand int"))
    done = footage("store", "init", "--config", path)
    assert done.returncode == 1, done.stderr
    assert "by_hand" in done.stderr
    assert "not ready" in done.stderr


async def execute(astra, cql):
    to = astra.contact
    session = await connect_cassandra(keyspace=to.keyspace, bundle=to.bundle, token=to.token)
    await session.execute_ddl(cql)
    await session.close()
