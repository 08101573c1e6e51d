"""Tests that catalog entries of a killed service are corrected from the files in its archive."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from footage.indexer.live.recovery import recover_segments, remove_missing_segments
from footage.indexer.live.retention import Retention
from footage.indexer.store.base import CoverageState, Record, Where
from footage.query.clips.service import ClipService, NotFound
from footage.query.search.missing import find_missing
from footage.query.search.question import Answer
from footage.query.values.ids import FrameId
from footage.query.values.moment import Moment
from footage.stream.frame import Clock
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.recording import segment
from footage.stream.recording.archive import SegmentArchive

START = datetime(2026, 5, 4, tzinfo=UTC)


async def test_entries_without_a_file_are_removed_and_finished_ones_get_their_path_and_duration(
    catalog, store, tmp_path
):
    archive = SegmentArchive(tmp_path / "recordings")
    opened = [
        segment.new_segment(folder, camera, START + timedelta(minutes=minute), Clock.RTCP, ".mp4")
        for folder, camera, minute in (
            (archive.folder, "yard", 0),  # finished, but not updated in the catalog
            (archive.folder, "yard", 1),  # held nothing
            (tmp_path / "elsewhere", "yard", 2),  # another folder's
            (archive.folder, "gate", 3),  # a camera that was not asked for
        )
    ]
    for media in opened:
        await catalog.add_media(media, "live")
    finished = segment.finished_segment(opened[0], 10.0)
    Path(finished.path).parent.mkdir(parents=True)
    Path(finished.path).write_bytes(b"")
    await remove_missing_segments(catalog, archive, store, ["yard"])
    entries = await catalog.media_between([], EPOCH, DISTANT_FUTURE)
    kept = [replace(entry.media, start=entry.media.start.astimezone(UTC)) for entry in entries]
    assert kept == [finished, opened[2], opened[3]]


def record(media, second):
    time = media.start + timedelta(seconds=second)
    return Record(media.camera, time, media.id, second, np.array([1, 0, 0], "f4"))


def moment(media, second):
    time = media.start + timedelta(seconds=second)
    return Moment(media.camera, time, time, 0.9, time, None, media.id, media.clock)


@pytest.fixture
def archive(tmp_path):
    return SegmentArchive(tmp_path / "recordings")


@pytest.fixture
async def killed(archive, catalog, store):
    """A segment that was killed in its first second: an empty file, and three records that are stored."""
    media = segment.new_segment(archive.folder, "yard", START, Clock.RTCP, ".mp4")
    Path(media.path).parent.mkdir(parents=True)
    Path(media.path).write_bytes(b"")
    await store.write([record(media, second) for second in (0.0, 0.2, 0.4)])
    return media


@pytest.mark.parametrize("noted", [True, False], ids=["in the catalog", "not yet in the catalog"])
async def test_records_whose_footage_was_never_written_stay_and_say_why_they_have_no_picture(
    archive, catalog, store, killed, noted, tmp_path
):
    if noted:
        await catalog.add_media(killed, "live")
    for _ in range(2):  # a service that starts again finds the same
        await recover_segments(catalog, archive, store)
        await remove_missing_segments(catalog, archive, store, ["yard"])
    (entry,) = await catalog.media_between([], EPOCH, DISTANT_FUTURE)
    assert entry.media.start <= START + timedelta(seconds=0.4) < entry.media.end
    assert [c.state for c in await catalog.coverage([], EPOCH, DISTANT_FUTURE)] == [CoverageState.WATCHED]
    clips = ClipService(store, catalog, tmp_path / "cache")
    with pytest.raises(NotFound, match=r"yard.*killed before this footage was on the disk"):
        await clips.get_frame(FrameId("yard", START, None))
    shown = moment(killed, 0.2)
    assert "killed" in (await find_missing(catalog, Answer([shown], [], [])))[shown]


async def test_records_behind_the_end_of_what_was_written_say_so_too(archive, catalog, store, tmp_path):
    opened = segment.new_segment(archive.folder, "yard", START, Clock.RTCP, ".mp4")
    finished = segment.finished_segment(opened, 10.0)
    await catalog.add_media(finished, "live")
    await store.write([record(finished, 9.0), record(finished, 10.4)])
    clips = ClipService(store, catalog, tmp_path / "cache")
    with pytest.raises(NotFound, match="killed before this footage was on the disk"):
        await clips.get_frame(FrameId("yard", START + timedelta(seconds=10.4), None))
    with pytest.raises(NotFound, match="no footage of camera"):
        await clips.get_frame(FrameId("yard", START + timedelta(seconds=11), None))
    early, late = moment(finished, 9.0), moment(finished, 10.4)
    assert list(await find_missing(catalog, Answer([early, late], [], []))) == [late]


async def test_a_finished_segment_whose_disk_is_not_mounted_keeps_its_entry(archive, catalog, store, tmp_path):
    opened = segment.new_segment(archive.folder, "yard", START, Clock.RTCP, ".mp4")
    finished = segment.finished_segment(opened, 10.0)
    await catalog.add_media(finished, "live")
    await store.write([record(finished, 1.0)])
    await remove_missing_segments(catalog, archive, store, ["yard"])
    (entry,) = await catalog.media_between([], EPOCH, DISTANT_FUTURE)
    assert entry.media.path == finished.path
    with pytest.raises(NotFound, match="not mounted"):
        await ClipService(store, catalog, tmp_path / "cache").get_frame(FrameId("yard", START, None))


async def test_what_was_never_written_expires_with_the_footage_behind_it(archive, catalog, store, killed):
    await recover_segments(catalog, archive, store)
    later = segment.new_segment(archive.folder, "yard", START + timedelta(seconds=20), Clock.RTCP, ".mp4")
    finished = segment.finished_segment(later, 10.0)
    Path(finished.path).write_bytes(bytes(100))
    await catalog.add_media(finished, "live")
    await store.write([record(finished, 1.0)])
    assert await Retention(store, catalog, archive, {"yard": None}, size=0).delete_expired() == 1
    assert await catalog.media_between([], EPOCH, DISTANT_FUTURE) == []
    assert await store.count(Where()) == 0


async def test_what_another_worker_recorded_does_not_expire_with_what_is_here(archive, catalog, store):
    """Its file is on another machine, maybe under the same name."""
    media = []
    for seconds, folder in ((0, archive.folder / "elsewhere"), (20, archive.folder)):
        new = segment.new_segment(folder, "yard", START + timedelta(seconds=seconds), Clock.RTCP, ".mp4")
        media.append(segment.finished_segment(new, 10.0))
        await catalog.add_media(media[-1], "live")
        await store.write([record(media[-1], 1.0)])
    Path(media[1].path).parent.mkdir(parents=True, exist_ok=True)
    Path(media[1].path).write_bytes(bytes(100))
    assert await Retention(store, catalog, archive, {"yard": None}, size=0).delete_expired() == 1
    assert [e.media.id for e in await catalog.media_between([], EPOCH, DISTANT_FUTURE)] == [media[0].id]
    assert await store.count(Where()) == 1


async def test_what_a_clock_that_was_ahead_left_is_recovered(archive, catalog, store):
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await catalog.add_media(segment.new_segment(archive.folder, "yard", tomorrow, Clock.ARRIVAL, ".mp4"), "live")
    await remove_missing_segments(catalog, archive, store, ["yard"])
    assert await catalog.media_between([], EPOCH, DISTANT_FUTURE) == []
