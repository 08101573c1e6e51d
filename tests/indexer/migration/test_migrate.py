"""Tests migration to another model: records with footage are copied once; the old space is used until the switch."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import cv2
import numpy as np
import pytest

from footage.indexer.embed.fingerprint import fingerprint
from footage.indexer.files.file_indexer import Job
from footage.indexer.migration.reextract import CROP_SOURCE_SIDE
from footage.indexer.store.base import Record, Where
from footage.indexer.store.errors import SpaceMismatch
from footage.stream.frame import Clock, Kind, Media, Region
from footage.stream.source import identify_media
from tests import films
from tests.indexer.color_embedder import COLORS, ColorEmbedder
from tests.indexer.migration.harness import START, OtherEmbedder, best, keys, plain

RED_CORNER, GREEN_CORNER = Region(0, 0, 51 / 255, 51 / 255), Region(204 / 255, 0, 1, 51 / 255)


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


async def test_records_forgotten_in_the_old_space_are_no_error(index, migration, store, target, film):
    await index(Job(film, "yard", 1.0, START), Job(film, "door", 1.0, START))
    await migration().run()
    await store.forget(Where(("door",)))
    report = await migration().run()
    assert (report.complete, report.present, report.verified) == (True, 8, {"yard": (8, 8)})
