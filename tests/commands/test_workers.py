"""Tests two ``footage serve --worker`` that share the cameras of a real cluster; one is killed, one is frozen."""

import asyncio
import json
import signal
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from footage.commands.composition import find_index
from footage.config.settings import load_settings
from footage.indexer.store.base import CoverageState, Where
from tests.commands.test_cli import footage
from tests.commands.test_service import FAR, LONG_AGO, Service, ended  # noqa: F401

NAMES = ("yard", "gate", "long", "sliced")
SECOND = timedelta(seconds=1)


@pytest.fixture
def cluster(cassandra, rtsp, films, tmp_path):
    """Settings files of two workers on one new keyspace, whose cameras are shared."""
    server = rtsp(films, login="user:secret")
    lines = [
        "embedder: lite",
        "port: 0",
        "disk_free: 1MB",
        "store: cassandra",
        f"cassandra: {{hosts: ['{cassandra.host}'], port: {cassandra.port}, keyspace: w_{uuid.uuid4().hex[:12]},"
        f" user: {cassandra.user}, password: {cassandra.password}}}",
        "cameras:",
    ]
    for name in NAMES:
        url = server.url(name, "user:${CAMERA_PASSWORD}")
        lines.append(f'  - {{name: {name}, url: "{url}", every: 500ms, max_gap: 1s, stall: 3s}}')
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


def until(condition, seconds=90):
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
        documents = [await index.catalog.documents(kind) for kind in ("camera", "live", "worker")]
        await index.close()
        return records, coverage, json.dumps(documents)

    records, coverage, documents = asyncio.run(read())
    folders = {str(settings.parent / worker): worker for worker in "ab"}
    return [(c, t, next(w for f, w in folders.items() if p.startswith(f))) for c, t, p in records], coverage, documents


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
        mine = [w for c, _, w in records if c == name]
        turns = mine[:1] + [w for v, w in pairwise(mine) if v != w]
        assert len(turns) <= 5, (name, turns)  # a b a b a at most: never mixed
    gaps = [c for c in coverage if c.state is CoverageState.GAP and c.start <= killed + SECOND and c.end > killed]
    assert len(gaps) == 2, coverage  # the cameras of the one that was killed


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
