"""Tests that a file written through a draft is whole or not there, and that drafts do not pile up."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from footage.stream.atomic import atomic_write, fsync


@pytest.mark.parametrize("sync", [False, True])
def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path, sync: bool) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("old")
    with atomic_write(path, sync=sync) as draft:
        draft.write_text("new")
        assert (path.read_text(), draft.parent, draft.suffix) == ("old", tmp_path, ".mp4")
        assert draft.name.startswith(".")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as draft:
            draft.write_text("ne")
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_of_a_process_that_died_is_removed_after_a_day_and_others_are_not(tmp_path: Path) -> None:
    path, other = tmp_path / "a.mp4", tmp_path / "b.mp4"
    drafts = []
    for target in (path, path, other):
        with pytest.raises(KeyboardInterrupt), atomic_write(target) as draft:
            raise KeyboardInterrupt
        drafts.append(draft.with_name(draft.name.replace(str(os.getpid()), str(len(drafts)))))
    for draft in drafts:
        draft.touch()
    yesterday = time.time() - 100_000
    for draft in (drafts[0], drafts[2]):
        os.utime(draft, (yesterday, yesterday))
    with atomic_write(path) as draft:
        draft.touch()
    assert set(tmp_path.iterdir()) == {path, drafts[1], drafts[2]}


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".mp4")
    with atomic_write(path) as draft:
        draft.touch()
    assert path.exists()


def test_files_and_folders_can_be_synced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fsync(tmp_path / "file")
    fsync(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        fsync(tmp_path / "none")
