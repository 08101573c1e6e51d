"""Tests migration to another model: records with footage are copied once; the old space is used until the switch."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError, Space
from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.files.file_indexer import FileIndexer, Job
from footage.indexer.migration.migrate import Migration, NotMigrated
from footage.indexer.migration.reconcile import record_key
from footage.indexer.migration.reextract import CROP_SOURCE_SIDE
from footage.indexer.store.base import Record, SpaceMismatch, Where
from footage.indexer.store.lance import LanceStore
from footage.stream.frame import Clock, Kind, Media, Region
from footage.stream.source import identify_media
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
RED_CORNER, GREEN_CORNER = Region(0, 0, 51 / 255, 51 / 255), Region(204 / 255, 0, 1, 51 / 255)


class OtherEmbedder(ColorEmbedder):
    """Another model: four dimensions, colors in another order, another size of picture."""

    space = Space("test/other", 4)
    side = 48

    async def images(self, batch):
        return wider(await super().images(batch))

    async def texts(self, texts):
        return wider(await super().texts(texts))


class WaitingEmbedder(OtherEmbedder):
    """Embeds one batch, then none until it is released."""

    def __init__(self):
        super().__init__()
        self.go = asyncio.Event()

    async def images(self, batch):
        if self.batches:
            await self.go.wait()
        return await super().images(batch)


def wider(rows):
    wide = np.c_[rows[:, ::-1], np.full(len(rows), 0.2, np.float32)]
    return (wide / np.linalg.norm(wide, axis=1, keepdims=True)).astype(np.float32)


def plain(names, seconds=2, fps=10):
    """Pictures of plain colors, some seconds each."""
    for name in names:
        for _ in range(seconds * fps):
            yield np.full((64, 96, 3), COLORS[name], dtype=np.uint8)


def noise(path, seed=0):
    """Ten seconds, 100 frames, too large for their damage to show in the file's identity."""
    random = np.random.default_rng(seed)
    pictures = (random.integers(0, 255, (240, 320, 3), dtype=np.uint8) for _ in range(100))
    return films.encode(path, pictures, fps=10, gop=10)


@pytest.fixture
async def target(tmp_path):
    target = await LanceStore.open(tmp_path / "index" / "vectors", OtherEmbedder.space)
    yield target
    await target.close()


@pytest.fixture
def film(tmp_path):
    return films.encode(tmp_path / "film.mp4", plain(["red", "green", "blue", "white"]), fps=10, gop=10)


@pytest.fixture
def index(store, catalog):
    async def index(*jobs):
        await catalog.bind_space(ColorEmbedder.space, await fingerprint(ColorEmbedder()))
        report = await FileIndexer(ColorEmbedder(), store, catalog).run(list(jobs))
        assert not report.failed

    return index


@pytest.fixture
def migration(store, target, catalog):
    return lambda embedder=None, **more: Migration(store, target, catalog, embedder or OtherEmbedder(), **more)


async def keys(store):
    return [record_key(r) async for r in store.scan(Where())]


async def best(store, embedder, text):
    hits = await store.nearest((await embedder.texts([text]))[0], 2)
    return {(hit.camera, hit.time, hit.media, hit.offset) for hit in hits}


async def test_videos_and_photographs_are_copied_and_answer_as_before_after_the_switch(
    index, migration, store, target, catalog, film, tmp_path
):
    for i in range(3):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((40, 60, 3), (120, 10 * i, 120), np.uint8))
        os.utime(path, (1_700_000_000, 1_700_000_000))
    numbered = films.encode(tmp_path / "numbered.mp4", films.numbered(60), fps=10, gop=25)
    photographs = [Job(tmp_path / f"{i}.png", "album", 1.0) for i in range(3)]
    await index(Job(film, "yard", 1.0, START), Job(numbered, "gate", 0.3, START), *photographs)
    this = migration()
    report = await this.run()
    assert (report.total, report.copied, report.present, report.lost) == (31, 31, 0, [])
    assert (report.done, report.passes, report.complete, report.problem) == (31, 2, True, "")
    assert report.verified == {"album": (3, 3), "gate": (20, 20), "yard": (8, 8)}
    assert report.checked == 31
    assert report.min_cosine == pytest.approx(1, abs=1e-3)
    assert await keys(target) == await keys(store)
    await this.switch()
    assert await catalog.bound_space() == OtherEmbedder.space
    await catalog.bind_space(OtherEmbedder.space, await fingerprint(OtherEmbedder()))
    with pytest.raises(SpaceMismatch):
        await catalog.bind_space(ColorEmbedder.space, await fingerprint(ColorEmbedder()))
    for color in COLORS:
        answer = await best(target, OtherEmbedder(), color)
        assert answer == await best(store, ColorEmbedder(), color)
        assert {camera for camera, *_ in answer} == {"yard"}


