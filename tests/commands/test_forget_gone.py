"""Tests that files that were deleted can be forgotten, and those whose disk may be away are not."""

import asyncio
import shutil

import pytest
import typer
from PIL import Image as Pillow

from footage.commands.forget import forget
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST
from tests import films
from tests.commands.runner import footage


@pytest.fixture
def indexed(tmp_path):
    """A data folder, and two folders with two photographs each."""
    shown = {"kept/a.jpg": "cat", "kept/b.jpg": "coffee", "nas/c.jpg": "rocket", "nas/d.jpg": "astronaut"}
    for name, photograph in shown.items():
        (path := tmp_path / name).parent.mkdir(exist_ok=True)
        Pillow.fromarray(films.photograph(photograph)).save(path)
    done = footage("index", tmp_path / "kept", tmp_path / "nas", data=tmp_path / "data")
    assert done.returncode == 0, done.stderr
    return tmp_path


def names(data):
    async def read():
        catalog = await SqliteCatalog.open(data / "catalog.sqlite")
        try:
            return sorted(e.media.path[-5:] for e in await catalog.media_between([], DISTANT_PAST, DISTANT_FUTURE))
        finally:
            await catalog.close()

    return asyncio.run(read())


def test_deleted_files_are_forgotten_and_those_of_a_disk_that_is_away_are_not(indexed, capsys):
    data = indexed / "data"
    with pytest.raises(typer.Exit) as ended:
        forget(gone=True, data=data)
    assert ended.value.exit_code == 3
    (indexed / "kept" / "a.jpg").unlink()
    shutil.rmtree(indexed / "nas")
    (indexed / "nas").mkdir()  # what is left of a mount
    forget(gone=True, data=data)
    told = capsys.readouterr().err
    assert "1 records of 1 files" in told
    assert "2 more files" in told
    assert names(data) == ["b.jpg", "c.jpg", "d.jpg"]


def test_records_that_are_left_are_told_of(indexed, monkeypatch, capsys):
    """Each form of the command reads again; here what it reads was never deleted."""

    async def forget_nothing(*_):
        return 7

    data = indexed / "data"
    (indexed / "kept" / "a.jpg").unlink()
    monkeypatch.setattr(LanceStore, "forget", forget_nothing)
    for options in ({"gone": True}, {"camera": "kept"}):
        with pytest.raises(typer.Exit) as ended:
            forget(data=data, **options)
        assert ended.value.exit_code == 1, options
        said = capsys.readouterr().err
        assert "are still there" in said
        assert "forgot" not in said


def test_a_camera_or_gone_is_needed(tmp_path):
    with pytest.raises(typer.BadParameter, match="--gone"):
        forget(data=tmp_path)
