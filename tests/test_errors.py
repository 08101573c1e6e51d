"""Tests what errors that are meant for people lead to: an exit code, an HTTP status, a hint; and what bugs lead to."""

import importlib
import inspect
import pkgutil

import pytest
import typer
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import footage
from footage.commands.errors import exit_code, reports_errors
from footage.query.http.app import convert_errors
from footage.query.http.auth import IDENTITY
from footage.query.http.tokens import Identity
from footage.stream.errors import FootageError
from footage.stream.files.unreadable import MediaError

AGAIN = "try again later; /readyz tells when it is back"
KNOWN = {
    "commands.errors.UsageError": (2, 500, ""),
    "config.values.SettingsError": (2, 500, ""),
    "indexer.embed.base.EmbedderError": (1, 503, AGAIN),
    "indexer.embed.base.EmbedderUnreachable": (5, 503, AGAIN),
    "indexer.embed.base.ModelFault": (1, 503, AGAIN),
    "indexer.embed.download.HubError": (1, 503, AGAIN),
    "indexer.embed.roboflow.TextTooLong": (1, 503, AGAIN),
    "indexer.migration.migrate.NotMigrated": (1, 500, ""),
    "indexer.pipeline.spool.SpoolFull": (1, 500, ""),
    "indexer.store.errors.SpaceMismatch": (4, 500, ""),
    "indexer.store.errors.StoreDamaged": (1, 500, ""),
    "indexer.store.errors.StoreError": (1, 500, ""),
    "indexer.store.errors.StoreFull": (1, 500, ""),
    "indexer.store.errors.StoreUnreachable": (5, 503, AGAIN),
    "indexer.supervisor.StageFailed": (1, 500, ""),
    "query.clips.service.FootageUnreachable": (5, 503, "its footage can be had again when that service is back"),
    "query.clips.service.NotFound": (3, 404, ""),
    "query.clips.source.ClipError": (1, 409, ""),
    "query.http.auth.UnsafeBind": (2, 500, ""),
    "query.http.tokens.TokenError": (2, 400, ""),
    "query.scoring.expression.BadTerms": (2, 400, ""),
    "query.search.cursor.BadCursor": (2, 400, ""),
    "query.values.ids.BadId": (2, 400, ""),
    "query.values.schedule.BadSchedule": (2, 400, ""),
    "query.watches.watch.WatchError": (2, 400, ""),
    "stream.files.unreadable.MediaError": (1, 409, ""),
    "stream.source.SourceError": (1, 500, ""),
}
"""Exit code, HTTP status and hint: what two tables of classes said before each class said it itself."""
SIGNALS = {
    *("StoppedError", "TimelineBreakError", "ReconnectError", "ColumnDamaged"),
    *("HardwareFailureError", "HardwareGivenUpError"),
}
"""Exceptions that never reach a person: they tell a caller in the same folder what happened."""


@pytest.mark.parametrize("name", KNOWN)
async def test_an_error_has_the_exit_code_status_and_hint_that_it_always_had(name):
    kind = pkgutil.resolve_name(f"footage.{name}")
    error = kind(*["the text"] * (2 if kind is MediaError else 1))
    code, status, hint = KNOWN[name]
    assert exit_code(error) == code
    for caller in (Identity("boss"), Identity("boss", "admin", ("yard",)), Identity("anna", "view"), None):
        told = str(error) if not error.public or (caller and caller.sees_all) else error.public
        answer = await answer_to(error, caller)
        assert answer == (status, {"ok": False, "error": told, "hint": hint, "status": status})


ROOMS = ("indexer.store.", "indexer.embed.", "indexer.pipeline.", "query.clips.service.FootageUnreachable")
NAMING = [n for n in KNOWN if n.startswith(ROOMS) and not n.endswith(("SpaceMismatch", "TextTooLong"))]
"""Errors that may name machines, folders or cameras of others; not those of a model's name or a text alone."""


@pytest.mark.parametrize("name", NAMING)
async def test_what_names_machines_and_folders_is_told_to_admins_of_all_cameras_alone(name):
    error = pkgutil.resolve_name(f"footage.{name}")("Cassandra 10.0.0.7:9042/footage: /srv/index, camera 'gate'")
    assert "10.0.0.7" in str(await answer_to(error, Identity("boss")))
    for caller in (None, Identity("anna", "review"), Identity("boss", "admin", ("yard",))):
        told = str(await answer_to(error, caller))
        assert not any(word in told for word in ("10.0.0.7", "/footage", "/srv", "gate"))


async def answer_to(error, caller=None):
    """Status and JSON of the answer to a request of this caller that ends with this error."""

    async def fail(request):
        if caller:
            request[IDENTITY] = caller
        raise error

    app = web.Application(middlewares=[convert_errors])
    app.router.add_get("/", fail)
    async with TestClient(TestServer(app)) as client, client.get("/") as response:
        return response.status, await response.json()


@pytest.mark.parametrize("kind", [ValueError, KeyError, RuntimeError, MemoryError, AssertionError, OSError, TypeError])
async def test_a_bug_is_a_logged_500_that_tells_nothing_of_its_inside(kind, caplog):
    status, answer = await answer_to(kind("/srv/secret/path"))
    assert status == 500
    assert "secret" not in str(answer)
    assert answer["hint"] == "see the service's log"
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == [str(kind("/srv/secret/path"))]


def test_a_bug_is_told_in_a_line_with_code_1_and_its_trace(capsys):
    @reports_errors
    def command():
        raise KeyError("inner")

    with pytest.raises(typer.Exit) as ended:
        command()
    assert ended.value.exit_code == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "footage: this is a bug (KeyError: 'inner'); its trace is above: please report it"
    assert lines[0] == "Traceback (most recent call last):"


def test_on_a_terminal_the_trace_of_a_bug_is_in_a_file(capsys, monkeypatch, tmp_path):
    @reports_errors
    async def command():
        raise ValueError("inner")

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(typer.Exit):
        command()
    (line,) = capsys.readouterr().err.splitlines()
    (file,) = tmp_path.iterdir()
    assert f"its trace is in {file}" in line
    assert file.read_text().endswith("ValueError: inner\n")


def test_every_error_class_has_the_one_base():
    strangers = set()
    for module in pkgutil.walk_packages(footage.__path__, "footage."):
        if module.name.startswith("footage.client") or module.name.endswith("__main__"):
            continue
        for name, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            own = kind.__module__ == module.name and issubclass(kind, Exception)
            if own and not issubclass(kind, FootageError) and not name.startswith("_"):
                strangers.add(name)
    assert strangers == SIGNALS
