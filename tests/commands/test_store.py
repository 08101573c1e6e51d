"""``store: cassandra`` from the command line, on a real server: tables, indexing, searching, and moving an index."""

import asyncio
import json

import pytest

from footage.commands.composition import find_index
from footage.commands.doctor import _check_index
from footage.config.settings import load_settings
from tests import films
from tests.commands.runner import footage


@pytest.fixture
def cluster(cassandra, tmp_path):
    """A settings file for the real server, and one for an embedded index."""
    password = tmp_path / "cluster.yaml"
    password.write_text(
        f"data: {tmp_path / 'cluster'}\nembedder: lite\nstore: cassandra\n"
        f"cassandra: {{hosts: ['{cassandra.host}'], port: {cassandra.port}, keyspace: footage_cli,"
        f" user: {cassandra.user}, password: {cassandra.password}}}\n"
    )
    embedded = tmp_path / "embedded.yaml"
    embedded.write_text(f"data: {tmp_path / 'embedded'}\nembedder: lite\n")
    return password, embedded


@pytest.mark.slow
def test_an_index_in_a_cluster_answers_as_the_embedded_one_does(cluster, tmp_path):
    there, here = cluster
    before = footage("search", "a cat", "--config", there)
    assert before.returncode != 0
    assert "footage store init" in before.stderr
    assert footage("store", "init", "--config", there).returncode == 0
    again = footage("store", "init", "--config", there)
    assert again.returncode == 0, again.stderr
    assert footage("store", "check", "--config", there).returncode == 0
    film = films.compose(tmp_path / "film.mp4", [("black", 3), ("coffee", 5), ("cat", 5), ("black", 3)])
    start = ("--start", "2026-05-04T12:00:00Z")
    assert footage("index", film, *start, "--config", here).returncode == 0
    copied = footage("store", "copy", "--from", here, "--to", there)
    assert copied.returncode == 0, copied.stderr
    assert "16 records are in both" in copied.stderr
    answers = [json.loads(footage("search", "a cat", "--json", "--config", c).stdout) for c in (here, there)]
    assert answers[0]["moments"]
    assert answers[0] == answers[1]
    known = footage("index", film, *start, "--config", there)
    assert "1 known already" in known.stderr
    assert footage("index", film, "--camera", "other", *start, "--config", there).returncode == 0
    held = json.loads(footage("status", "--json", "--config", there).stdout)
    assert {c["camera"]: c["records"] for c in held["cameras"]} == {"film": 16, "other": 16}
    assert footage("forget", "--camera", "other", "--config", there).returncode == 0
    held = json.loads(footage("status", "--json", "--config", there).stdout)
    assert [c["camera"] for c in held["cameras"]] == ["film"]
    settings = load_settings(file=there)
    whole, lost, lost_deep = asyncio.run(_look_before_and_after_a_loss(settings))
    assert whole[1], whole
    assert "16 records, all of them read" in whole[2]
    assert not lost[1]
    assert "records of camera 'film'" in lost[2]
    assert not lost_deep[1]
    assert "records of camera 'film'" in lost_deep[2]


async def _look_before_and_after_a_loss(settings):
    """What ``footage doctor`` says of the index, and when all its vectors are gone, without and with ``--deep``."""
    whole = await _check_index(settings, deep=True)
    index = await find_index(settings)
    from footage.indexer.store.cassandra.schema import find_frames_table

    table = await find_frames_table(index.backend.session, index.store.space)
    await index.backend.session.execute_ddl(f"TRUNCATE TABLE @{table}")
    await index.close()
    return whole, await _check_index(settings, deep=False), await _check_index(settings, deep=True)


def test_an_unreachable_cluster_is_exit_code_5(tmp_path):
    path = tmp_path / "away.yaml"
    path.write_text(
        f"data: {tmp_path}\nembedder: lite\nstore: cassandra\ncassandra: {{hosts: ['127.0.0.1'], port: 9}}\n"
    )
    done = footage("status", "--config", path)
    assert done.returncode == 5, done.stderr
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
