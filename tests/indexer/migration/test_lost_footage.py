"""Tests a migration of records whose footage is gone, changed, damaged, unfinished or restored."""

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np

from footage.indexer.files.file_indexer import Job
from footage.indexer.store.base import Record, Where
from footage.stream.frame import Clock, Kind, Media
from tests import films
from tests.indexer.migration.harness import START, OtherEmbedder, keys, noise, plain


async def test_a_frame_not_in_its_file_yet_is_waiting_unless_its_recording_was_interrupted(
    migration, store, target, catalog, film, tmp_path
):
    vector = np.array([1, 0, 0], np.float32)
    starts = {"now": datetime.now(UTC), "old": START}
    for camera, start in starts.items():
        path = str(tmp_path / f"{camera}.mp4.tmp")
        await catalog.add_media(Media(camera, camera, path, Kind.SEGMENT, start, Clock.ARRIVAL, 0.0), "live")
        await store.write([Record(camera, start + timedelta(seconds=2), camera, 2.0, vector)])
    this = migration()
    run = asyncio.create_task(this.run())
    async with asyncio.timeout(20):
        while not this.report.waiting:
            await asyncio.sleep(0.005)
    film.rename(tmp_path / "now.mp4.tmp")
    report = await run
    assert [one.camera for one in report.lost] == ["old"]
    assert (report.copied, report.waiting, report.complete) == (1, 0, True)
    assert [camera for _, camera, _ in await keys(target)] == ["now"]


async def test_records_without_footage_are_listed_and_stay_in_the_old_space(
    index, migration, store, target, catalog, film, tmp_path
):
    gone, changed, damaged = tmp_path / "gone.mp4", tmp_path / "changed.mp4", noise(tmp_path / "damaged.mp4")
    for path in (gone, changed):
        path.write_bytes(film.read_bytes())
    jobs = [Job(p, p.stem, 0.5, START) for p in (gone, changed, damaged, film)]
    await index(*jobs)
    feed = Media("feed", "unrecorded", "", Kind.FEED, START, Clock.ARRIVAL, 0.0)
    await catalog.add_media(feed, "live")
    stray = np.array([0, 1, 0], np.float32)
    await store.write([Record("unrecorded", START, "feed", 0.0, stray), Record("old", START, "forgotten", 0.0, stray)])
    gone.unlink()
    films.encode(changed, plain(["blue", "blue", "blue", "blue"]), fps=10, gop=10)
    films.corrupt(damaged, 0.30, 0.45)
    this = migration()
    report = await this.run()
    lost = {one.camera: one for one in report.lost}
    assert set(lost) == {"gone", "changed", "damaged", "unrecorded", "old"}
    words = {"gone": "gone", "changed": "changed", "damaged": "damaged", "unrecorded": "not recorded", "old": "expired"}
    assert all(word in lost[camera].reason for camera, word in words.items())
    assert (lost["gone"].path, lost["gone"].count) == (str(gone), 16)
    assert (lost["gone"].first, lost["gone"].last) == (START, START + timedelta(seconds=7.5))
    assert 1 <= lost["damaged"].count <= 8
    assert lost["damaged"].first > START + timedelta(seconds=2)
    assert report.complete, report.problem
    assert report.done == report.total == report.copied + sum(one.count for one in report.lost)
    assert await store.count() == report.total
    assert await target.count(Where(("film",))) == 16
    await this.switch()
    assert await catalog.bound_space() == OtherEmbedder.space


async def test_a_restored_file_is_copied_by_the_next_run(index, migration, target, film):
    await index(Job(film, "yard", 1.0, START))
    away = film.rename(film.with_suffix(".away"))
    assert [one.count for one in (await migration().run()).lost] == [8]
    away.rename(film)
    report = await migration().run()
    assert (report.lost, report.copied) == ([], 8)
    assert await target.count() == 8
