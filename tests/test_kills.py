"""Tests a small run of ``bench.kills``: each work is killed a few times, and nothing is lost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WORKS = ["indexing", "recording", "maintenance", "migration", "retention"]


@pytest.mark.slow
def test_each_work_is_killed_and_loses_nothing():
    command = [sys.executable, "-m", "bench.kills", "--kills", "2", "--seed", "3"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    found = re.findall(r"^(\w+): (\d+) kills, (\d+) steps told, (\d+) ends; nothing wrong", run.stdout, re.MULTILINE)
    assert [(name, kills) for name, kills, *_ in found] == [(name, "2") for name in WORKS], run.stdout
    assert all(int(ends) >= 1 for *_, ends in found)
