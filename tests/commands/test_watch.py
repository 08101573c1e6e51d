"""Tests ``footage watch`` on the command line."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from PIL import Image
from skimage import data as pictures

from tests import films
from tests.commands.runner import footage
from tests.commands.test_service import Service, write_settings
from tests.ports import free_port

pytestmark = pytest.mark.slow
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = tmp_path_factory.mktemp("films") / "yard.mp4"
    films.compose(path, [("black", 5), ("coffee", 5), ("black", 5), ("cat", 5), ("black", 5), ("cat", 5)])
    done = footage("index", path, "--start", START.isoformat(), data=folder)
    assert done.returncode == 0, done.stderr
    return folder


def ok(*args, data):
    done = footage("watch", *args, data=data)
    assert done.returncode == 0, done.stderr
    return done


def test_a_backtest_shows_when_a_watch_would_have_fired(data, tmp_path):
    ok("add", "pet", "a cat", "--camera", "yard", "--cooldown", "1s", "--base-url", "https://cams.example", data=data)
    tried = ok("test", "pet", "--last", "1d", "--out", tmp_path / "seen", "--json", data=data)
    found = json.loads(tried.stdout)
    starts = [datetime.fromisoformat(f["start"]) - START for f in found["firings"]]
    assert [s.total_seconds() for s in starts] == [15, 25]
    assert found["counts"]["0.5"] == 2
    assert "2 at 0.5" in tried.stderr
    pictures = sorted((tmp_path / "seen").glob("*.jpg"))
    assert len(pictures) == 2
    for path in pictures:
        with Image.open(path) as image:
            assert image.size[0] > 100
    never = footage("watch", "test", "pet", "--last", "1m", data=data)
    assert never.returncode == 3


def test_a_watch_is_paused_and_removed(data):
    ok("add", "truck", "a truck", "--webhook", "https://hooks.example/T0/secret", "--days", "mon-fri", data=data)
    ok("pause", "truck", data=data)
    (shown,) = [w for w in json.loads(ok("list", "--json", data=data).stdout)["watches"] if w["name"] == "truck"]
    assert (shown["paused"], shown["days"], shown["webhook"]) == (True, "mon-fri", "https://hooks.example")
    ok("remove", "truck", data=data)
    assert "truck" not in ok("list", data=data).stdout


def test_a_watch_searches_for_a_picture(data, tmp_path):
    path = tmp_path / "cup.png"
    Image.fromarray(pictures.coffee()).save(path)
    ok("add", "cup", "--picture", path, data=data)
    found = json.loads(ok("test", "cup", "--last", "1d", "--json", data=data).stdout)
    assert [datetime.fromisoformat(f["start"]) - START for f in found["firings"]] == [timedelta(seconds=5)]


@pytest.mark.parametrize(
    ("args", "word"),
    [
        (["bad", "x", "--hours", "9"], "hours"),
        (["bad", "x", "--webhook", "http://127.0.0.1:1/hook"], "--allow-private"),
        (["bad", "x", "--camera", "roof"], "roof"),
        (["bad"], "what to look for"),
        (["bad", "x", "--cooldown", "soon"], "soon"),
    ],
)
def test_an_invalid_watch_is_refused_with_a_hint(data, args, word):
    refused = footage("watch", "add", *args, data=data)
    assert refused.returncode == 2, refused.stderr
    assert word in refused.stderr


def test_without_an_index_the_error_says_how_to_make_one(tmp_path):
    refused = footage("watch", "list", data=tmp_path)
    assert refused.returncode == 2
    assert "footage index" in refused.stderr


class Hook(BaseHTTPRequestHandler):
    """A webhook: each alert's headers and content."""

    got: list = []  # noqa: RUF012

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((dict(self.headers), json.loads(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Log nothing."""


@pytest.fixture
def hook():
    Hook.got.clear()
    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()
    thread.join()
    server.server_close()


SECRET = {"CAMERA_PASSWORD": "secret"}


@pytest.fixture
def settings(rtsp, films, tmp_path):
    return write_settings(rtsp(films, login="user:secret"), tmp_path, "embedder: lite\n")


@contextmanager
def following(settings, url):
    """``footage watch follow``, once it listens."""
    command = [sys.executable, "-m", "footage", "watch", "follow", "--json", "--url", url, "--config", settings]
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | SECRET
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert "following all watches" in process.stderr.readline()
            yield process
        finally:
            process.send_signal(signal.SIGINT)


def test_following_an_unreachable_service_fails():
    told = footage("watch", "follow", "--url", f"http://127.0.0.1:{free_port()}")
    assert told.returncode == 5
    assert "footage serve" in told.stderr


def test_a_running_service_evaluates_a_new_watch_and_calls_the_webhook(settings, hook):
    """Added by another process while cameras run; with so low a threshold anything fires."""
    service = Service(settings)
    try:
        service.until(lambda c: all(c.get(n, {}).get("records", 0) > 5 for n in ("yard", "gate")))
        args = [
            "any",
            "a test picture",
            "--threshold",
            "0.01",
            "--cooldown",
            "2s",
            "--webhook",
            hook,
            "--allow-private",
        ]
        with following(settings, service.url) as follower:
            added = footage("watch", "add", *args, "--config", settings, **SECRET)
            assert added.returncode == 0, added.stderr
            line = json.loads(follower.stdout.readline())
            service.until(lambda _: len(Hook.got) >= 2 and line["id"] in {told["id"] for _, told in Hook.got})
        assert follower.returncode == 130
        assert footage("watch", "follow", "none", "--url", service.url, "--config", settings, **SECRET).returncode == 2
        headers, told = Hook.got[0]  # the oldest: the footage of the newest may not be on the disk yet
        assert headers["webhook-id"] == told["id"]
        assert service.get(told["links"]["picture"]).startswith(b"\xff\xd8")
        assert json.loads(service.get(told["links"]["moment"]))["footage"]
        service.until(lambda _: b'footage_watch_total{outcome="delivered",watch="any"}' in service.get("/metrics"))
    finally:
        assert service.end() == 0
