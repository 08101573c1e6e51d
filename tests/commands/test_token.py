"""Tests ``footage token`` and ``footage audit`` on the command line."""

import asyncio
import json
import sqlite3
from datetime import timedelta

import pytest

from footage.query.http.audit import AuditLog
from tests.commands.runner import footage


def test_tokens_are_added_listed_and_removed(tmp_path):
    data = ("--data", str(tmp_path))
    assert json.loads(footage("token", "list", "--json", *data).stdout) == {"tokens": []}
    added = footage("token", "add", "anna", "--role", "review", *data)
    secret = added.stdout.strip()
    assert (added.returncode, len(secret) >= 40) == (0, True)
    assert "not shown again" in added.stderr
    (row,) = json.loads(footage("token", "list", "--json", *data).stdout)["tokens"]
    assert (row["name"], row["role"], row["cameras"]) == ("anna", "review", [])
    assert set(row) == {"name", "role", "cameras", "since"}
    assert "anna" in footage("token", "list", *data).stdout
    with sqlite3.connect(tmp_path / "catalog.sqlite") as database:
        assert secret not in "".join(database.iterdump())
    database.close()
    again = footage("token", "add", "anna", *data)
    assert (again.returncode, "already" in again.stderr) == (2, True)
    assert footage("token", "remove", "anna", *data).returncode == 0
    gone = footage("token", "remove", "anna", *data)
    assert (gone.returncode, "no token 'anna'" in gone.stderr) == (2, True)


def test_a_token_for_an_unknown_camera_is_wrong_usage(tmp_path):
    refused = footage("token", "add", "anna", "--camera", "roof", "--data", str(tmp_path))
    assert (refused.returncode, "roof" in refused.stderr) == (2, True)


def test_the_audit_log_is_shown(tmp_path):
    data = ("--data", str(tmp_path))
    nothing = footage("audit", *data)
    assert (nothing.returncode, "nothing" in nothing.stderr) == (3, True)
    asyncio.run(AuditLog(tmp_path / "audit", timedelta(days=1)).append("anna", "search", {"q": "a dog"}, 2))
    shown = footage("audit", *data)
    assert (shown.returncode, "anna" in shown.stdout, "a dog" in shown.stdout) == (0, True, True)
    (entry,) = json.loads(footage("audit", "--json", "--limit", "1", *data).stdout)["entries"]
    assert (entry["who"], entry["found"]) == ("anna", 2)
    assert footage("audit", "--to", "-1h", *data).returncode == 3


@pytest.mark.slow
def test_a_public_address_is_served_only_with_a_token(tmp_path):
    """192.0.2.7 belongs to no machine (RFC 5737): with a token, serving on it fails because of the address."""
    serve = ("serve", "--host", "192.0.2.7", "--embedder", "lite", "--data", str(tmp_path))
    refused = footage(*serve)
    assert (refused.returncode, "footage token add" in refused.stderr) == (2, True)
    assert footage("token", "add", "anna", "--data", str(tmp_path)).returncode == 0
    tried = footage(*serve)
    assert (tried.returncode, "token" in tried.stderr) == (1, False)