async def test_every_record_gets_its_own_image(index, migration, target, tmp_path):
    shades = [np.full((64, 96, 3), (5 * i, 250 - 5 * i, 90), np.uint8) for i in range(50)]
    film = films.encode(tmp_path / "shades.mkv", shades, times=films.uneven(50), gop=7)
    await index(Job(film, "yard", 0.0, START))
    await migration().run()
    own = await OtherEmbedder().images(shades)
    found = [r async for r in target.scan(Where())]
    assert len(found) == 50
    cosines = np.array([r.vector for r in found]) @ own.T
    assert np.abs(cosines.argmax(axis=1) - np.arange(50)).max() <= 1  # H.264 turns some shades into their neighbors
    assert cosines.diagonal().min() > 0.999


async def test_regions_are_cropped_from_a_larger_image_and_embedded(migration, store, target, catalog, tmp_path):
    path = films.encode(tmp_path / "large.mp4", films.numbered(30, (1440, 960)), fps=10, gop=10)
    media = replace(identify_media(path, "gate", START)[0], kind=Kind.SEGMENT)
    await catalog.add_media(media, "live")
    boxes = (None, RED_CORNER, GREEN_CORNER)
    vector = np.array([1, 0, 0], np.float32)
    records = [Record("gate", media.at(n / 10), media.id, n / 10, vector, box) for n in (3, 17) for box in boxes]
    await store.write(records)
    embedder = OtherEmbedder()
    sizes = []
    plainly = embedder.images

    async def noted(batch):
        sizes.extend(min(image.shape[:2]) for image in batch)
        return await plainly(batch)

    embedder.images = noted
    report = await migration(embedder).run()
    assert (report.copied, report.complete, report.checked) == (6, True, 6)
    assert await keys(target) == await keys(store)
    assert max(sizes) == CROP_SOURCE_SIDE
    for color, box in (("red", RED_CORNER), ("green", GREEN_CORNER)):
        hits = await target.nearest((await embedder.texts([color]))[0], 2)
        assert [hit.region for hit in hits] == [box, box]
        assert min(hit.score for hit in hits) > 0.98


async def test_a_live_frame_is_found_in_the_segment_before_that_of_its_record(
    migration, store, target, catalog, tmp_path
):
    parts = [films.encode(tmp_path / f"{c}.mp4", plain([c]), fps=10, gop=10) for c in ("red", "blue")]
    segments = [
        Media(f"{n}", "gate", str(path), Kind.SEGMENT, START + timedelta(seconds=2 * n), Clock.RTCP, 2.0)
        for n, path in enumerate(parts)
    ]
    for media in segments:
        await catalog.add_media(media, "live")
    vector = np.array([1, 0, 0], np.float32)
    await store.write([Record("gate", segments[1].at(-0.2), "1", -0.2, vector)])
    report = await migration().run()
    assert (report.complete, report.checked) == (True, 1)
    [record] = [r async for r in target.scan(Where())]
    assert (record.media, record.offset) == ("1", -0.2)
    assert record.vector @ (await OtherEmbedder().texts(["red"]))[0] > 0.99


async def test_the_old_space_is_searched_and_written_during_a_migration(
    index, migration, store, target, film, tmp_path
):
    await index(Job(film, "yard", 0.5, START))
    later = films.encode(tmp_path / "later.mp4", plain(["blue", "red"]), fps=10, gop=10)
    embedder = OtherEmbedder()
    plainly = embedder.images

    async def meanwhile(batch):
        if not embedder.batches:
            embedder.batches.append(0)
            before = await best(store, ColorEmbedder(), "green")
            assert {camera for camera, *_ in before} == {"yard"}
            await index(Job(later, "door", 0.5, START - timedelta(days=1)))
        return await plainly(batch)

    embedder.images = meanwhile
    report = await migration(embedder).run()
    assert (report.copied, report.passes, report.complete) == (24, 3, True)
    assert report.verified == {"door": (8, 8), "yard": (16, 16)}
    assert await keys(target) == await keys(store)


async def test_a_migration_ends_while_a_camera_keeps_recording(index, migration, store, target, catalog, film):
    await index(Job(film, "yard", 1.0, START))
    embedder = OtherEmbedder()
    plainly = embedder.images

    async def meanwhile(batch):
        now = datetime.now(UTC)
        media = Media(f"{now.timestamp()}", "live", str(film), Kind.SEGMENT, now, Clock.ARRIVAL, 8.0)
        await catalog.add_media(media, "live")
        await store.write([Record("live", now, media.id, 0.0, np.array([1, 0, 0], np.float32))])
        return await plainly(batch)

    embedder.images = meanwhile
    this = migration(embedder, spot_checks=0)
    report = await this.run()
    assert report.complete, report.problem
    assert report.passes == 8
    assert report.copied >= 15
    await this.switch()
    again = await migration(spot_checks=0).run()
    assert (again.present, again.complete) == (report.copied, True)
    assert again.copied > 0
    assert await keys(target) == await keys(store)


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


class Short:
    """A store whose scans end early, all of them or from the third one on, as a cluster's did whose pages were cut."""

    def __init__(self, store, good):
        self._store, self._good = store, good

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def scan(self, where):
        self._good -= 1
        left = 5 if self._good < 0 else 1_000
        async for record in self._store.scan(where):
            if not left:
                return
            left -= 1
            yield record


