"""Tests that a migration that is not whole cannot switch: what stops it, and what is wrong with a copy."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from footage.indexer.embed.base import EmbedderError
from footage.indexer.files.file_indexer import Job
from footage.indexer.migration.migrate import Migration, NotMigrated
from footage.indexer.store.base import Where
from tests.indexer.color_embedder import ColorEmbedder
from tests.indexer.migration.harness import START, OtherEmbedder, WaitingEmbedder, keys


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


def test_incompatible_spaces_are_refused(store, target, catalog):
    with pytest.raises(NotMigrated, match="already"):
        Migration(store, store, catalog, ColorEmbedder())
    with pytest.raises(NotMigrated, match="test/color"):
        Migration(store, target, catalog, ColorEmbedder())
