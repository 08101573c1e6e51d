"""Tests ``footage export``: moments of a search, read from a pipe, and reports of clips that are not verified."""

import json
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from footage.commands.export import parse_request
from tests import films
from tests.commands.runner import footage

pytestmark = pytest.mark.slow


def piped(text, *args, data):
    command = [sys.executable, "-m", "footage", "export", "-", *map(str, args), "--data", str(data)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, env=os.environ, check=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def answer(data, tmp_path_factory):
    """What a search for a cat prints as JSON."""
    path = films.compose(tmp_path_factory.mktemp("films") / "door.mp4", [("coffee", 5), ("black", 5), ("cat", 5)])
    assert footage("index", path, "--start", "2026-05-04T12:00:00Z", data=data).returncode == 0
    return footage("search", "a cat", "--json", data=data).stdout


def manifest(path: Path):
    with ZipFile(path) as archive:
        return json.loads(archive.read("manifest.json"))


def test_moments_of_a_search_are_exported_and_verified(answer, data, tmp_path):
    done = piped(answer, "-o", tmp_path / "cats.zip", "--query", "a cat", "--precise", "--pad", "1", data=data)
    assert (done.returncode, done.stdout.strip()) == (0, str(tmp_path / "cats.zip")), done.stderr
    assert "1 proved" in done.stderr
    told = manifest(tmp_path / "cats.zip")
    assert (told["query"], told["pad"], told["precise"], told["counts"]) == ("a cat", 1, True, {"proved": 1})
    assert told["moments"][0]["score"] == json.loads(answer)["moments"][0]["score"]


def test_missing_footage_changes_the_exit_code(answer, data, tmp_path):
    moment = json.loads(answer)["moments"][0]["id"]
    gone = "roof~1777896001000000~0~1000000"
    done = footage("export", moment, gone, "-o", tmp_path / "some.zip", data=data)
    assert done.returncode == 1, done.stderr
    assert "roof" in done.stderr
    assert manifest(tmp_path / "some.zip")["counts"] == {"proved": 1, "missing": 1}
    none = footage("export", gone, "-o", tmp_path / "none.zip", data=data)
    assert (none.returncode, none.stdout) == (3, ""), none.stderr
    assert not (tmp_path / "none.zip").exists()


def test_wrong_input_is_wrong_usage(answer, data):
    for text, word in (("nonsense", "nonsense"), ('{"moments": 1}', "search --json")):
        done = piped(text, data=data)
        assert (done.returncode, word in done.stderr) == (2, True), done.stderr
    nothing = piped('{"moments": [], "coverage": [], "near_misses": []}', data=data)
    assert nothing.returncode == 3


def test_the_query_of_an_answer_is_in_the_manifest():
    asked = parse_request(
        json.dumps({"moments": [{"id": "door~1~2~3", "score": 0.9}], "query": "a cat"}), False, 2.0, ""
    )
    assert asked.query == "a cat"
    assert [score for _, score in asked.moments] == [0.9]
    assert parse_request("door~1~2~3\ndoor~5~2~3", False, 2.0, "dogs").query == "dogs"
