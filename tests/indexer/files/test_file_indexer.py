import asyncio
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.store.base import CoverageState, Where
from footage.indexer.store.errors import StoreError
from footage.stream.files import decode
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


def plain(names, seconds=2, fps=10):
    """Pictures of plain colors, some seconds each."""
    for name in names:
        for _ in range(seconds * fps):
            yield np.full((64, 96, 3), COLORS[name], dtype=np.uint8)


@pytest.fixture
def film(tmp_path):
    return films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue"]), fps=10, gop=10)


async def records(store, **where):
    return [r async for r in store.scan(Where(**where))]


async def index(parts, *jobs, **more):
    embedder, store, catalog = parts
    return await FileIndexer(embedder, store, catalog, **more).run(list(jobs))


@pytest.fixture
def parts(store, catalog):
    return ColorEmbedder(), store, catalog


async def test_a_video_gives_records_with_times_and_coverage(parts, film):
    report = await index(parts, Job(film, "yard", 1.0, START))
    found = await records(parts[1])
    assert [(r.time - START).total_seconds() for r in found] == [0, 1, 2, 3, 4, 5]
    assert [int(np.argmax(r.vector)) for r in found] == [0, 0, 1, 1, 2, 2]
    assert (report.done, report.known, report.frames, report.stopped) == (1, 0, 6, False)
    assert report.seconds == pytest.approx(report.total) == pytest.approx(6.0, abs=0.11)
    covered = await parts[2].coverage(["yard"], START, START + timedelta(minutes=1))
    assert [(c.state, c.start) for c in covered] == [(CoverageState.WATCHED, START)]
    assert (covered[0].end - START).total_seconds() == pytest.approx(6.0, abs=0.11)


async def test_an_indexed_file_is_skipped_the_second_time(parts, film):
    await index(parts, Job(film, "yard", 1.0))
    before = list(parts[0].batches)
    report = await index(parts, Job(film, "yard", 1.0))
    assert (report.known, report.frames) == (1, 0)
    assert parts[0].batches == before
    assert await parts[1].count() == 6


async def test_a_moved_file_is_recognized_at_its_new_path(parts, film):
    await index(parts, Job(film, "yard", 1.0))
    moved = film.rename(film.with_name("moved.mp4"))
    report = await index(parts, Job(moved, "yard", 1.0))
    assert report.known == 1
    assert [e.media.path for e in await parts[2].media_at_path(str(moved))] == [str(moved)]
    assert await parts[2].media_at_path(str(film)) == []


async def test_a_changed_file_is_indexed_again(parts, film):
    await index(parts, Job(film, "yard", 1.0, START))
    films.encode(film, plain(["white", "blue"]), fps=10, gop=10)
    report = await index(parts, Job(film, "yard", 1.0, START))
    assert report.known == 0
    found = await records(parts[1])
    assert len(found) == 4
    assert len({r.media for r in found}) == 1
    assert len(await parts[2].media_at_path(str(film))) == 1


async def test_another_interval_or_start_indexes_the_file_again(parts, film):
    await index(parts, Job(film, "yard", 1.0, START))
    await index(parts, Job(film, "yard", 0.5, START))
    assert await parts[1].count() == 12
    later = START + timedelta(hours=1)
    await index(parts, Job(film, "yard", 0.5, later))
    found = await records(parts[1])
    assert (len(found), found[0].time) == (12, later)


async def test_photographs_of_one_and_the_same_second_are_all_kept(parts, tmp_path):
    random = np.random.default_rng(1)
    paths = [tmp_path / f"{i}.png" for i in range(30)]
    for path in paths:
        cv2.imwrite(str(path), random.integers(0, 255, (40, 40, 3), dtype=np.uint8))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    report = await index(parts, *(Job(p, "album", 1.0) for p in paths))
    assert (report.done, report.failed) == (30, {})
    assert await parts[1].count() == 30


async def test_a_bad_file_is_named_and_the_others_are_indexed(parts, film, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"this is not a film" * 100)
    sound = films.sound_only(tmp_path / "sound.mp4")
    report = await index(parts, Job(bad, "a", 1.0), Job(sound, "b", 1.0), Job(film, "yard", 1.0))
    assert set(report.failed) == {str(bad), str(sound)}
    assert all(str(path) in text for path, text in report.failed.items())
    assert await parts[1].count() == 6


