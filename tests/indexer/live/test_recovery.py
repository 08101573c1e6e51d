"""Tests that catalog entries of a killed service are corrected from the files in its archive."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.indexer.live.recovery import remove_missing_segments
from footage.stream.frame import Clock
from footage.stream.instants import DISTANT_FUTURE, EPOCH
from footage.stream.recording import segment
from footage.stream.recording.archive import SegmentArchive

START = datetime(2026, 5, 4, tzinfo=UTC)


async def test_entries_without_a_file_are_removed_and_finished_ones_get_their_path_and_duration(catalog, tmp_path):
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
    await remove_missing_segments(catalog, archive, ["yard"])
    entries = await catalog.media_between([], EPOCH, DISTANT_FUTURE)
    kept = [replace(entry.media, start=entry.media.start.astimezone(UTC)) for entry in entries]
    assert kept == [finished, opened[2], opened[3]]
