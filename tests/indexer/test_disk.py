"""Tests that a full disk is found by writing, and told once."""

import errno
import os
import resource
import subprocess
import sys

import pytest

from footage.indexer.disk import DiskMonitor, find_full_folder, find_unwritable_folder

LIMITED = """
import resource, signal, sys
from pathlib import Path
from footage.indexer.disk import find_full_folder
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
print(find_full_folder([Path(sys.argv[1])]))
"""


def test_a_folder_is_full_when_nothing_can_be_written_though_the_disk_has_room(tmp_path):
    assert find_full_folder([tmp_path, tmp_path / "absent"]) == ""
    told = subprocess.run([sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True).stdout
    assert f"the disk of {tmp_path} is full" in told
    assert "footage forget" in told
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_write_that_is_cut_short_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda _, data: len(data) // 2)
    assert "is full" in find_full_folder([tmp_path])


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
def test_other_errors_are_no_full_disk_but_a_service_tells_them(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert find_full_folder([tmp_path]) == ""
    assert f"{tmp_path} cannot be written to ({os.strerror(number)})" in find_unwritable_folder([tmp_path])


async def test_a_full_disk_and_its_end_are_told_once_each(tmp_path, caplog):
    answers = iter(["", "the disk is full", "the disk is full", "", ""])
    monitor = DiskMonitor([tmp_path], lambda _: next(answers))
    seen = []
    for _ in range(5):
        await monitor.check()
        seen.append(monitor.problem)
    assert seen == ["", "the disk is full", "the disk is full", "", ""]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
