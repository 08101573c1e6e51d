"""Tests how many processors a process may use: its own, those of its container, and how busy they are."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from footage.stream import processors
from footage.stream.processors import available_processors, read_processor_time, usable_processors

COUNT = "from footage.stream.processors import usable_processors; print(usable_processors())"


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """Writes the files in which a container of either version says its limits."""
    paths = {name: tmp_path / name for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")}
    monkeypatch.setattr(processors, "QUOTA", paths["cpu.max"])
    monkeypatch.setattr(processors, "QUOTA_V1", (paths["cpu.cfs_quota_us"], paths["cpu.cfs_period_us"]))
    return lambda **texts: [paths[name.replace("__", ".")].write_text(text) for name, text in texts.items()]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process can be bound to processors on Linux only")
def test_a_process_that_is_bound_to_one_processor_has_one():
    one = min(os.sched_getaffinity(0))
    bound = f"import os; os.sched_setaffinity(0, {{{one}}}); {COUNT}"
    assert float(subprocess.run([sys.executable, "-c", bound], capture_output=True, check=True).stdout) <= 1


def test_a_container_may_use_a_part_of_a_processor(limits):
    limits(cpu__max="50000 100000\n")
    assert (usable_processors(), available_processors()) == (0.5, 1)


def test_a_container_of_the_first_version_may_too(limits):
    limits(cpu__cfs_quota_us="25000\n", cpu__cfs_period_us="100000\n")
    assert usable_processors() == 0.25


def test_without_a_limit_or_a_container_all_processors_count(limits):
    without = usable_processors()
    limits(cpu__max="max 100000\n")
    assert usable_processors() == without >= 1
    limits(cpu__max="", cpu__cfs_quota_us="-1\n", cpu__cfs_period_us="100000\n")
    assert usable_processors() == available_processors() == without


def test_processor_time_of_this_process_and_of_others_is_read():
    (own, others), began = read_processor_time(), time.monotonic()
    while read_processor_time()[0] < own + 0.1:
        assert time.monotonic() < began + 60
    if Path("/proc/stat").exists():
        assert others > 0


def test_what_others_do_on_processors_that_this_process_may_not_use_does_not_count(tmp_path, monkeypatch):
    numbers = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    stat = tmp_path / "stat"
    stat.write_text("cpu  9 9 9 9 9 9 9 0\n" + "".join(f"cpu{n} 1000000 0 0 5 5 0 0 0\n" for n in (*numbers, 4095)))
    monkeypatch.setattr(processors, "STAT", stat)
    own, others = read_processor_time()
    assert others == pytest.approx(max(0.0, len(numbers) * 1e6 / os.sysconf("SC_CLK_TCK") - own), abs=1)
