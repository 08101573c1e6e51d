"""Tests ``footage model``: a real, tiny CLIP is chosen for an index, measured, and used by every other command."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests import films
from tests.commands.runner import footage
from tests.indexer.embed import tiny


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A folder of a tiny CLIP in Immich's layout."""
    return tiny.immich(tmp_path_factory.mktemp("clip") / "tiny")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """The environment of commands that keep what they measured of that CLIP, and the nouns, for each other."""
    return {"FOOTAGE_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.mark.slow
def test_the_table_names_every_model_and_marks_the_one_in_use(tmp_path):
    shown = footage("model", "list", data=tmp_path).stdout
    assert "lite/2" in shown
    assert "clip/ViT-B-16 " in shown
    assert "*" not in shown
    film = films.encode(tmp_path / "film.mp4", films.numbered(20), fps=10, gop=10)
    footage("index", film, data=tmp_path, FOOTAGE_EMBEDDER="lite")
    assert [
        line for line in footage("model", "list", data=tmp_path).stdout.splitlines() if line.startswith("*  lite/2")
    ]


@pytest.mark.slow
def test_a_chosen_model_is_used_until_another_is(tmp_path, clip, cache):
    data = tmp_path / "data"
    used = footage("model", "use", clip, data=data, **cache)
    assert used.returncode == 0, used.stderr
    assert "answers of clip/tiny cannot be trusted here" in used.stderr  # its weights are random
    film = films.encode(tmp_path / "film.mp4", films.numbered(30), fps=10, gop=10)
    indexed = footage("index", film, data=data, **cache)
    assert indexed.returncode == 0, indexed.stderr
    assert "model clip/tiny" in indexed.stderr
    found = footage("search", "a dog", "--json", data=data, **cache)
    assert found.returncode in (0, 3), found.stderr
    answer = json.loads(found.stdout)
    assert answer["moments"] or answer["near_misses"]
    refused = footage("search", "a dog", data=data, FOOTAGE_EMBEDDER="lite", **cache)
    assert refused.returncode == 4
    assert "clip/tiny" in refused.stderr
    assert "lite/2" in refused.stderr
    other = footage("model", "use", "lite/2", data=data, **cache)
    assert other.returncode == 4
    told = footage("doctor", data=data, **cache)
    assert "cosine" in told.stdout
    assert "cannot be trusted" in " ".join(told.stdout.split())


@pytest.mark.slow
def test_a_model_is_judged_and_its_cutoff_is_kept_with_the_index(tmp_path):
    film = films.encode(tmp_path / "film.mp4", films.numbered(20), fps=10, gop=10)
    footage("index", film, data=tmp_path, FOOTAGE_EMBEDDER="lite")
    judged = footage("model", "check", "--set-cutoff", data=tmp_path)
    assert judged.returncode == 0, judged.stderr
    cutoff, figures, sentence = judged.stdout.splitlines()
    assert cutoff.startswith("cutoff set to a cosine of 0.")
    assert re.fullmatch(r"mAP 0\.\d\d, right \d+ of \d+, false 0 of \d+", figures)
    assert sentence == "answers of lite/2 can be trusted here"
    told = " ".join(footage("doctor", data=tmp_path).stdout.split())
    assert f"{sentence} ({figures})" in told


@pytest.mark.slow
def test_migrating_keeps_the_moments_and_reports_what_is_lost(tmp_path, clip, cache):
    data = tmp_path / "data"
    kept = films.encode(tmp_path / "kept.mp4", films.numbered(40), fps=10, gop=10)
    lost = films.encode(tmp_path / "lost.mp4", films.numbered(20, (96, 64)), fps=10, gop=10)
    footage("index", kept, lost, data=data, FOOTAGE_EMBEDDER="lite", **cache)
    lost.unlink()
    done = footage("model", "migrate", clip, data=data, **cache)
    assert done.returncode == 0, done.stderr
    assert "4 records embedded again" in done.stderr
    assert "lost: 2 records of camera lost" in done.stderr
    assert "answers of clip/tiny cannot be trusted here" in done.stderr  # its weights are random
    held = json.loads(footage("status", "--json", data=data, **cache).stdout)
    assert {c["camera"]: c["records"] for c in held["cameras"]} == {"kept": 4, "lost": 0}
    assert footage("search", "a dog", data=data, **cache).returncode in (0, 3)
    again = footage("model", "migrate", clip, data=data, **cache)
    assert (again.returncode, "0 records embedded again, 4 were already" in again.stderr) == (0, True)


@pytest.mark.slow
def test_a_running_service_stops_when_its_index_moves_to_another_model(tmp_path, clip, cache):
    data = tmp_path / "data"
    film = films.encode(tmp_path / "kept.mp4", films.numbered(20), fps=10, gop=10)
    footage("index", film, data=data, FOOTAGE_EMBEDDER="lite", **cache)
    command = [sys.executable, "-m", "footage", "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | cache) as running:
        assert "serving" in running.stderr.readline()
        assert footage("model", "migrate", clip, data=data, **cache).returncode == 0
        assert running.wait(40) == 4
        assert "start footage serve again" in running.stderr.read()


def test_a_model_that_cannot_be_fetched_says_so(tmp_path):
    done = footage(
        "model", "use", "clip/ViT-B-32", data=tmp_path, FOOTAGE_CACHE=str(tmp_path), HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert done.returncode in (1, 5)
    assert "127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_inference_server_error_says_how_to_start_one(tmp_path):
    env = {"FOOTAGE_EMBEDDER": "inference-server", "FOOTAGE_INFERENCE_URL": "http://127.0.0.1:9"}
    done = footage("doctor", data=tmp_path, **env)
    assert done.returncode == 1
    assert "inference" in done.stdout
