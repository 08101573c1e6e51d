"""Tests that one ``footage serve`` at a time uses a folder, and that a killed one blocks nobody."""

import asyncio
import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from footage.commands.errors import UsageError
from footage.commands.service_lock import lock_service_folders
from footage.config.settings import Settings
from footage.indexer.file_lock import lock_file
from tests.commands.runner import footage

CAMERA = {"name": "yard", "url": "rtsp://192.0.2.1/x"}
HOLD = """
import asyncio, sys
from footage.commands.service_lock import lock_service_folders
from footage.config.settings import load_settings
async def hold():
    async with lock_service_folders(load_settings({"data": sys.argv[1]})):
        print("held", flush=True)
        await asyncio.sleep(600)
asyncio.run(hold())
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the locks of a service of ``tmp_path/data``."""
    command = [sys.executable, "-c", HOLD, tmp_path / "data"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


async def test_a_second_service_is_told_who_holds_the_folder_and_a_killed_one_blocks_nobody(holder, tmp_path, capsys):
    settings = Settings(data=tmp_path / "data")
    with pytest.raises(UsageError) as refused:
        async with lock_service_folders(settings, patience=1.0):
            pass
    for part in (str(settings.data), f"process {holder.pid} on {os.uname().nodename}, since 20", "--data"):
        assert part in str(refused.value)
    assert "waiting for it to end" in capsys.readouterr().err
    (tmp_path / "link").symlink_to(settings.data)
    with pytest.raises(UsageError):
        async with lock_service_folders(Settings(data=tmp_path / "link"), patience=0.1):
            pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    async with lock_service_folders(settings, patience=1.0):
        pass


async def test_recordings_that_another_data_folder_uses_are_refused(tmp_path):
    first = Settings(data=tmp_path / "a", cameras=[CAMERA])
    second = Settings(data=tmp_path / "b", cameras=[CAMERA], recordings=tmp_path / "a" / "recordings")
    async with lock_service_folders(first):
        with pytest.raises(UsageError, match="recordings"):
            async with lock_service_folders(second, patience=0.1):
                pass
        without_cameras = {"data": tmp_path / "c", "recordings": tmp_path / "a" / "recordings"}
        with pytest.raises(UsageError, match="recordings"):  # it would repair the open segments of the first
            async with lock_service_folders(Settings(**without_cameras), patience=0.1):
                pass
        async with lock_service_folders(Settings(store="cassandra", **without_cameras), patience=0.1):
            pass  # it only answers
    async with lock_service_folders(second, patience=0.1):
        pass


async def test_a_service_that_is_about_to_end_is_waited_for(tmp_path):
    settings = Settings(data=tmp_path)
    held, free = asyncio.Event(), asyncio.Event()

    async def hold():
        async with lock_service_folders(settings):
            held.set()
            await free.wait()

    first = asyncio.create_task(hold())
    await held.wait()
    asyncio.get_running_loop().call_later(0.2, free.set)
    async with lock_service_folders(settings, patience=60.0):
        assert free.is_set()
    await first


async def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match=r"no file locks.*one\.lock"):
        async with lock_file(tmp_path / "one.lock"):
            pass


@pytest.mark.slow
def test_beside_a_service_its_index_is_searched_and_forgotten(holder, tmp_path):
    data = tmp_path / "data"
    assert footage("forget", "--camera", "nobody", data=data).returncode == 3
    assert footage("status", data=data).returncode == 0
    refused = footage("serve", "--port", "0", "--embedder", "lite", data=data)
    assert (refused.returncode, f"process {holder.pid}" in refused.stderr) == (2, True), refused.stderr
