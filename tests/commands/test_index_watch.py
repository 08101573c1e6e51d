"""Tests ``footage index FOLDER --watch`` while a recorder writes slowly into the folder."""

import json
import signal
import subprocess
import sys
import time

import pytest

from tests import films
from tests.commands.runner import footage


@pytest.mark.slow
def test_files_are_indexed_when_they_have_stopped_growing(tmp_path):
    folder, data = tmp_path / "nvr", tmp_path / "data"
    folder.mkdir()
    films.encode(folder / "first.mp4", films.numbered(30), fps=10, gop=10)
    late = films.encode(tmp_path / "late.mp4", films.numbered(50), fps=10, gop=10).read_bytes()
    command = [sys.executable, "-m", "footage", "index", str(folder), "--watch", "--data", str(data)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert "watching" in running.stderr.readline()
    with (folder / "second.mp4").open("wb") as file:  # a recorder that writes for longer than the quiet time
        last, pause = time.monotonic(), 0.0
        for i in range(8):
            file.write(late[i * len(late) // 8 : (i + 1) * len(late) // 8])
            file.flush()
            last, pause = time.monotonic(), max(pause, time.monotonic() - last)
            time.sleep(0.4)  # the recorder's pace
    deadline = time.monotonic() + 120
    while (records := held(data)) != 8:
        assert time.monotonic() < deadline, records
        time.sleep(0.5)
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=120)
    assert running.returncode == 0, told
    assert "damaged" not in told or pause > 1.5  # a busy machine made the recorder pause: two seconds are the end


def held(data):
    shown = footage("status", "--json", data=data)
    return sum(c["records"] for c in json.loads(shown.stdout)["cameras"])