async def test_a_fault_that_one_file_shows_is_told_and_takes_no_other_along(parts, film, tmp_path, monkeypatch, caplog):
    bad = films.encode(tmp_path / "bad.mp4", plain(["red", "green", "blue"], seconds=3), fps=10, gop=10)
    read_frames = decode.read_frames

    def read(media, *options):
        for number, frame in enumerate(read_frames(media, *options)):
            if media.path == str(bad) and number == 2:
                raise IndexError("of our own making")
            yield frame

    monkeypatch.setattr(decode, "read_frames", read)
    report = await index(parts, Job(bad, "yard", 1.0, START), Job(film, "gate", 1.0, START))
    assert (report.done, list(report.failed)) == (2, [str(bad)])
    assert str(bad) in report.failed[str(bad)]
    assert "of our own making" in caplog.text
    assert "Traceback" in caplog.text
    assert await parts[2].coverage(["yard"], START, START + timedelta(minutes=1)) == []  # it is read again next time
    assert len(await records(parts[1], cameras=("gate",))) == 6
    monkeypatch.undo()
    assert (await index(parts, Job(bad, "yard", 1.0, START))).failed == {}
    assert len(await records(parts[1], cameras=("yard",))) == 9


async def test_the_readable_part_of_a_damaged_file_is_indexed_and_the_rest_is_a_gap(parts, tmp_path):
    whole = films.encode(tmp_path / "cut.mp4", films.numbered(100), fps=10, gop=10, options={"movflags": "faststart"})
    films.truncate(whole, 0.6)
    report = await index(parts, Job(whole, "yard", 1.0, START))
    assert str(whole) in report.damaged
    kept = await parts[1].count()
    assert 3 <= kept <= 8
    covered = await parts[2].coverage(["yard"], START, START + timedelta(seconds=10))
    assert [c.state for c in covered] == [CoverageState.WATCHED, CoverageState.GAP]
    assert "damaged" in covered[1].cause
    assert (await index(parts, Job(whole, "yard", 1.0, START))).known == 1


async def test_stopping_keeps_captured_frames_and_the_next_run_resumes(parts, tmp_path):
    film = films.encode(tmp_path / "long.mp4", films.numbered(400), fps=10, gop=10)
    slow = ColorEmbedder(0.4)
    indexer = FileIndexer(slow, parts[1], parts[2])
    running = asyncio.create_task(indexer.run([Job(film, "yard", 0.1, START)]))
    async with asyncio.timeout(10):
        while not await parts[1].count():
            await asyncio.sleep(0.01)
    indexer.stop()
    report = await running
    kept = await parts[1].count()
    assert report.stopped
    assert 0 < kept < 400
    again = await index(parts, Job(film, "yard", 0.1, START))
    assert kept + again.frames == 400
    assert [round((r.time - START).total_seconds() * 10) for r in await records(parts[1])] == list(range(400))


async def test_when_the_store_fails_waiting_files_are_not_opened(parts, film, monkeypatch):
    async def full(_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(parts[1], "write", full)
    others = [Job(film.with_name(f"{i}.mp4"), "yard", 1.0) for i in range(50)]
    indexer = FileIndexer(*parts, workers=1)
    with pytest.raises(StoreError, match="full"):
        await asyncio.wait_for(indexer.run([Job(film, "yard", 0.0), *others]), 30)
    assert indexer.report.failed == {}


CHILD = """
import asyncio, sys
from pathlib import Path
from datetime import datetime, UTC
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.pipeline.pipeline import Pipeline
from footage.indexer.store.lance import LanceStore
from footage.indexer.store.sqlite import SqliteCatalog
from tests.indexer.color_embedder import ColorEmbedder

async def main(folder, film):
    store = await LanceStore.open(folder / "index" / "vectors", ColorEmbedder.space)
    catalog = await SqliteCatalog.open(folder / "index" / "catalog.sqlite")
    write = store.write
    async def reporting(records):
        await write(records)
        print(len(records), flush=True)
    store.write = reporting
    embedder = ColorEmbedder(0.03)
    embedder.batch = 4
    await FileIndexer(embedder, store, catalog).run([Job(film, "yard", 0.5, datetime(2026, 5, 4, 12, tzinfo=UTC))])

kwargs = Pipeline.__init__.__kwdefaults__
kwargs["rows"] = 4
asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.slow
async def test_after_sigkill_indexing_resumes_without_loss_or_repeats(tmp_path, store, catalog):
    film = films.encode(tmp_path / "long.mp4", films.numbered(1200), fps=10, gop=10)
    acknowledged = 0
    for writes in (1, 3, 7):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(film)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
        )
        lines = [child.stdout.readline() for _ in range(writes)]
        child.send_signal(signal.SIGKILL)
        child.wait()
        lines += child.stdout.readlines()
        child.stdout.close()
        acknowledged += sum(int(line) for line in lines if line.endswith(b"\n") and line.strip())
        assert await store.count() >= acknowledged
    report = await index((ColorEmbedder(), store, catalog), Job(film, "yard", 0.5, START))
    assert acknowledged > 0
    assert report.frames < 240 - acknowledged + 1
    assert [(r.time - START).total_seconds() * 2 for r in await records(store)] == list(range(240))