@pytest.mark.parametrize("good", [0, 2], ids=["always", "when it is read again"])
@pytest.mark.parametrize("short", ["old", "new"])
async def test_a_scan_that_ends_early_is_noticed(index, store, target, catalog, film, short, good):
    await index(Job(film, "yard", 1.0, START))
    source = Short(store, good) if short == "old" else store
    copied = Short(target, good) if short == "new" else target
    report = await Migration(source, copied, catalog, OtherEmbedder()).run()
    assert not report.complete
    assert "yard" in report.problem or "older records" in report.problem


async def test_records_that_differ_between_the_spaces_are_noticed(index, store, target, catalog, film):
    await index(Job(film, "yard", 1.0, START))
    first, *_ = [r async for r in store.scan(Where())]
    wrong = replace(first, media="another", vector=np.array([1, 0, 0, 0], np.float32))
    await target.write([wrong])
    report = await Migration(store, target, catalog, OtherEmbedder(), spot_checks=0).run()
    assert (report.complete, report.copied) == (False, 7)
    assert "differ in media or offset" in report.problem


async def test_a_restored_file_is_copied_by_the_next_run(index, migration, target, film):
    await index(Job(film, "yard", 1.0, START))
    away = film.rename(film.with_suffix(".away"))
    assert [one.count for one in (await migration().run()).lost] == [8]
    away.rename(film)
    report = await migration().run()
    assert (report.lost, report.copied) == ([], 8)
    assert await target.count() == 8


async def test_an_incomplete_migration_cannot_switch(index, migration, store, target, catalog, film):
    await index(Job(film, "yard", 0.1, START))
    embedder = WaitingEmbedder()
    this = migration(embedder)
    with pytest.raises(NotMigrated, match="test/color"):
        await this.switch()
    run = asyncio.create_task(this.run())
    async with asyncio.timeout(20):
        while not this.report.copied:
            await asyncio.sleep(0.005)
    with pytest.raises(NotMigrated, match="not ended"):
        await this.switch()
    this.stop()
    embedder.go.set()
    report = await run
    assert (report.stopped, report.complete) == (True, False)
    with pytest.raises(NotMigrated, match="stopped"):
        await this.switch()
    assert await catalog.bound_space() == ColorEmbedder.space
    assert 0 < await target.count() == report.copied < 80
    resumed = migration()
    again = await resumed.run()
    assert (again.present, again.present + again.copied) == (report.copied, 80)
    await resumed.switch()
    assert await keys(target) == await keys(store)


async def test_a_failing_embedder_ends_the_run_and_the_next_one_resumes(index, migration, target, catalog, film):
    await index(Job(film, "yard", 0.1, START))
    embedder = OtherEmbedder()
    plainly = embedder.images

    async def failing(batch):
        if len(embedder.batches) == 6:
            raise EmbedderError("the server went away")
        return await plainly(batch)

    embedder.images = failing
    this = migration(embedder)
    with pytest.raises(EmbedderError, match="went away"):
        await this.run()
    with pytest.raises(NotMigrated, match="not ended"):
        await this.switch()
    kept = await target.count()
    report = await migration().run()
    assert (report.present, report.present + report.copied, report.complete) == (kept, 80, True)


async def test_a_store_that_loses_acknowledged_records_is_detected(index, migration, target, film):
    await index(Job(film, "yard", 1.0, START))
    write = target.write
    target.write = lambda records: write([r for r in records if r.time != START])
    this = migration()
    report = await this.run()
    assert (report.passes, report.complete) == (8, False)
    with pytest.raises(NotMigrated, match="still found 1 older"):
        await this.switch()


async def test_vectors_of_another_model_under_the_same_name_are_detected(
    index, migration, store, target, catalog, film
):
    await index(Job(film, "yard", 1.0, START))
    wrong = np.array([0, 0, 0, 1], np.float32)
    await target.write([replace(r, vector=wrong) async for r in store.scan(Where())])
    this = migration()
    report = await this.run()
    assert (report.present, report.copied, report.complete) == (8, 0, False)
    assert report.min_cosine < 0.5
    with pytest.raises(NotMigrated, match="another model"):
        await this.switch()
    assert await catalog.bound_space() == ColorEmbedder.space


async def test_records_forgotten_in_the_old_space_are_no_error(index, migration, store, target, film):
    await index(Job(film, "yard", 1.0, START), Job(film, "door", 1.0, START))
    await migration().run()
    await store.forget(Where(("door",)))
    report = await migration().run()
    assert (report.complete, report.present, report.verified) == (True, 8, {"yard": (8, 8)})


def test_incompatible_spaces_are_refused(store, target, catalog):
    with pytest.raises(NotMigrated, match="already"):
        Migration(store, store, catalog, ColorEmbedder())
    with pytest.raises(NotMigrated, match="test/color"):
        Migration(store, target, catalog, ColorEmbedder())
