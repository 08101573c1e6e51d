"""Tests that no command's output replaces footage, by whatever name the footage is called."""

import asyncio
import hashlib
import json
import os
import tempfile
from pathlib import Path

import cv2
import pytest
import typer

from footage.commands.cameras import test_camera as camera_test
from footage.commands.clip import clip
from footage.commands.demo import demo
from footage.commands.errors import UsageError
from footage.commands.export import export
from footage.commands.protected_files import ProtectedFiles, protect_footage
from footage.config.settings import load_settings
from footage.indexer.store.sqlite import SqliteCatalog
from footage.query.clips.clip import cut_clip
from footage.query.clips.source import ClipError
from footage.stream.source import identify_media
from tests import films
from tests.commands.runner import footage


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """A data folder, the footage that it knows (two videos and a photograph), and a moment of the first."""
    folder, data = tmp_path_factory.mktemp("films"), tmp_path_factory.mktemp("data")
    films.compose(folder / "door.mp4", [("cat", 3)])
    films.compose(folder / "yard.mp4", [("coffee", 3)])
    cv2.imwrite(str(folder / "photo.jpg"), films.photograph("rocket"))
    assert footage("index", folder / "door.mp4", folder / "yard.mp4", folder / "photo.jpg", data=data).returncode == 0
    found = footage("search", "a cat", "--camera", "door", "--json", data=data)
    return data, folder, json.loads(found.stdout)["moments"][0]["id"]


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def by_path(film, _):
    return film


def by_relative_path(film, _):
    return Path(os.path.relpath(film))


def by_link(film, tmp_path):
    (tmp_path / "link.mp4").symlink_to(film)
    return tmp_path / "link.mp4"


def by_link_to_link(film, tmp_path):
    (tmp_path / "second.mp4").symlink_to(by_link(film, tmp_path))
    return tmp_path / "second.mp4"


def by_hard_link(film, tmp_path):
    os.link(film, tmp_path / "hard.mp4")
    return tmp_path / "hard.mp4"


def by_linked_folder(film, tmp_path):
    (tmp_path / "folder").symlink_to(film.parent, target_is_directory=True)
    return tmp_path / "folder" / film.name


NAMES = [by_path, by_relative_path, by_link, by_link_to_link, by_hard_link, by_linked_folder]


def cut(moment, out, data):
    clip(moment=moment, out=out, data=data)


def zipped(moment, out, data):
    export(moments=[moment], out=out, data=data)


@pytest.mark.parametrize("command", [cut, zipped])
@pytest.mark.parametrize("film", ["door.mp4", "yard.mp4", "photo.jpg"])
@pytest.mark.parametrize("name", NAMES)
def test_no_output_replaces_footage(indexed, tmp_path, capsys, command, film, name):
    data, folder, moment = indexed
    before, out = digests(folder), name(folder / film, tmp_path)
    with pytest.raises(typer.Exit) as ended:
        command(moment, out, data)
    assert ended.value.exit_code == 2
    assert str(out) in (told := capsys.readouterr().err)
    assert "choose another name" in told
    assert digests(folder) == before
    assert out.stat().st_ino == (folder / film).stat().st_ino  # the link is still that link


@pytest.mark.parametrize("command", [cut, zipped])
def test_another_file_is_replaced(indexed, tmp_path, command):
    data, _, moment = indexed
    out = tmp_path / "result.mp4"
    out.write_bytes(b"an earlier output")
    command(moment, out, data)
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    "name",
    [
        *("catalog.sqlite", "catalog.sqlite-wal", "cameras.yaml", "vectors/x.lance", "recordings/door/new.mp4"),
        *("clock.json", "folders.yaml", "refused.jsonl", "service.lock", "vectors.json", "audit/2026-01-01.jsonl"),
    ],
)
def test_no_output_replaces_a_part_of_the_index(indexed, capsys, name):
    data, _, moment = indexed
    with pytest.raises(typer.Exit) as ended:
        cut(moment, data / name, data)
    assert ended.value.exit_code == 2
    assert name in capsys.readouterr().err


def test_the_demo_does_not_replace_a_file_of_its_name(tmp_path, capsys):
    (tmp_path / "demo.mp4").write_bytes(b"somebody's recording")
    with pytest.raises(typer.Exit) as ended:
        demo(data=tmp_path)
    assert ended.value.exit_code == 2
    assert "choose another --data" in capsys.readouterr().err
    assert (tmp_path / "demo.mp4").read_bytes() == b"somebody's recording"


def test_an_image_of_a_camera_does_not_replace_footage(indexed, tmp_path, capsys):
    data, folder, _ = indexed
    (data / "cameras.yaml").write_text("cameras: [{name: yard, url: 'rtsp://127.0.0.1:9/yard'}]")
    before = digests(folder)
    with pytest.raises(typer.Exit) as ended:
        camera_test(name="yard", out=by_hard_link(folder / "photo.jpg", tmp_path).rename(tmp_path / "x.jpg"), data=data)
    assert ended.value.exit_code == 2
    assert digests(folder) == before
    with pytest.raises(typer.Exit) as ended:
        camera_test(name="yard", out=tmp_path / "image.mp4", data=data)
    assert (ended.value.exit_code, ".jpg" in capsys.readouterr().err) == (2, True)


async def _protected(settings, data):
    catalog = await SqliteCatalog.open(data / "catalog.sqlite")
    try:
        return await protect_footage(settings, catalog)
    finally:
        await catalog.close()


def test_an_input_and_footage_that_is_away_are_protected(indexed, tmp_path):
    data, folder, moment = indexed
    settings = load_settings({"data": data}, None)
    (source := tmp_path / "input.mp4").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"input\.mp4"):
        ProtectedFiles(settings, [source]).check(by_hard_link(source, tmp_path))
    away = (folder / "yard.mp4").rename(tmp_path / "yard.mp4")
    try:
        protected = asyncio.run(_protected(settings, data))
        with pytest.raises(UsageError, match=r"yard\.mp4"):  # it may only be unmounted
            protected.check(folder / "yard.mp4")
        for command in (cut, zipped):
            with pytest.raises(typer.Exit) as ended:
                command(moment, by_linked_folder(folder / "yard.mp4", Path(tempfile.mkdtemp(dir=tmp_path))), data)
            assert ended.value.exit_code == 2
        assert not (folder / "yard.mp4").exists()
    finally:
        away.rename(folder / "yard.mp4")


def test_cutting_itself_refuses_to_replace_what_it_cuts_from(indexed, tmp_path):
    _, folder, _ = indexed
    media, _ = identify_media(folder / "door.mp4", "door")
    before = digests(folder)
    with pytest.raises(ClipError, match="cut from"):
        cut_clip([media], media.start, media.end, by_hard_link(folder / "door.mp4", tmp_path))
    assert digests(folder) == before
