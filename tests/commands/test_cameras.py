"""Tests that ``footage cameras`` writes only what can be read, and works beside entries that cannot."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from typer.testing import CliRunner

from footage.__main__ import app
from footage.commands.camera_file import change_cameras, folder_file, read_cameras, without, written_name
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


@pytest.mark.parametrize(
    ("content", "unusable"),
    [
        ("cameras: [1, {name: a}, {url: /x}, {name: [], url: 3}, {name: yard, url: /x}]", {"a", "yard", "?", "[]"}),
        ("cameras: [", {"folders.yaml"}),
        ("cameras: {a: 1}", {"folders.yaml"}),
    ],
)
def test_bad_folders_take_no_camera_along(run, file, content, unusable):
    file.write_text("cameras: [{name: yard, url: rtsp://192.0.2.1/x}]")
    folder_file(file.parent).write_text(content)
    code, listed, told = run("cameras", "list")
    assert (code, "folders.yaml" in told) == (0, True), told
    rows = [line.split("  ") for line in listed.splitlines()[1:]]
    assert rows[0][0] == "yard"
    assert {row[0] for row in rows if "not watched" in row or " not watched" in row} == unusable
    assert run("cameras", "add", "gate", "rtsp://192.0.2.2/x")[0] == 0
    assert run("cameras", "remove", "yard")[0] == 0
    assert folder_file(file.parent).read_text() == content or "yard" not in folder_file(file.parent).read_text()


def test_a_camera_cannot_have_the_name_of_a_folder(run, file):
    folder_file(file.parent).write_text("cameras: [{name: porch, url: /videos}]")
    code, _, told = run("cameras", "add", "porch", "rtsp://192.0.2.1/x")
    assert (code, "there is already a camera or folder 'porch'" in told) == (2, True), told
    assert not file.exists()


def test_cameras_that_are_added_at_once_are_all_kept(file):
    names = [f"c{number}" for number in range(40)]

    def add(name):
        return change_cameras(file, lambda listed: [*listed, {"name": name, "url": "rtsp://192.0.2.1/x"}])

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(add, names))
    assert sorted(map(written_name, read_cameras(file))) == sorted(names)
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda name: change_cameras(file, lambda listed: without(listed, name)), names[1:]))
    assert list(map(written_name, read_cameras(file))) == names[:1]
