"""Tests that nothing acknowledged is lost when a cluster is unreachable while a camera and a file are indexed."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from footage.commands.composition import find_index
from footage.config.settings import load_settings
from footage.indexer.pipeline.spool import Spool
from footage.indexer.store.base import CoverageState, Where
from tests.cassandra.fixture import need_driver
from tests.commands.runner import footage
from tests.commands.test_service import FAR, LONG_AGO, Service, ended  # noqa: F401
from tests.commands.test_workers import until
from tests.films import encode, numbered

need_driver()

from tests.cassandra.fixture import need_java  # noqa: E402
from tests.cassandra.server import QUICK, Server  # noqa: E402

OUTAGE = float(os.environ.get("FOOTAGE_TEST_OUTAGE", "15"))
"""Seconds; at least."""
SECONDS, EVERY = 30, 0.1


@pytest.fixture
def server(tmp_path):
    """A Cassandra of the test's own, which it may kill."""
    need_java()
    with Server(tmp_path / "server", options=QUICK) as server:
        yield server


@pytest.fixture
def settings(server, rtsp, films, tmp_path):
    """Settings files of a service with a camera of its own, and of a worker with a shared one; the tables are made."""
    at, cameras, paths = server.contact, rtsp(films, login="user:secret"), []
    for name in ("yard", "gate"):
        paths.append(tmp_path / f"{name}.yaml")
        paths[-1].write_text(
            f"data: {tmp_path / name}\nembedder: lite\nport: 0\ndisk_free: 1MB\nstore: cassandra\n"
            f"cassandra: {{hosts: ['{at.host}'], port: {at.port}, keyspace: footage,"
            f" user: {at.user}, password: {at.password}}}\ncameras:\n  - name: {name}\n"
            f"    url: {cameras.url(name, 'user:${CAMERA_PASSWORD}')}\n"
            "    every: 250ms\n    max_gap: 1s\n    stall: 20s\n"
        )
    for command in (("store", "init"), ("cameras", "share")):
        done = footage(*command, "--config", paths[1], CAMERA_PASSWORD="secret")
        assert done.returncode == 0, done.stderr
    return paths


def index(settings, film, camera):
    """A running ``footage index``."""
    command = [sys.executable, "-m", "footage", "index", str(film), "--every", f"{EVERY}s"]
    env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | {"CAMERA_PASSWORD": "secret"}
    command += ["--camera", camera, "--start", "2026-05-04T12:00:00Z", "--config", str(settings)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
    Service.running.append(process)
    return process


def stop_in_the_middle(settings, film, service, monkeypatch):
    """A frozen ``footage index`` that has written a part of its records, its camera, and all records by camera."""
    for camera in ("film", "again", "third", "fourth"):  # this process may be held up until one has ended
        indexing = index(settings, film, camera)
        until(lambda camera=camera: service.cameras().get(camera, {}).get("records", 0) > 0)
        indexing.send_signal(signal.SIGSTOP)
        acknowledged, _ = stored(settings, monkeypatch)
        if len(acknowledged[camera]) < SECONDS / EVERY:
            return indexing, camera, acknowledged
        indexing.send_signal(signal.SIGCONT)
        indexing.communicate(timeout=500)
    raise AssertionError("each had ended before it was stopped")


def refused(service, path, **query):
    """The error with which the service answers, if it does."""
    try:
        service.get(path, **query)
    except urllib.error.HTTPError as error:
        with error:
            return json.loads(error.read())
    return None


def timed(work, *args, **more):
    """The result of the work, and the seconds that it took."""
    began = time.monotonic()
    return work(*args, **more), time.monotonic() - began


def stored(settings, monkeypatch):
    """The times of all records by camera, and the coverage."""

    async def read():
        monkeypatch.setenv("CAMERA_PASSWORD", "secret")
        index = await find_index(load_settings(file=settings))
        found = defaultdict(list)
        async for record in index.store.scan(Where()):
            found[record.camera].append(record.time)
        coverage = await index.catalog.coverage(["yard", "gate"], LONG_AGO, FAR)
        await index.close()
        return found, coverage

    return asyncio.run(read())


def waiting(spool, copy):
    """The times of the records that wait in a spool, read from a copy of it."""
    shutil.copy(spool, copy)
    times = []

    async def drain():
        async def take(records):
            times.extend(r.time for r in records)

        await Spool(copy, 1 << 30).drain(take)

    asyncio.run(drain())
    return times


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_while_the_cluster_is_unreachable_records_are_spooled_and_nothing_is_lost(
    server, settings, tmp_path, monkeypatch, capsys
):
    film = encode(tmp_path / "film.mp4", numbered(SECONDS * 10), fps=10, gop=10)
    services = service, _ = Service(settings[0]), Service(settings[1], "--worker", "a")
    live = {"yard", "gate"}
    until(lambda: all(service.cameras().get(name, {}).get("records", 0) > 5 for name in live))
    indexing, indexed, acknowledged = stop_in_the_middle(settings[0], film, service, monkeypatch)
    server.kill()
    indexing.send_signal(signal.SIGCONT)
    left, began = datetime.now(UTC), time.monotonic()

    spools = {name: tmp_path / name / "spool" for name in live}
    with ThreadPoolExecutor() as threads:  # each of the three takes a time-out or two
        search = threads.submit(timed, refused, service, "/api/search", q="a dog")
        ready = threads.submit(refused, service, "/readyz")
        until(lambda: all(spool.exists() and spool.stat().st_size > 0 for spool in spools.values()))
        error, asked = search.result()
        assert (error["ok"], error["status"], "no node answers" in error["error"]) == (False, 503, True), error
        assert ready.result()["status"] == 503
    assert json.loads(service.get("/healthz"))["ok"]
    assert indexing.poll() is None

    def waiting_now():
        return {name: waiting(spool, tmp_path / f"{name}.copy") for name, spool in spools.items()}

    until(lambda: time.monotonic() > began + OUTAGE and all(len(times) > 8 for times in waiting_now().values()))
    spooled = waiting_now()
    server.start()
    server.wait()
    outage, back = time.monotonic() - began, datetime.now(UTC)

    drained = until(lambda: not any(spool.exists() for spool in spools.values()))
    until(lambda: refused(service, "/api/search", q="a dog") is None)
    until(lambda: refused(service, "/readyz") is None)
    told = indexing.communicate(timeout=500)[1]
    assert (indexing.returncode, "1 file indexed" in told) == (0, True), told
    assert [one.end() for one in services] == [0, 0]
    records, coverage = stored(settings[0], monkeypatch)
    with capsys.disabled():
        waited, held = ({name: len(found[name]) for name in sorted(found)} for found in (spooled, records))
        print(
            f"\noutage of {outage:.0f} s: search refused in {asked:.1f} s; waited {waited}, drained in {drained:.1f} s;"
            f" in the end {held}"
        )
    for name, times in records.items():
        assert len(set(times)) == len(times)
        assert set(acknowledged[name]) <= set(times)
    for name in live:
        assert spooled[name] == sorted(spooled[name])
        assert set(spooled[name]) <= set(records[name])
        late = back - timedelta(seconds=10)
        away = [c for c in coverage if c.camera == name and c.start < late and c.end > left]
        known = sum((min(c.end, late) - max(c.start, left)).total_seconds() for c in away)
        assert known > (late - left).total_seconds() - 2, away
        assert any(c.state is CoverageState.WATCHED for c in away), away
        assert "footage was not running" not in {c.cause for c in away}  # a busy machine may lose its camera
    assert len(records[indexed]) == SECONDS / EVERY
