"""Tests two ``footage serve --worker`` that share the cameras of a real cluster; one is killed, one is frozen."""

import asyncio
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from footage.commands.composition import find_index
from footage.config.settings import load_settings
from footage.indexer.store.base import CoverageState, Where
from footage.query.http.tokens import add_token
from tests.commands.runner import footage
from tests.commands.test_service import FAR, LONG_AGO, Service, ended  # noqa: F401
from tests.require import require

NAMES = ("yard", "gate", "long", "sliced")
SECOND = timedelta(seconds=1)


@pytest.fixture
def cluster(cassandra, rtsp, films, tiny_clip, tmp_path):
    """Settings files of two workers on one new keyspace, whose cameras are shared."""
    server = rtsp(films, login="user:secret")
    lines = [
        f"{tiny_clip}port: 0",
        "disk_free: 1MB",
        "store: cassandra",
        f"cassandra: {{hosts: ['{cassandra.host}'], port: {cassandra.port}, keyspace: w_{uuid.uuid4().hex[:12]},"
        f" user: {cassandra.user}, password: {cassandra.password}}}",
        "cameras:",
    ]
    for name in NAMES:
        url = server.url(name, "user:${CAMERA_PASSWORD}")
        lines.append(f'  - {{name: {name}, url: "{url}", every: 500ms, max_gap: 1s, stall: 20s}}')
    files = []
    for worker in "ab":
        files.append(tmp_path / f"{worker}.yaml")
        files[-1].write_text("\n".join([f"data: {tmp_path / worker}", *lines]))
    env = {"CAMERA_PASSWORD": "secret"}
    for command in (("store", "init"), ("cameras", "share")):
        done = footage(*command, "--config", files[0], **env)
        assert done.returncode == 0, done.stderr
    return files


def watched(service):
    """Which worker watches each camera live, as this service reports it."""
    return {n: c["live"]["worker"] for n, c in service.cameras().items() if c["live"] and c["live"]["state"] == "live"}


