"""Tests that files written by the embedded store, and their folders, are fsynced before a call returns."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from footage.indexer.store import lance
from footage.indexer.store.base import Where
from footage.indexer.store.durable import MTIME_SLACK, fsync_written
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.lance_table import table_name
from tests.indexer.store.store_contract import SPACE, at, make_records

KINDS = {"data", "_versions", "_transactions"}
"""Folders of a table in which LanceDB keeps vectors, lists of files, and what changed."""


class FsyncLog:
    """Records the paths that Python fsyncs while it is installed; LanceDB itself calls no Python."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: set[Path] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._record)

    def _record(self, descriptor: int) -> None:
        self.synced.add(Path(f"/proc/self/fd/{descriptor}").readlink())
        self._fsync(descriptor)


def files(table: Path) -> set[Path]:
    """Return the files that hold a table's records and lists."""
    return {path for path in table.glob("*/*") if path.is_file() and path.parent.name in KINDS}


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> FsyncLog:
    return FsyncLog(monkeypatch)


async def test_a_write_is_fsynced_when_it_returns(tmp_path: Path, log: FsyncLog) -> None:
    store = await LanceStore.open(tmp_path, SPACE)
    table = tmp_path / f"{table_name(SPACE)}.lance"
    before = files(table)
    await store.write(make_records(20))
    written = files(table) - before
    assert {path.parent.name for path in written} == KINDS
    assert written <= log.synced
    assert {path.parent for path in written} <= log.synced
    await store.close()


async def test_deletion_and_compaction_are_fsynced_when_they_return(
    tmp_path: Path, log: FsyncLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance, "MAX_UNINDEXED", 1)
    store = await LanceStore.open(tmp_path, SPACE)
    table = tmp_path / f"{table_name(SPACE)}.lance"
    for i in range(3):
        await store.write(make_records(20, first=20 * i, seed=i))
    for change in (store.maintain, lambda: store.forget(Where(spans=((at(5), at(7)),)))):
        before = files(table)
        log.synced.clear()
        await change()
        written = files(table) - before
        assert {path.parent.name for path in written} >= {"data", "_versions"}
        assert written <= log.synced
        assert {path.parent for path in written} <= log.synced
    await store.close()


def test_only_what_was_written_since_is_fsynced(tmp_path: Path, log: FsyncLog) -> None:
    for name in ("old/a", "new/a", "new/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    now = time.time()
    for name in ("old/a", "new/a"):
        os.utime(tmp_path / name, (now, now - 10))
    fsync_written(tmp_path, now - 10 + 2 * MTIME_SLACK)
    assert log.synced == {tmp_path / "new", tmp_path / "new" / "b"}
