"""Tests a service whose disk is full, on a small real file system: it says so once, loses nothing, and recovers."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
from contextlib import suppress

import pytest

from tests.commands.runner import footage
from tests.commands.test_service import Service, ended, stored  # noqa: F401
from tests.require import require

SIZE = "24m"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 24 MB at ``tmp_path/data``."""
    folder = tmp_path / "data"
    folder.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        require("tmpfs", "mounting a small file system needs root: run the tests as root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def settings(rtsp, films, tiny_clip, small_disk, tmp_path):
    server = rtsp(films)
    path = tmp_path / "footage.yaml"
    path.write_text(
        f"data: {small_disk}\nport: 0\n{tiny_clip}disk_free: 0\ncameras:\n"
        f"  - {{name: yard, url: '{server.url('yard')}', every: 200ms, max_gap: 1s}}\n"
    )
    return path


def readiness(service):
    """Status and error of ``/readyz``."""
    try:
        service.get("/readyz")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["error"]
    return 200, ""


def until(condition, seconds=180):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def fill(path):
    """Writes until the disk is full, and again what has become free meanwhile."""
    with path.open("ab", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))


@pytest.mark.slow
def test_a_full_disk_is_a_state_that_is_told_once_and_passes(settings, small_disk, tmp_path):
    service = Service(settings)
    until(lambda: service.cameras().get("yard", {}).get("records", 0) > 3)
    known = set(stored(settings)[0])
    filler = small_disk / "filler"
    until(lambda: fill(filler) or readiness(service)[0] == 503)
    fill(filler)
    assert "is full" in readiness(service)[1]
    shown = json.loads(service.get("/api/cameras"))
    assert "is full" in shown["problem"]
    assert "footage_disk_full 1.0" in service.get("/metrics").decode()
    assert "is full" in json.loads(footage("status", "--json", "--config", settings).stdout)["problem"]

    os.truncate(filler, 0)
    until(lambda: readiness(service)[0] == 200)
    before = service.cameras()["yard"]["records"]
    until(lambda: service.cameras()["yard"]["records"] > before + 3)
    assert json.loads(service.get("/api/cameras"))["problem"] == ""
    assert service.end() == 0
    assert "Traceback" not in service.told, service.told
    assert service.told.count("no room") + service.told.count("is full") <= 8, service.told
    assert "room again" in service.told
    keys, media, _ = stored(settings)
    assert known <= set(keys)
    assert media
