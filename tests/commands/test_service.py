"""Tests ``footage serve`` with live cameras: killed at random moments, stopped, queried, its footage removed."""

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import av
import pytest

from footage.commands.composition import find_index
from footage.config.settings import Settings
from footage.indexer.store.base import CoverageState, Where
from tests.commands.runner import footage

SECOND = timedelta(seconds=1)
LONG_AGO, FAR = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def ended():
    yield
    for process in Service.running:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def settings(rtsp, films, tiny_clip, tmp_path):
    return write_settings(rtsp(films, login="user:secret"), tmp_path, tiny_clip)


def write_settings(server, folder, model):
    """A settings file with two cameras of a real server; ``model`` is the lines that choose one."""
    path = folder / "footage.yaml"
    lines = [f"data: {folder / 'data'}", f"{model}port: 0", "disk_free: 1MB", "cameras:"]
    for name in ("yard", "gate"):
        url = server.url(name, "user:${CAMERA_PASSWORD}")
        lines.append(f'  - {{name: {name}, url: "{url}", every: 200ms, max_gap: 1s, stall: 20s}}')
    path.write_text("\n".join(lines))
    return path


class Service:
    """A running ``footage serve``; ended with the test at the latest."""

    running: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, settings: Path, *options: str, before: Sequence[str] = ()) -> None:
        command = [*before, sys.executable, "-m", "footage", "serve", "--config", str(settings), *options]
        env = {k: v for k, v in os.environ.items() if not k.startswith("FOOTAGE_")} | {"CAMERA_PASSWORD": "secret"}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env)
        self.running.append(self.process)
        self.told = ""
        while not (found := re.search(r"serving (http://\S+)", self.told)):
            line = self.process.stderr.readline()
            assert line, self.told
            self.told += line
        self.url = found[1]

    def get(self, path, **query):
        address = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=120) as reply:
            return reply.read()

    def cameras(self):
        return {c["camera"]: c for c in json.loads(self.get("/api/cameras"))["cameras"]}

    def until(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition(self.cameras()):
            assert time.monotonic() < deadline, self.cameras()
            time.sleep(0.1)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.told += self.process.communicate(timeout=60)[1]
        return self.process.returncode


def stored(settings):
    """Keys of all records, all media rows and the coverage, read by another process."""

    async def read():
        index = await find_index(Settings(data=settings.parent / "data"))
        keys = Counter([(r.camera, r.time) async for r in index.store.scan(Where())])
        media = [e.media for e in await index.catalog.media_between([], LONG_AGO, FAR)]
        coverage = await index.catalog.coverage([], LONG_AGO, FAR)
        await index.close()
        return keys, media, coverage

    return asyncio.run(read())


@pytest.mark.slow
def test_a_service_reports_its_cameras_and_stops_in_time(settings):
    settings.write_text(settings.read_text() + "\n  - {name: front door, url: foo}")
    service = Service(settings)
    service.until(lambda c: all(c.get(n, {}).get("records", 0) > 5 for n in ("yard", "gate")))
    service.until(lambda c: (c["gate"]["live"]["state"], c["gate"]["live"]["recording"]) == ("live", "recording"))
    assert service.cameras()["gate"]["live"]["codec"] == "hevc"
    wrong = service.cameras()["front door"]["live"]
    assert (wrong["state"], "'front-door'" in wrong["error"]) == ("misconfigured", True)
    service.until(lambda _: b'footage_camera_live{camera="yard",state="live"} 1.0' in service.get("/metrics"))
    metrics = service.get("/metrics").decode()
    assert "footage_cameras_misconfigured 1.0" in metrics
    assert re.search(r"footage_freshness_seconds_count [1-9]", metrics)
    deadline = time.monotonic() + 60
    while True:
        shown = footage("status", "--json", "--config", settings, CAMERA_PASSWORD="secret")
        held = json.loads(shown.stdout)
        if {c["camera"]: c["live"]["state"] for c in held["cameras"]} == {
            **{"yard": "live", "gate": "live", "front door": "misconfigured"}
        }:
            break
        assert time.monotonic() < deadline, held
    answer = json.loads(service.get("/api/search", q="a dog", camera="yard"))
    assert {c["state"] for c in answer["coverage"]} <= {"watched", "gap"}
    assert service.end() == 0  # within a minute
    said = service.told + metrics + json.dumps(held)
    assert "secret" not in said
    everything = b"".join(p.read_bytes() for p in (settings.parent / "data").rglob("*") if p.is_file())
    assert b"secret" not in everything


@pytest.mark.slow
def test_forget_removes_vectors_and_footage(settings):
    service = Service(settings)
    service.until(lambda c: all(c.get(n, {}).get("records", 0) > 5 for n in ("yard", "gate")))
    service.end()
    done = footage("forget", "--camera", "yard", "--config", settings, CAMERA_PASSWORD="secret")
    assert done.returncode == 0, done.stderr
    keys, media, coverage = stored(settings)
    assert {camera for camera, _ in keys} == {m.camera for m in media} == {c.camera for c in coverage} == {"gate"}
    recordings = settings.parent / "data" / "recordings"
    assert list((recordings / "yard").rglob("*.mp4")) == []
    assert list((recordings / "gate").rglob("*.mp4"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_twenty_times_nothing_acknowledged_is_lost_or_doubled(settings):
    moments = random.Random(7)
    acknowledged, kills, ups = set(), [], []  # killed, and up again
    for kill in range(20):
        service = Service(settings)
        ups.append(datetime.now(UTC))
        if kill % 2:  # else wherever it is by then, connecting or recording
            known = Counter(camera for camera, _ in acknowledged)
            service.until(
                lambda c, known=known: all(c.get(n, {}).get("records", 0) > known[n] + 2 for n in ("yard", "gate"))
            )
        time.sleep(moments.uniform(0.1, 1.5))
        acknowledged |= set(stored(settings)[0])
        service.end(signal.SIGKILL)
        kills.append(datetime.now(UTC))
    service = Service(settings)
    ups = [*ups[1:], datetime.now(UTC)]
    service.until(lambda c: all(c[n]["live"]["kept"] > 3 for n in ("yard", "gate")))
    assert service.end() == 0
    keys, media, coverage = stored(settings)
    assert len(acknowledged) > 40
    assert acknowledged <= set(keys)
    assert set(keys.values()) == {1}
    unwritten = [one for one in media if not Path(one.path).exists()]
    assert all(one.path.endswith(".tmp") for one in unwritten)  # killed in its first second, with records
    assert len(media) > len(unwritten)
    for one in (one for one in media if one not in unwritten):
        with av.open(one.path) as container:
            shown = sum(1 for _ in container.decode(video=0))
        assert shown / 25 == pytest.approx(one.duration, rel=0.3, abs=0.2)  # as far as a line of times is bent
    assert list((settings.parent / "data" / "recordings").rglob("*.tmp")) == []
    for name in ("yard", "gate"):
        mine = [c for c in coverage if c.camera == name]
        gaps = [c for c in mine if c.state is CoverageState.GAP]
        assert {c.cause for c in gaps} == {"footage was not running"}
        down = [(kill, up) for kill, up in zip(kills, ups, strict=True) if mine[0].start < kill]
        assert len(down) >= 10
        assert [kill for kill, up in down if not any(c.start <= up and c.end >= kill for c in gaps)] == []
        hidden = [t for c, t in keys if c == name and any(g.start + SECOND < t < g.end - SECOND for g in gaps)]
        assert hidden == []


def test_cameras_are_added_listed_tested_and_removed(rtsp, films, tmp_path):
    server = rtsp(films, login="user:secret")
    data = tmp_path / "data"
    added = footage("cameras", "add", "yard", server.url("yard", "user:secret"), "--keep", "7d", data=data)
    assert added.returncode == 0, added.stderr
    assert (data / "cameras.yaml").stat().st_mode & 0o077 == 0
    again = footage("cameras", "add", "yard", "rtsp://127.0.0.1/x", data=data)
    assert (again.returncode, "already" in again.stderr) == (2, True)
    listed = footage("cameras", "list", data=data)
    assert "yard" in listed.stdout
    assert "secret" not in listed.stdout
    out = tmp_path / "yard.jpg"
    tested = footage("cameras", "test", "yard", "-o", out, "--seconds", "60", data=data)
    assert tested.returncode == 0, tested.stderr
    assert re.search(r"h264, 320x192, [1-4]\d\.\d frames/s, a keyframe every [01]\.\d s", tested.stdout)
    assert out.read_bytes().startswith(b"\xff\xd8")
    footage("cameras", "add", "wrong", server.url("yard", "user:wrong"), data=data)
    refused = footage("cameras", "test", "wrong", data=data)
    assert (refused.returncode, "password" in refused.stderr, "user:wrong" in refused.stderr) == (5, True, False)
    assert footage("cameras", "remove", "yard", data=data).returncode == 0
    assert "\nyard" not in footage("cameras", "list", data=data).stdout
    assert footage("cameras", "remove", "yard", data=data).returncode == 2
