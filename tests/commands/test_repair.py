"""Tests that a damaged index says so in every answer, and that ``footage index`` repairs it from the footage.

The model is a stand-in, for speed: it sees mean colors.
"""

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from footage.__main__ import app
from footage.commands import composition
from footage.commands.composition import find_index
from footage.commands.errors import UsageError
from footage.commands.repair import repair_index
from footage.commands.service_lock import lock_service_folders
from footage.config.settings import Settings
from footage.indexer.embed.choose import ChosenEmbedder
from footage.indexer.store.base import CoverageState, Record, Where
from footage.stream.frame import Clock, Kind, Media
from footage.stream.instants import DISTANT_FUTURE, DISTANT_PAST
from footage.stream.recording import segment
from footage.stream.recording.archive import SegmentArchive
from tests.indexer.color_embedder import ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
CAMERAS = {"one": (220, 20, 20), "two": (20, 220, 20), "three": (220, 20, 20)}


async def create_embedder(*_, **__):
    return ChosenEmbedder(ColorEmbedder(), "test/color, which sees mean colors")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A data folder with three films, one of them known as a recorded segment."""
    folder = tmp_path_factory.mktemp("original")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composition, "create_embedder", create_embedder)
        for name, color in CAMERAS.items():
            make_film(folder / f"{name}.mp4", color)
            assert run(folder, "index", folder / f"{name}.mp4", "--start", "2026-05-04T12:00:00Z")[0] == 0

    async def record():
        index = await find_index(Settings(data=folder / "data"))
        (entry,) = await index.catalog.media_between(["three"], DISTANT_PAST, DISTANT_FUTURE)
        await index.catalog.remove_media([entry.media.id])
        media = entry.media
        segment = Media(media.id, "three", media.path, Kind.SEGMENT, media.start, Clock.RTCP, media.duration)
        await index.catalog.add_media(segment, "live")
        await index.close()

    asyncio.run(record())
    return folder


@pytest.fixture
def folder(original, tmp_path, monkeypatch):
    """A copy of the data folder; the films stay where they are, as the catalog names them."""
    monkeypatch.setattr(composition, "create_embedder", create_embedder)
    shutil.copytree(original / "data", tmp_path / "data")
    return tmp_path


def make_film(path, color):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for i in range(25):
            image = np.full((64, 64, 3), color if i >= 10 else (0, 0, 0), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def run(folder, *arguments):
    """Runs a command; gives its exit code, output and messages."""
    texts = [str(argument) for argument in (*arguments, "--data", folder / "data")]
    done = CliRunner().invoke(app, texts, env={"FOOTAGE_CACHE": str(folder / "cache")})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def records(folder):
    """How many records each camera has, and which cameras have a gap."""

    async def read():
        index = await find_index(Settings(data=folder / "data"))
        counts = {c: await index.store.count(Where((c,))) for c in CAMERAS}
        coverage = await index.catalog.coverage([], DISTANT_PAST, DISTANT_FUTURE)
        await index.close()
        return counts, {c.camera for c in coverage if c.state is CoverageState.GAP}

    return asyncio.run(read())


def table(folder):
    return next((folder / "data" / "vectors").glob("*.lance"))


@pytest.mark.slow
def test_lost_vectors_are_told_by_every_command_and_repaired_from_the_footage(folder):
    before = records(folder)
    assert before == ({"one": 5, "two": 5, "three": 5}, set())
    assert json.loads(run(folder, "search", "red", "--json")[1])["complete"]
    shutil.rmtree(folder / "data" / "vectors")
    for _ in range(2):
        code, out, told = run(folder, "search", "red", "--json")
        answer = json.loads(out)
        assert (code, answer["complete"], answer["moments"]) == (1, False, [])
        for part in ("damaged", "15 records were lost", "footage index"):
            assert part in answer["problem"]
            assert part in told
    code, out, told = run(folder, "status", "--json")
    assert "damaged" in json.loads(out)["problem"]
    assert "damaged" in run(folder, "status")[2]
    code, out, _ = run(folder, "doctor", "--deep")
    assert (code, "damaged" in out) == (1, True)
    code, _, told = run(folder, "index")
    assert (code, "whole again" in told) == (0, True), told
    assert records(folder) == before
    code, out, _ = run(folder, "search", "red", "--json")
    answer = json.loads(out)
    assert (answer["complete"], answer["problem"]) == (True, "")
    code, out, _ = run(folder, "doctor", "--deep")
    assert "15 records, all of them read" in out
    code, _, told = run(folder, "index")
    assert (code, "not damaged" in told) == (2, True)


@pytest.mark.parametrize("names", [("vectors", "vectors.json"), ("catalog.sqlite",)])
def test_what_was_put_back_from_an_older_copy_is_told_and_indexed_again(folder, names):
    data, four = folder / "data", (folder / "four.mp4", "--start", "2026-05-04T12:00:00Z")
    for name in names:
        (shutil.copytree if (data / name).is_dir() else shutil.copy)(data / name, folder / name)
    make_film(four[0], (20, 20, 220))
    assert run(folder, "index", *four)[0] == 0
    for name in names:
        for path in data.glob(f"{name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in names:
        (folder / name).rename(data / name)
    assert "older copy" in run(folder, "status")[2]
    assert "older copy" in json.loads(run(folder, "search", "blue", "--json")[1])["problem"]
    code, _, told = run(folder, "index", *four)
    assert (code, "whole again" in told or "5 records" in told) == (0, True), told
    assert json.loads(run(folder, "search", "blue", "--json", "--camera", "four")[1])["problem"] == ""
    assert "20 records, all of them read" in run(folder, "doctor", "--deep")[1]


def record_segment(data):
    """Adds a recorded segment of a camera, with a record, as a service does."""
    archive = SegmentArchive(data / "recordings")
    opened = segment.new_segment(archive.folder, "yard", START, Clock.RTCP, ".mp4")
    media = segment.finished_segment(opened, 5.0)
    Path(media.path).parent.mkdir(parents=True)
    Path(media.path).write_bytes(b"")

    async def add():
        index = await find_index(Settings(data=data))
        (gray,) = await ColorEmbedder().texts(["gray"])
        await index.catalog.add_media(media, "live")
        await index.store.write([Record("yard", media.at(1.0), media.id, 1.0, gray)])
        await index.close()

    asyncio.run(add())


def test_a_catalog_that_is_gone_is_told_until_it_knows_all_footage_again(folder, original):
    data = folder / "data"
    record_segment(data)
    for path in data.glob("catalog.sqlite*"):
        path.unlink()
    code, _, told = run(folder, "search", "red")
    assert (code, "catalog.sqlite, which knows what they are of, is gone" in told) == (2, True), told
    code, _, told = run(folder, "index", original / "one.mp4", "--start", "2026-05-04T12:00:00Z")
    assert code == 0
    assert "1 recorded segments are in the catalog again" in told
    assert "not repaired: 10 records are of footage that the catalog does not know" in told
    answer = json.loads(run(folder, "search", "green", "--json")[1])
    assert "10 records are of footage that it does not know" in answer["problem"]
    assert "does not know" in run(folder, "status")[2]
    for name in ("two", "three"):
        run(folder, "index", original / f"{name}.mp4", "--start", "2026-05-04T12:00:00Z")
    answer = json.loads(run(folder, "search", "green", "--json")[1])
    assert (answer["complete"], answer["problem"]) == (True, "")
    assert {m["missing"] for m in answer["moments"]} == {""}
    assert {c["camera"] for c in answer["coverage"]} == {*CAMERAS, "yard"}


def test_what_was_forgotten_of_a_file_is_not_indexed_again_with_the_rest(folder):
    part = ("--from", "2026-05-04T12:00:01Z", "--to", "2026-05-04T12:00:03Z")
    assert run(folder, "forget", "--camera", "one", *part)[0] == 0
    before = records(folder)
    assert before == ({"one": 3, "two": 5, "three": 5}, set())
    shutil.rmtree(folder / "data" / "vectors")
    code, _, told = run(folder, "index")
    assert (code, "whole again" in told) == (0, True), told
    assert records(folder) == before
    assert json.loads(run(folder, "search", "red", "--json", "--camera", "one", *part)[1])["coverage"] == []


def test_changed_bytes_are_found_by_a_deep_check_and_repaired(folder):
    before = records(folder)
    for path in (table(folder) / "data").iterdir():
        content = bytearray(path.read_bytes())
        for i in np.random.default_rng(5).integers(0, len(content) // 2, 40).tolist():
            content[i] ^= 0xFF
        path.write_bytes(content)
    code, out, _ = run(folder, "doctor", "--deep")
    assert (code, "repair it with" in out) == (1, True), out
    assert "damaged" in run(folder, "status")[2]
    code, _, told = run(folder, "index")
    assert (code, "whole again" in told) == (0, True), told
    assert records(folder) == before


@pytest.mark.parametrize("ledger", [True, False])
def test_what_is_lost_and_has_no_footage_becomes_a_gap(folder, original, ledger):
    shutil.rmtree(table(folder) / "data")
    if not ledger:  # the vectors of an earlier version have none
        shutil.rmtree(table(folder))
        (folder / "data" / "vectors.json").unlink()
    (original / "two.mp4").rename(original / "moved.mp4")
    try:
        code, _, told = run(folder, "index")
    finally:
        (original / "moved.mp4").rename(original / "two.mp4")
    assert (code, "two.mp4" in told, "whole again" in told) == (0, True, True), told
    assert records(folder) == ({"one": 5, "two": 0, "three": 5}, {"two"})
    run(folder, "index", original / "two.mp4", "--start", "2026-05-04T12:00:00Z")
    assert records(folder) == ({"one": 5, "two": 5, "three": 5}, set())


def test_a_file_that_lost_some_of_its_records_is_found_and_repaired(folder):
    async def lose():
        index = await find_index(Settings(data=folder / "data"))
        (entry,) = await index.catalog.media_between(["one"], DISTANT_PAST, DISTANT_FUTURE)
        assert entry.records == 5
        await index.store.forget(Where(("one",), ((entry.media.start, entry.media.at(2.5)),)))
        await index.close()

    asyncio.run(lose())
    code, out, _ = run(folder, "doctor", "--deep")
    assert (code, "1 files are indexed, and records of them are missing" in out) == (1, True), out
    assert run(folder, "index")[0] == 0
    assert records(folder)[0]["one"] == 5


def test_what_is_forgotten_on_purpose_is_no_damage(folder):
    code, _, _ = run(folder, "forget", "--camera", "one", "--to", "2026-05-04T12:00:02Z")
    assert code == 0
    code, out, _ = run(folder, "doctor", "--deep")
    assert "13 records, all of them read" in out
    for camera in CAMERAS:
        run(folder, "forget", "--camera", camera)
    assert "damaged" not in run(folder, "status")[2]


@pytest.mark.parametrize("command", ["model migrate lite/2", "store copy --from a.yaml --to b.yaml"])
def test_a_damaged_index_is_not_copied_as_if_it_were_whole(folder, command, monkeypatch):
    monkeypatch.chdir(folder)
    shutil.rmtree(table(folder) / "data")
    for name, data in (("a", folder / "data"), ("b", folder / "copy")):
        (folder / f"{name}.yaml").write_text(f"data: {data}")
    options = ["--data", str(folder / "data")] if "--from" not in command else []
    done = CliRunner().invoke(app, [*command.split(), *options])
    assert (done.exit_code, "footage index" in done.stderr) == (1, True), done.stderr


async def test_a_folder_that_a_service_uses_is_not_repaired(folder):
    shutil.rmtree(folder / "data" / "vectors")
    settings = Settings(data=folder / "data")
    async with lock_service_folders(settings):
        with pytest.raises(UsageError, match="another footage serve"):
            await repair_index(settings)
