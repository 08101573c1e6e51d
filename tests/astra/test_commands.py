"""The way of a new user of Astra DB from the command line: from an empty keyspace to answers, and back."""

from __future__ import annotations

import json

import pytest

from tests import films
from tests.astra.server import Astra
from tests.commands.runner import footage

START = ("--start", "2026-05-04T12:00:00Z")


@pytest.fixture
def settings(astra: Astra, tmp_path):
    """Writes a settings file for the database; keywords replace its keys."""

    def write(name="astra.yaml", **changed):
        to = astra.contact
        keys = {"bundle": to.bundle, "token": to.token, "keyspace": to.keyspace} | changed
        given = ", ".join(f"{key}: '{value}'" for key, value in keys.items() if value)
        path = tmp_path / name
        path.write_text(f"data: {tmp_path / 'data'}\nembedder: lite\nstore: astra\ncassandra: {{{given}}}\n")
        return path

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


@pytest.mark.slow
@pytest.mark.timeout(900)  # thirty commands
def test_from_an_empty_keyspace_to_answers_and_back(astra, settings, tmp_path):
    there, here = settings(), tmp_path / "embedded.yaml"
    here.write_text(f"data: {tmp_path / 'embedded'}\nembedder: lite\n")
    check = footage("store", "check", "--config", there)
    assert check.returncode == 1, check.stderr
    assert "footage store init" in check.stderr
    early = footage("search", "a cat", "--config", there)
    assert early.returncode != 0
    assert "footage store init" in early.stderr
    for _ in range(2):
        init = footage("store", "init", "--config", there)
        assert init.returncode == 0, init.stderr
    assert footage("store", "check", "--config", there).returncode == 0
    by_secret = settings("secret.yaml", token=None, user=astra.client_id, password=astra.secret)
    assert footage("store", "check", "--config", by_secret).returncode == 0

    film = films.compose(tmp_path / "film.mp4", [("black", 4), ("coffee", 3), ("cat", 3), ("black", 4)])
    index = footage("index", film, *START, "--every", "200ms", "--config", there)
    assert index.returncode == 0, index.stderr
    assert "known already" in footage("index", film, *START, "--every", "200ms", "--config", there).stderr
    astra.refused.clear()
    for filters in (
        (),
        ("--camera", "film"),
        ("--from", "2026-05-04T11:00:00Z", "--to", "2026-05-04T13:00:00Z"),
        ("--camera", "film", "--from", "2026-05-04T11:00:00Z", "--to", "2026-05-04T13:00:00Z"),
        ("--days", "mon,tue,wed,thu,fri,sat,sun", "--hours", "0-24"),
        ("--sort", "time"),
        ("--last",),
    ):
        done = footage("search", "a cat", "--json", *filters, "--config", there)
        assert done.returncode == 0, (filters, done.stderr)
        assert len(json.loads(done.stdout)["moments"]) == 1, filters
    counted = json.loads(footage("search", "a cat", "--count", "--json", "--config", there).stdout)
    assert (counted["count"], counted["looked"]) == (1, 70)
    assert footage("token", "add", "anna", "--config", there).returncode == 0
    assert footage("watch", "add", "cats", "a cat", "--camera", "film", "--config", there).returncode == 0

    copied = footage("store", "copy", "--from", there, "--to", here)
    assert copied.returncode == 0, copied.stderr
    assert "70 records are in both" in copied.stderr
    ours, theirs = (json.loads(footage("search", "a cat", "--json", "--config", c).stdout) for c in (here, there))
    assert ours == theirs
    assert footage("forget", "--camera", "film", "--config", there).returncode == 0
    assert footage("search", "a cat", "--config", there).returncode == 3
    back = footage("store", "copy", "--from", here, "--to", there)
    assert back.returncode == 0, back.stderr
    assert json.loads(footage("search", "a cat", "--json", "--config", there).stdout) == ours
    assert astra.refused == []
