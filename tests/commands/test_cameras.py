"""Tests that ``footage cameras`` writes only what can be read, and works beside entries that cannot."""

import pytest
from typer.testing import CliRunner

from footage.__main__ import app
from footage.config.cameras import camera_file

BAD = """cameras:
- {name: yard, url: rtsp://192.0.2.1/x}
- {name: front door, url: rtsp://192.0.2.1/x}
- {name: door, url: 'rtsp://u:${NOT_SET}@192.0.2.1/x', keep: 7d}
- loose
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command on ``tmp_path/data``; gives its exit code, output and messages."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments):
        done = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "data")])
        return done.exit_code, done.stdout, done.stderr

    return command


@pytest.fixture
def file(tmp_path):
    path = camera_file(tmp_path / "data")
    path.parent.mkdir()
    return path


@pytest.mark.parametrize(
    "wrong",
    [
        ("front door", "rtsp://192.0.2.1/x"),
        ("..", "rtsp://192.0.2.1/x"),
        ("yard", "rtsp://192.0.2.1/x", "--keep", "soon"),
        ("yard", "rtsp://192.0.2.1/x", "--keep", "0"),
        ("yard", "rtsp://192.0.2.1/x", "--every", "never"),
        ("yard", "rtsp://192.0.2.1/x", "--transport", "pigeon"),
        ("yard", "rtsp://u:${NOT_SET}@192.0.2.1/x"),
        ("yard", "foo"),
        ("yard", ""),
        ("yard", "rtsp://"),
    ],
    ids=" ".join,
)
def test_what_could_not_be_read_again_is_not_added(run, tmp_path, wrong):
    code, _, told = run("cameras", "add", *wrong)
    assert (code, "not added" in told) == (2, True), told
    assert not camera_file(tmp_path / "data").exists()


def test_bad_entries_are_listed_and_removed_and_good_ones_added_beside_them(run, file):
    file.write_text(BAD)
    code, listed, told = run("cameras", "list")
    assert code == 0
    assert [line.split("  ")[0] for line in listed.splitlines()[1:]] == ["yard", "front door", "door", "?"]
    assert "NOT_SET" in told
    assert "'front-door'" in told
    assert run("cameras", "add", "gate", "rtsp://192.0.2.2/x")[0] == 0
    assert run("cameras", "add", "door", "rtsp://192.0.2.2/x")[0] == 2
    assert run("cameras", "test", "door")[0] == 2
    assert run("cameras", "remove", "front door")[0] == 0
    assert run("cameras", "remove", "door")[0] == 0
    code, listed, told = run("cameras", "list")
    assert [line.split("  ")[0] for line in listed.splitlines()[1:]] == ["yard", "gate", "?"]
    assert "loose" in file.read_text()  # what has no name is for an editor


@pytest.mark.parametrize("content", ["cameras: [", "cameras: {a: b}"])
def test_a_file_that_cannot_be_read_is_not_replaced(run, file, content):
    file.write_text(content)
    for command in (("add", "yard", "rtsp://192.0.2.1/x"), ("remove", "yard")):
        code, _, told = run("cameras", *command)
        assert (code, "cameras.yaml" in told) == (2, True), told
    assert file.read_text() == content
    code, _, told = run("cameras", "list")
    assert (code, "cameras.yaml" in told) == (0, True)


def test_status_and_search_go_on_beside_a_bad_entry(run, file):
    file.write_text(BAD)
    code, _, told = run("status")
    assert (code, "front door" in told) == (0, True)
    code, _, told = run("search", "a cat")
    assert (code, "front door" in told, "there is no index" in told) == (2, True, True)


def test_a_camera_that_cannot_be_used_is_not_shared(run, file, monkeypatch):
    file.write_text(BAD)
    monkeypatch.setenv("FOOTAGE_STORE", "cassandra")
    monkeypatch.setenv("FOOTAGE_CASSANDRA__PORT", "9")  # nobody is asked
    for name in ("front door", "door"):
        code, _, told = run("cameras", "share", name)
        assert (code, "cameras.yaml" in told) == (2, True), told
