"""Tests that what was not looked at in a file is not covered, and that it is told."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.files.folder_watch import finished_files
from footage.indexer.store.base import CoverageState
from tests import films
from tests.indexer.color_embedder import ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
ODD = Path(__file__).parents[2] / "files" / "odd"


async def covered(store, catalog, path, every=1.0):
    """The report, and what is covered as (state, from, to, cause) in seconds."""
    report = await FileIndexer(ColorEmbedder(), store, catalog).run([Job(path, "yard", every, START)])
    found = await catalog.coverage(["yard"], START, START + timedelta(hours=1))
    seconds = [(c.state, (c.start - START).total_seconds(), (c.end - START).total_seconds(), c.cause) for c in found]
    return report, seconds


@pytest.mark.parametrize("name", ["restart.ts", "joined_back.ts"])
async def test_joined_recordings_are_covered_whole_and_told(store, catalog, name):
    report, spans = await covered(store, catalog, ODD / name)
    assert report.frames == await store.count() == 16
    assert spans == [(CoverageState.WATCHED, 0, pytest.approx(16, abs=0.2), "")]
    assert "clock starts again at 8.0 s" in report.notes[str(ODD / name)]
    assert not report.damaged


async def test_what_cannot_be_decoded_is_a_gap(store, catalog, tmp_path):
    path = films.encode(tmp_path / "noise.mp4", films.numbered(500), gop=25, options={"movflags": "faststart"})
    report, spans = await covered(store, catalog, films.corrupt(path, 0.4, 0.7))
    assert [state for state, *_ in spans] == [CoverageState.WATCHED, CoverageState.GAP, CoverageState.WATCHED]
    assert spans[1][3] == "frames could not be decoded"
    assert spans[1][2] - spans[1][1] > 5
    assert "were not looked at: frames could not be decoded" in report.notes[str(path)]


async def test_a_hole_in_the_file_is_a_gap(store, catalog, tmp_path):
    parts = [films.encode(tmp_path / f"{i}.ts", films.numbered(100), start=10 + 44 * i).read_bytes() for i in range(2)]
    (path := tmp_path / "hole.ts").write_bytes(b"".join(parts))
    _, spans = await covered(store, catalog, path)
    assert [(state, round(a), round(b)) for state, a, b, _ in spans] == [
        (CoverageState.WATCHED, 0, 4),
        (CoverageState.GAP, 4, 44),
        (CoverageState.WATCHED, 44, 48),
    ]


async def test_a_track_that_is_left_out_is_told(store, catalog):
    report, spans = await covered(store, catalog, ODD / "two_cameras.mp4")
    assert "another video track" in report.notes[str(ODD / "two_cameras.mp4")]
    assert [state for state, *_ in spans] == [CoverageState.WATCHED]


async def test_one_bad_file_does_not_end_the_others(store, catalog, tmp_path):
    good = films.encode(tmp_path / "good.mp4", films.numbered(50))
    bad = [
        Path(os.fsdecode(os.fsencode(tmp_path) + name)) for name in (b"/caf\xe9.mp4", b"/\x1b[2J\n.mp4", b"/loop.mp4")
    ]
    for path in bad[:2]:
        path.write_bytes(b"x")
    bad[2].symlink_to(bad[2])
    jobs = [Job(path, "yard", 1.0) for path in (*bad, tmp_path / ("n" * 300), good)]
    report = await FileIndexer(ColorEmbedder(), store, catalog).run(jobs)
    assert (report.done, len(report.failed), report.frames) == (5, 4, 2)
    assert "rename it" in report.failed[str(bad[0])]
    assert all("\x1b" not in reason and "\n" not in reason for reason in report.failed.values())


async def test_a_watch_goes_on_past_what_cannot_be_looked_at(tmp_path):
    stop, seen = asyncio.Event(), []
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "@eaDir").mkdir()
    async with asyncio.timeout(20):
        watch = finished_files(tmp_path, stop, quiet=0.1, exclude=["*_thumb.jpg"])
        for name in ("again.mp4", "thumb.jpg", "@eaDir/a.jpg", "x_thumb.jpg"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "later.mp4").symlink_to(tmp_path / "later.mp4")
        (tmp_path / "folder.mp4").mkdir()
        async for paths in watch:
            seen += [path.name for path in paths]
            if len(seen) == 2:
                (tmp_path / "last.mp4").write_bytes(b"x")
            if "last.mp4" in seen:
                stop.set()
    assert sorted(seen) == ["again.mp4", "last.mp4", "thumb.jpg"]


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
async def test_of_a_growing_file_only_what_is_new_is_indexed(store, catalog, tmp_path, suffix):
    whole = films.encode(tmp_path / f"whole.{suffix}", films.numbered(200), gop=25, bframes=0).read_bytes()
    growing, embedded = tmp_path / "a" / f"growing.{suffix}", []
    growing.parent.mkdir()
    for share in (0.3, 0.6, 0.6, 0.8, 1.0, 1.0):
        growing.write_bytes(whole[: int(share * len(whole))])
        report, spans = await covered_without_start(store, catalog, growing)
        embedded.append(report.frames)
    assert sum(embedded) == await store.count() == 8
    assert embedded[2] == embedded[5] == 0
    assert len(await catalog.media_at_path(str(growing))) == 1
    assert [state for state, *_ in spans] == [CoverageState.WATCHED]
    assert spans[0][2] == pytest.approx(8, abs=0.2)


async def test_another_file_of_the_same_name_is_indexed_anew(store, catalog, tmp_path):
    path = films.encode(tmp_path / "cam.ts", films.numbered(50), gop=25)
    await covered_without_start(store, catalog, path)
    films.encode(path, films.numbered(200), gop=25, start=9)
    report, _ = await covered_without_start(store, catalog, path)
    assert (report.frames, await store.count()) == (8, 8)


async def covered_without_start(store, catalog, path):
    report = await FileIndexer(ColorEmbedder(), store, catalog).run([Job(path, "yard", 1.0)])
    (camera,) = await catalog.cameras()
    found = await catalog.coverage(["yard"], camera.start, camera.start + timedelta(hours=1))
    seconds = [(c.state, 0, (c.end - camera.start).total_seconds(), c.cause) for c in found]
    return report, seconds