def until(condition, seconds=180):
    """The seconds that it took until the condition held."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, "it did not happen in time"
        time.sleep(0.1)
    return time.monotonic() - begun


def stored(settings, monkeypatch):
    """All records as (camera, time, worker), and the coverage."""

    async def read():
        monkeypatch.setenv("CAMERA_PASSWORD", "secret")
        index = await find_index(load_settings(file=settings))
        media = {e.media.id: e.media.path for e in await index.catalog.media_between([], LONG_AGO, FAR)}
        records = [(r.camera, r.time, media[r.media]) async for r in index.store.scan(Where())]
        coverage = await index.catalog.coverage([], LONG_AGO, FAR)
        documents = [await index.catalog.documents(kind) for kind in ("camera", "status", "worker")]
        await index.close()
        return records, coverage, json.dumps(documents)

    records, coverage, documents = asyncio.run(read())
    folders = {str(settings.parent / worker): worker for worker in "ab"}
    return [(c, t, next(w for f, w in folders.items() if p.startswith(f))) for c, t, p in records], coverage, documents


async def leases_given(settings, monkeypatch):
    """How often each lease has changed hands."""
    monkeypatch.setenv("CAMERA_PASSWORD", "secret")
    index = await find_index(load_settings(file=settings))
    rows = await index.backend.session.select("SELECT name, number FROM @lease_holders")
    await index.close()
    return dict(rows)


@pytest.mark.slow
def test_two_workers_share_the_cameras_when_one_freezes_dies_or_stops(cluster, monkeypatch, capsys):
    """One is frozen for longer than its lease and resumes, is killed and restarted; the other one is stopped."""
    first, second = (Service(file, "--worker", name) for file, name in zip(cluster, "ab", strict=True))
    split = {"a": 2, "b": 2}
    until(lambda: Counter(watched(first).values()) == split and watched(second) == watched(first))
    until(lambda: all(c["records"] > 5 for c in first.cameras().values()))
    acknowledged = {(c, t) for c, t, _ in stored(cluster[0], monkeypatch)[0]}

    frozen, mine = datetime.now(UTC), {name for name, worker in watched(first).items() if worker == "a"}
    first.process.send_signal(signal.SIGSTOP)
    moved = until(lambda: watched(second) == dict.fromkeys(NAMES, "b"))
    until(lambda: all(datetime.fromisoformat(second.cameras()[n]["end"]) > frozen for n in mine))
    held = {(c, t) for c, t, w in stored(cluster[0], monkeypatch)[0] if w == "a"}
    woken = datetime.now(UTC)
    first.process.send_signal(signal.SIGCONT)
    until(lambda: Counter(watched(second).values()) == split)
    fenced = next(x for x in first.get("/metrics").decode().splitlines() if x.startswith("footage_records_fenced_t"))

    question = {"q": "a dog", "to": woken.isoformat(), "from": "-10m"}
    mine = {name for name, worker in watched(second).items() if worker == "a"}
    first.end(signal.SIGKILL)
    killed = datetime.now(UTC)
    took = until(lambda: watched(second) == dict.fromkeys(NAMES, "b"))
    third = Service(cluster[0], "--worker", "a")
    back = until(lambda: Counter(watched(second).values()) == split and watched(third) == watched(second))
    answers = [json.loads(s.get("/api/search", **question)) for s in (second, third)]
    assert answers[0] == answers[1]
    assert second.end() == 0
    handed = until(lambda: watched(third) == dict.fromkeys(NAMES, "a"))
    assert third.end() == 0

    records, coverage, documents = stored(cluster[0], monkeypatch)
    given = asyncio.run(leases_given(cluster[0], monkeypatch))
    with capsys.disabled():
        print(
            f"\nfrozen: moved in {moved:.1f} s, then {fenced}; killed: {took:.1f} s; back: {back:.1f} s;"
            f" stopped: {handed:.1f} s; {len(records)} records"
        )
    assert "secret" not in documents + first.told + second.told + third.told
    assert acknowledged <= {(c, t) for c, t, _ in records}
    assert set(Counter((c, t) for c, t, _ in records).values()) == {1}
    assert [(c, t) for c, t, w in records if w == "a" and t < woken and (c, t) not in held] == []
    for name in NAMES:
        by = [w for c, _, w in records if c == name]
        turns = by[:1] + [w for v, w in pairwise(by) if v != w]
        assert len(turns) <= given[name], (name, turns)  # one for each time that the lease was given: never mixed
    gaps = [c for c in coverage if c.state is CoverageState.GAP and c.start <= killed + SECOND and c.end > killed]
    assert {c.camera for c in gaps if c.cause == "footage was not running"} == mine, coverage


def ask(service, path, token="", **headers):
    """Status and body of an answer, and its headers."""
    given = headers | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(service.url + path, headers=given)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, reply.read(), dict(reply.headers)
    except urllib.error.HTTPError as error:
        return error.code, error.read(), dict(error.headers)


def elsewhere(hidden):
    """What starts a command as if on another machine, where a folder is empty: in a mount namespace of its own."""
    hidden.mkdir(exist_ok=True)
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
    try:
        subprocess.run([*prefix, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        require("unshare", "util-linux, and a kernel that lets users make namespaces")
    return prefix


def add_tokens(settings, monkeypatch, **cameras):
    """New tokens of role review, each limited to a camera."""

    async def add():
        monkeypatch.setenv("CAMERA_PASSWORD", "secret")
        index = await find_index(load_settings(file=settings))
        added = {name: await add_token(index.catalog, name, "review", given) for name, given in cameras.items()}
        services = json.dumps(await index.catalog.documents("service"))
        await index.close()
        return added, services

    return asyncio.run(add())


@pytest.mark.slow
def test_any_service_hands_out_what_a_worker_recorded(cluster, monkeypatch, tmp_path):
    """One worker and a service without cameras, each with its own data folder; then the worker is killed."""
    for name in ("api", "desk"):
        text = cluster[0].read_text().partition("cameras:")[0]
        (tmp_path / f"{name}.yaml").write_text(text.replace(str(tmp_path / "a"), str(tmp_path / name)))
    away, desk = elsewhere(tmp_path / "a"), ("--config", tmp_path / "desk.yaml")
    started = datetime.now(UTC)
    worker, api = Service(cluster[0], "--worker", "a"), Service(tmp_path / "api.yaml", before=away)
    until(lambda: worker.cameras().get("yard", {}).get("records", 0) > 14)
    at = datetime.fromisoformat(api.cameras()["yard"]["start"]) + 2 * SECOND
    frame = f"yard~{round(at.timestamp() * 1e6)}"
    moment = f"{frame}~0~1000000"
    picture, clip = f"/api/frames/{frame}.jpg?side=64", f"/api/moments/{moment}/clip.mp4"

    for path in (picture, clip):
        here, there = ask(worker, path), ask(api, path)
        assert (here[0], there[:2]) == (200, here[:2]), there[1][:200]
    status, part, headers = ask(api, clip, Range="bytes=100-199")
    assert (status, part, headers["Content-Range"]) == (206, there[1][100:200], f"bytes 100-199/{len(there[1])}")
    assert not (tmp_path / "api" / "recordings").exists()
    cut = footage("clip", moment, "-o", tmp_path / "cut.mp4", *desk, before=away)
    assert cut.returncode == 0, cut.stderr
    assert (tmp_path / "cut.mp4").read_bytes() == there[1]

    tokens, services = add_tokens(tmp_path / "api.yaml", monkeypatch, yards=("yard",), gates=("gate",))
    assert (len(json.loads(services)), "a" in json.loads(services)) == (2, True)  # the command has left
    until(lambda: ask(api, picture)[0] == 401)
    assert [ask(api, path, tokens["gates"])[0] for path in (picture, clip)] == [403, 403]
    assert ask(api, clip, tokens["yards"])[:2] == (200, there[1])

    killed = datetime.now(UTC)
    worker.end(signal.SIGKILL)
    for path in (picture, clip):
        status, body, _ = ask(api, path, tokens["yards"])
        said = json.loads(body)["error"]
        heard = re.search(r", which does not answer; it was last heard at (\S+)", said)
        assert (status, bool(heard), "'a'" in said) == (503, True, False), said
        assert started < datetime.fromisoformat(heard[1]) <= killed
    gone = footage("clip", moment, "-o", tmp_path / "none.mp4", *desk, before=away)
    assert (gone.returncode, f"service 'a'{heard[0]}" in gone.stderr) == (5, True), gone.stderr
    assert not (tmp_path / "none.mp4").exists()
    assert api.end() == 0
    told = worker.told + api.told + cut.stderr + gone.stderr + said + services
    assert [s for s in ("secret", "Footage-Service", *tokens.values()) if s in told] == []


def test_without_a_cluster_nothing_is_shared(tmp_path):
    (tmp_path / "footage.yaml").write_text(f"data: {tmp_path}\ncameras: [{{name: yard, url: rtsp://192.0.2.1/x}}]")
    for command in (("serve", "--worker", "a"), ("cameras", "share"), ("cameras", "unshare", "yard")):
        done = footage(*command, "--config", tmp_path / "footage.yaml")
        assert (done.returncode, "store: cassandra" in done.stderr) == (2, True), done.stderr


def test_an_address_that_holds_a_password_is_not_shared(tmp_path):
    lines = "store: cassandra\ncassandra: {hosts: [127.0.0.1], port: 9}\ncameras:\n  - {name: yard, url: '%s'}"
    path = tmp_path / "footage.yaml"
    for url in (
        "rtsp://user:hidden@192.0.2.1/x",
        "rtsp://192.0.2.1/x?token=hidden",
        "rtsp://192.0.2.1/password=hidden",
    ):
        path.write_text(f"data: {tmp_path}\n{lines % url}")
        done = footage("cameras", "share", "--config", path)
        assert (done.returncode, "${NAME}" in done.stderr, "hidden" in done.stderr) == (2, True, False), done.stderr
