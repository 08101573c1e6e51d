"""Tests the command line as a process: its standard output, messages and exit codes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from skimage.data import chelsea

from footage.indexer.embed.base import Space
from footage.indexer.store.sqlite import SqliteCatalog
from tests import films
from tests.commands.runner import footage

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def film(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("films") / "Front door.mp4"
    shots = [("black", 5), ("coffee", 5), ("black", 5), ("cat", 5), ("black", 5)]
    films.compose(path, shots)
    done = footage("index", path, "--start", "2026-05-04T12:00:00Z", data=data)
    assert done.returncode == 0, done.stderr
    assert "26 frames" in done.stderr or "25 frames" in done.stderr
    return path


def test_search_prints_moments_that_clip_takes(film, data, tmp_path):
    found = footage("search", "a cat", data=data)
    assert found.returncode == 0, found.stderr
    line = next(text for text in found.stdout.splitlines() if "Front-door" in text or "Front_door" in text)
    moment = line.split()[-1]
    assert "0:15-0:20" in line
    out = tmp_path / "cat.mp4"
    cut = footage("clip", moment, "-o", out, "--precise", "--pad", "0", data=data)
    assert cut.returncode == 0, cut.stderr
    assert cut.stdout.strip() == str(out)
    with av.open(str(out)) as container:
        assert container.duration / av.time_base == pytest.approx(5, abs=0.2)


def test_json_is_the_answer_of_the_http_api_and_alone_on_standard_output(film, data):
    found = footage("search", "a cat", "--json", data=data)
    answer = json.loads(found.stdout)
    lists = {"moments", "coverage", "near_misses", "pairs"}
    assert set(answer) == lists | {"query", "next", "count", "looked", "complete", "problem"}
    assert answer["moments"][0]["start"] == "2026-05-04T12:00:15Z"


@pytest.mark.slow
def test_refining_counting_and_sequences(film, data):
    fine = json.loads(footage("search", "a cat", "--refine", "--fold", "--json", data=data).stdout)
    assert [(m["refined"], m["count"]) for m in fine["moments"]] == [(True, 1)]
    count = footage("search", "a cat", "--count", data=data)
    assert (count.stdout.strip(), "records" in count.stderr) == ("1", True)
    assert "0:15-0:20" in footage("search", "a cat", "--last", data=data).stdout
    pair = footage("search", "a cup of coffee", "--then", "a cat", "--within", "6s", data=data)
    assert pair.returncode == 0, pair.stderr
    assert "5.0 s  given" in pair.stdout
    assert footage("search", "a cat", "--then", "a cup of coffee", data=data).returncode == 3
    both = footage("search", "a cat", "--first", "--last", data=data)
    assert (both.returncode, "--last" in both.stderr) == (2, True)


@pytest.mark.slow
def test_a_query_sums_words_pictures_and_frames(film, data, tmp_path):
    Pillow.fromarray(chelsea()[10:-10, 20:-20]).save(tmp_path / "cat.jpg")
    found = footage("search", tmp_path / "cat.jpg", "+", "0.5*a", "cat", "-", "a rocket", "--json", data=data)
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert answer["query"] == "cat.jpg + 0.5*a cat - a rocket"
    assert answer["moments"][0]["start"] == "2026-05-04T12:00:15Z"
    frame = answer["moments"][0]["best"]["frame"]
    again = json.loads(footage("search", frame, "--sort", "time", "--json", data=data).stdout)
    assert again["moments"][0]["start"] == "2026-05-04T12:00:15Z"
    for words in (["no cats"], ["a cat", "+"], [tmp_path / "gone.jpg"], ["a cat", "--hours", "8"], ["-", "a cat"]):
        refused = footage("search", *words, data=data)
        assert (refused.returncode, refused.stdout) == (2, ""), words


def test_nothing_found_is_exit_code_3_with_the_nearest_miss(film, data):
    found = footage("search", "an airport runway", "--json", data=data)
    assert found.returncode == 3, found.stdout
    assert json.loads(found.stdout)["moments"] == []
    assert "nothing found" in found.stderr


def test_indexing_again_costs_nothing(film, data):
    again = footage("index", film, "--start", "2026-05-04T12:00:00Z", data=data)
    assert "1 known already" in again.stderr
    assert "0 frames" in again.stderr


def test_status_lists_cameras(film, data):
    held = json.loads(footage("status", "--json", data=data).stdout)
    assert [(c["records"], c["clocks"]) for c in held["cameras"]] == [(25, ["given"])]


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["index", "/no/such/file.mp4"], 1, "/no/such/file.mp4"),
        (["search", " "], 2, "what to look for"),
        (["search", "a cat", "--camera", "roof"], 2, "roof"),
        (["search", "a cat", "--from", "yesterday"], 2, "yesterday"),
        (["clip", "nonsense"], 2, "nonsense"),
        (["clip", "roof~1~2~3"], 3, "roof"),
        (["index", __file__, "--every", "often"], 2, "often"),
        (["serve", "--host", "0.0.0.0"], 2, "token"),
        (["nonsense"], 2, "nonsense"),
    ],
)
def test_errors_name_what_is_wrong_and_have_their_code(film, data, args, code, word):
    done = footage(*args, **({} if args == ["nonsense"] else {"data": data}))
    assert (done.returncode, word in done.stderr.replace("\n", " ")) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_misspelled_setting_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "footage.yaml"
    path.write_text("evry: 2s\n")
    done = footage("status", "--config", path)
    assert done.returncode == 2
    assert "evry" in done.stderr
    assert "'every'" in done.stderr


def test_searching_without_an_index_says_how_to_make_one(tmp_path):
    done = footage("search", "a cat", data=tmp_path)
    assert done.returncode == 2
    assert "footage index" in done.stderr


@pytest.mark.parametrize(("made", "embedder"), [("clip/ViT-B-16", "lite"), ("lite/1", "auto")])
def test_an_index_of_another_model_is_refused_with_both_names(tmp_path, made, embedder):
    async def pin():
        catalog = await SqliteCatalog.open(tmp_path / "catalog.sqlite")
        await catalog.bind_space(Space(made, 512), np.full(1024, 512**-0.5, "<f4").tobytes())
        await catalog.close()

    asyncio.run(pin())
    done = footage("search", "a cat", data=tmp_path, FOOTAGE_EMBEDDER=embedder)
    assert done.returncode == 4, done.stderr
    assert made in done.stderr
    assert "lite/2" in done.stderr
    assert "footage model migrate" in done.stderr


@pytest.mark.slow
def test_forgotten_records_are_no_longer_found(film, data, tmp_path):
    own = tmp_path / "own"
    footage("index", film, "--camera", "hall", "--start", "2026-05-04T12:00:00Z", data=own)
    cats = ("--from", "2026-05-04T12:00:14Z", "--to", "2026-05-04T12:00:21Z")
    done = footage("forget", "--camera", "hall", *cats, data=own)
    assert done.returncode == 0, done.stderr
    answer = json.loads(footage("search", "a cat", "--json", *cats, data=own).stdout)
    assert answer["moments"] == answer["near_misses"] == answer["coverage"] == []
    assert footage("forget", "--camera", "hall", *cats, data=own).returncode == 3


def test_doctor_reports_what_is_chosen(data, film):
    done = footage("doctor", data=data)
    assert done.returncode == 0, done.stdout
    assert "lite/2" in done.stdout
    assert re.search(r"\d+ pictures/s", done.stdout)


@pytest.mark.slow
def test_interrupting_resumes(tmp_path):
    film = films.encode(tmp_path / "long.mp4", films.numbered(3000), fps=10, gop=10)
    own = tmp_path / "data"
    command = [sys.executable, "-m", "footage", "index", str(film), "--every", "0", "--data", str(own)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any((own / "vectors").rglob("*.lance/data/*")) if (own / "vectors").exists() else True:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 130, told
    assert "goes on from here" in told
    assert "Traceback" not in told
    kept = json.loads(footage("status", "--json", data=own).stdout)["cameras"][0]["records"]
    assert 0 < kept < 3000


def test_serve_answers_and_stops_on_sigterm(film, data):
    command = [sys.executable, "-m", "footage", "serve", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        line = running.stderr.readline()
        url = re.search(r"http://\S+", line)[0]
        with urllib.request.urlopen(f"{url}/api/search?q=a%20cat", timeout=120) as reply:
            answer = json.load(reply)
        assert answer["moments"][0]["start"] == "2026-05-04T12:00:15Z"
        running.terminate()
        assert running.wait(60) == 0


@pytest.mark.slow
def test_the_demo_ends_with_moments_and_a_clip(tmp_path):
    done = footage("demo", data=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bikes~" in done.stdout
    with av.open(str(tmp_path / "demo.mp4")) as container:
        assert container.duration > 0
