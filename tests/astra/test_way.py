"""The way of a user of Astra DB, from the command line and over HTTP: from an empty keyspace to answers, and back.

Where ``FOOTAGE_ASTRA_BUNDLE`` names a real Astra DB, it is gone there: ``astra_or_real`` says what is made and dropped.
"""

import json
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image

from tests import films
from tests.astra.fixture import write_astra_settings
from tests.commands.runner import footage
from tests.commands.test_service import Service
from tests.commands.test_watch import Hook, hook  # noqa: F401 - a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # forty commands

BEGIN, END = "2026-05-04T11:00:00Z", "2026-05-04T13:00:00Z"
INDEX = ("--start", "2026-05-04T12:00:00Z", "--every", "200ms")
SECRET = {"CAMERA_PASSWORD": "secret"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("way")


@pytest.fixture(scope="module")
def film(folder):
    path = folder / "film.mp4"
    films.compose(path, [("black", 4), ("coffee", 3), ("cat", 3), ("black", 5), ("cat", 2)])
    Image.fromarray(films.photograph("cat")).save(folder / "cat.png")
    return path


@pytest.fixture(scope="module")
def write_settings(astra_or_real, folder):
    """Writes a settings file for the database; keywords replace its keys, and ``more`` follows."""

    def write(name, more="", **changed):
        return write_astra_settings(astra_or_real.contact, folder, name, more, **changed)

    return write


@pytest.fixture(scope="module")
def there(write_settings):
    return write_settings("astra.yaml")


def run(config, *words, code=0):
    """A command that ends with ``code`` (None: with any error); returns what it printed, and what it said."""
    done = footage(*words, "--config", config, **SECRET)
    assert done.returncode == code if code is not None else done.returncode, (words, done.stdout, done.stderr)
    return done.stdout, done.stderr


def answer(config, *words):
    return json.loads(run(config, "search", *words, "--json")[0])


@pytest.fixture(scope="module")
def indexed(astra_or_real, there, write_settings, film):
    """The first steps, from an empty keyspace to an index of 85 records: settings of it."""
    assert "footage store init" in run(there, "store", "check", code=1)[1]
    assert "footage store init" in run(there, "search", "a cat", code=None)[1]
    for _ in range(2):
        assert "is ready for" in run(there, "store", "init")[1]
    run(there, "store", "check")
    if astra_or_real.stand_in:  # a real one's client id and secret are not given to tests
        stand_in = astra_or_real.stand_in
        named = {"token": None, "user": stand_in.client_id, "password": stand_in.secret}
        run(write_settings("secret.yaml", **named), "store", "check")
    astra_or_real.forget_refusals()
    run(there, "index", film, *INDEX)
    assert "known already" in run(there, "index", film, *INDEX)[1]
    assert astra_or_real.refused == []
    return there


def starts(found):
    return [m["start"] for m in found["moments"]]


def test_a_search_with_each_filter_and_option(astra_or_real, indexed, folder):
    early, late = sorted(starts(answer(indexed, "a cat")))
    for options, expected in {
        ("--camera", "film"): {early, late},
        ("--from", BEGIN, "--to", END): {early, late},
        ("--camera", "film", "--from", BEGIN, "--to", "2026-05-04T12:00:11Z"): {early},
        ("--days", "mon,tue,wed,thu,fri,sat,sun", "--hours", "0-24"): {early, late},
        ("--mark", "none"): {early, late},
        ("--first",): {early},
        ("--last",): {late},
    }.items():
        assert set(starts(answer(indexed, "a cat", *options))) == expected, options
    for options, order in (("time", [late, early]), ("oldest", [early, late])):
        assert starts(answer(indexed, "a cat", "--sort", options)) == order
    page = answer(indexed, "a cat", "--sort", "time", "--limit", "1")
    then = answer(indexed, "a cat", "--sort", "time", "--limit", "1", "--after", page["next"])
    assert starts(page) + starts(then) == [late, early]
    (folded,) = answer(indexed, "a cat", "--fold")["moments"]
    assert folded["count"] == 2
    assert all(m["refined"] for m in answer(indexed, "a cat", "--refine")["moments"])
    counted = answer(indexed, "a cat", "--count")
    assert (counted["count"], counted["looked"]) == (2, 85)
    for options in (("--mark", "keep"), ("--to", BEGIN), ("--camera", "film", "--from", END)):
        run(indexed, "search", "a cat", *options, code=3)
    frame = answer(indexed, "a cat")["moments"][0]["best"]["frame"]
    for words in ((folder / "cat.png",), (frame,), ("a cat", "-", "a cup of coffee")):
        assert answer(indexed, *words)["moments"], words
    (pair,) = answer(indexed, "a cup of coffee", "--then", "a cat", "--within", "2s", "--then-camera", "film")["pairs"]
    assert pair["then"]["start"] == early
    assert astra_or_real.refused == []


def put(url, body):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def test_a_service_with_a_camera_a_watch_marks_and_tokens(astra_or_real, indexed, write_settings, request, rtsp, hook):  # noqa: F811
    url = rtsp({"yard": request.getfixturevalue("films")["yard"]}, login="user:secret").url(
        "yard", "user:${CAMERA_PASSWORD}"
    )
    camera = f'  - {{name: yard, url: "{url}", every: 200ms, max_gap: 1s, stall: 20s}}\n'
    live = write_settings("live.yaml", f"port: 0\ndisk_free: 1MB\ncameras:\n{camera}")
    astra_or_real.forget_refusals()
    service = Service(live)
    try:
        service.until(lambda cameras: cameras.get("yard", {}).get("records", 0) > 5)
        watch = ("any", "a test picture", "--threshold", "0.01", "--cooldown", "2s", "--camera", "yard")
        run(live, "watch", "add", *watch, "--webhook", hook, "--allow-private")
        service.until(lambda _: Hook.got)
        picture = Hook.got[0][1]["links"]["picture"]
        service.until(lambda _: status(service, picture) == 200)  # its footage may not be on the disk yet
        assert service.get(picture).startswith(b"\xff\xd8")
        assert "active" in run(live, "watch", "list")[0]
        assert json.loads(run(live, "watch", "test", "any", "--last", "1h", "--json")[0])["firings"]
        run(live, "watch", "remove", "any")
        mark_and_find(service)
        token = run(live, "token", "add", "anna", "--role", "admin")[0].strip()
        wait_for_token(service, token)
        run(live, "token", "remove", "anna")
    finally:
        assert service.end() == 0, service.told
    assert "records" in run(live, "forget", "--camera", "yard")[1]
    assert "yard" not in run(indexed, "status", "--json")[0]
    assert astra_or_real.refused == []


def mark_and_find(service):
    """Marks a moment, narrows answers by it, and gets its clip."""
    of_film = {"camera": "film", "from": BEGIN, "to": END}
    moments = json.loads(service.get("/api/search", q="a cat", **of_film))["moments"]
    kept = moments[0]["id"]
    put(f"{service.url}/api/marks/{kept}", {"mark": "keep"})
    for mark, count in (("keep", 1), ("none", 1), ("dismiss", 0)):
        found = json.loads(service.get("/api/search", q="a cat", mark=mark, **of_film))["moments"]
        assert (len(found), kept in {m["id"] for m in found}) == (count, mark == "keep"), mark
    assert service.get(f"/api/moments/{kept}/clip.mp4")[4:8] == b"ftyp"
    put(f"{service.url}/api/marks/{kept}", {"mark": ""})


def status(service, path="/api/cameras", token=""):
    """The status of a request with this token."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{service.url}{path}", headers=headers)) as reply:
            return reply.status
    except urllib.error.HTTPError as refused:
        return refused.code


def wait_for_token(service, token):
    """Until the running service has read that there are tokens: it asks for one, and takes this one."""
    deadline = time.monotonic() + 120
    while status(service) != 401:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert (status(service, token="wrong"), status(service, token=token)) == (401, 200)


def test_copied_forgotten_and_copied_back(astra_or_real, indexed, folder):
    here = folder / "embedded.yaml"
    here.write_text(f"data: {folder / 'embedded'}\nembedder: lite\n")
    before = answer(indexed, "a cat")
    done = footage("store", "copy", "--from", indexed, "--to", here)
    assert done.returncode == 0, done.stderr
    assert "85 records are in both" in done.stderr
    assert answer(here, "a cat") == before
    told = run(indexed, "forget", "--camera", "film", "--from", BEGIN, "--to", "2026-05-04T12:00:05Z")[1]
    assert "forgot 25 records" in told
    assert answer(indexed, "a cat", "--count")["looked"] == 60
    run(indexed, "forget", "--camera", "film")
    run(indexed, "search", "a cat", code=3)
    done = footage("store", "copy", "--from", here, "--to", indexed)
    assert done.returncode == 0, done.stderr
    assert answer(indexed, "a cat") == before
    assert astra_or_real.refused == []
