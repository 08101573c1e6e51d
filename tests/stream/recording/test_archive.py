"""Tests the segment archive: listing by name, repair after real kills, expiry oldest first."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Clock, Media
from footage.stream.instants import EPOCH
from footage.stream.recording import segment
from footage.stream.recording.archive import SegmentArchive
from footage.stream.recording.wrong_times import WrongSpan, WrongTimes
from tests import films
from tests.stream.live.feeds import BEGIN, RecorderHarness, feed, numbered_frames

LENGTH = timedelta(seconds=10)
SIZE = 1000


def put(folder: Path, camera: str, count: int, start: datetime = BEGIN, size: int = SIZE) -> list[Media]:
    """Finished segments of ``size`` bytes, one after another."""
    made = []
    for i in range(count):
        one = segment.finished_segment(
            segment.new_segment(folder, camera, start + i * LENGTH, Clock.RTCP, ".mp4"), 10.0
        )
        Path(one.path).parent.mkdir(parents=True, exist_ok=True)
        Path(one.path).write_bytes(bytes(size))
        made.append(one)
    return made


@pytest.fixture
def archive(tmp_path: Path) -> SegmentArchive:
    return SegmentArchive(tmp_path)


@pytest.mark.parametrize("clock", list(Clock))
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_segment_path_round_trips(clock: Clock, suffix: str) -> None:
    folder = Path("/rec")
    open_one = segment.new_segment(folder, "yard.2", BEGIN, clock, suffix)
    done = segment.finished_segment(open_one, 10.04)
    assert segment.parse_path(open_one.path) == open_one
    assert segment.parse_path(done.path) == done
    assert done.id == open_one.id != segment.new_segment(folder, "yard", BEGIN, clock, suffix).id
    assert done.path == f"/rec/yard.2/2026-11-23/20261123T235955.123457Z_10.040000s_{clock}{suffix}"


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "20261123T235955.123457Z_rtcp.mp4",  # neither finished nor open
        "20261123T235955.123457Z_10.040000s_rtcp.mp4.tmp",
        "20261123T235955.123457Z_10.040000s_sundial.mp4",
        "20261399T235955.123457Z_10.040000s_rtcp.mp4",
    ],
)
def test_other_file_names_are_not_segments(name: str) -> None:
    assert segment.parse_path(f"/rec/yard/2026-11-23/{name}") is None


def test_segments_are_listed_by_camera_and_time(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 12)  # midnight comes after the first
    put(tmp_path, "yard", 3)
    assert archive.cameras() == ["door", "yard"]
    assert list(archive.segments("door")) == made
    assert list(archive.segments("door", BEGIN + 2.5 * LENGTH, BEGIN + 5 * LENGTH)) == made[2:5]
    assert list(archive.segments("door", BEGIN + 0.9 * LENGTH, BEGIN + 1.1 * LENGTH)) == made[:2]
    assert list(archive.segments("nobody")) == []


def test_recorded_segments_are_listed(film: Callable[[str], Media], tmp_path: Path) -> None:
    segments = RecorderHarness(tmp_path).record(film("mp4").path)
    assert list(SegmentArchive(tmp_path).segments("door")) == segments


def test_the_age_limit_is_set_per_camera(archive: SegmentArchive, tmp_path: Path) -> None:
    door, yard, gate = (put(tmp_path, name, 6) for name in ("door", "yard", "gate"))
    gone = retain(archive, {"door": 3 * LENGTH, "yard": 5 * LENGTH, "gate": None}, now=door[-1].end)
    assert gone == [door[0], yard[0], door[1], door[2]]
    assert [list(archive.segments(name)) for name in ("door", "yard", "gate")] == [door[3:], yard[1:], gate]


def test_the_oldest_of_all_cameras_expire_when_the_total_is_too_large(archive: SegmentArchive, tmp_path: Path) -> None:
    old, young = put(tmp_path, "yard", 4), put(tmp_path, "door", 4, BEGIN + 2.5 * LENGTH)
    assert retain(archive, {}, total=5 * SIZE) == old[:3]
    assert retain(archive, {}, total=5 * SIZE) == []
    assert archive.total_size() == 5 * SIZE
    assert retain(archive, {}, total=3 * SIZE) == [young[0], old[3]]


def test_the_total_size_follows_changes_by_other_processes(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    assert archive.total_size() == 6 * SIZE
    Path(made[3].path).unlink()
    put(tmp_path, "door", 2, made[-1].end, size=10)
    assert archive.total_size() == 5 * SIZE + 20
    archive.delete(made[:2])
    assert archive.total_size() == 3 * SIZE + 20 == SegmentArchive(tmp_path).total_size()


def test_the_oldest_expire_until_enough_of_the_disk_is_free(tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    archive = SegmentArchive(
        tmp_path, free=lambda folder: 4500 - sum(p.stat().st_size for p in folder.rglob("*.mp4")) + 6000
    )
    assert archive.has_room(4500)
    assert not archive.has_room(4501)
    assert retain(archive, {}, free=4500) == []
    assert retain(archive, {}, free=6000) == made[:2]
    assert archive.has_room(6000)


def test_segments_expired_by_age_count_towards_the_total(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    assert retain(archive, {"door": 4 * LENGTH}, total=3 * SIZE, now=made[-1].end) == made[:3]


def test_protected_busy_and_open_segments_are_kept(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 4)
    growing = segment.new_segment(tmp_path, "door", BEGIN - LENGTH, Clock.RTCP, ".mp4")
    Path(growing.path).write_bytes(b"...")
    with archive.protect(made[0].path), archive.protect(made[0].path):
        with archive.protect(made[2].path):
            assert retain(archive, {}, total=0, busy={Path(made[1].path)}) == [made[3]]
            assert archive.delete([made[2]]) == []
        assert retain(archive, {}, total=0, busy={Path(made[1].path)}) == [made[2]]
    assert retain(archive, {"door": timedelta(0)}, total=0, free=1 << 60) == made[:2]
    assert Path(growing.path).exists()


def test_expired_segments_are_known_before_they_are_deleted(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 3)
    assert archive.find_expired({}, total=SIZE) == made[:2] == archive.find_expired({}, total=SIZE)
    Path(made[0].path).unlink()  # a delete that was killed half way is done again
    assert archive.delete(made[:2]) == made[:2]


def test_what_a_wrong_clock_dated_is_as_old_as_it_is(archive: SegmentArchive, tmp_path: Path) -> None:
    """The clock showed 1970 after the first two, and was set before the last."""
    right, late = put(tmp_path, "door", 2), put(tmp_path, "door", 1, BEGIN + 4 * LENGTH)
    odd = put(tmp_path, "door", 2, EPOCH)
    wrong = WrongTimes([WrongSpan(EPOCH, EPOCH + 2 * LENGTH, BEGIN + 2 * LENGTH - EPOCH)])
    by_age = [*right, *odd, *late]
    for count in range(1, 6):
        due = archive.find_expired({}, total=(5 - count) * SIZE, wrong=wrong)
        assert {one.path for one in due} == {one.path for one in by_age[:count]}
    for count in range(6):
        due = archive.find_expired({"door": (5 - count) * LENGTH}, now=late[0].end, wrong=wrong)
        assert {one.path for one in due} == {one.path for one in by_age[:count]}
    assert archive.find_expired({"door": LENGTH}, now=late[0].end) == [*odd, *right], "without knowing"
    unknown = WrongTimes([WrongSpan(EPOCH, EPOCH + 2 * LENGTH, None)])
    assert archive.find_expired({"door": timedelta(0)}, now=late[0].end, wrong=unknown) == [*right, *late]


def test_empty_folders_are_removed(archive: SegmentArchive, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 3)
    archive.delete(made[:1])
    assert [p.name for p in (tmp_path / "door").iterdir()] == ["2026-11-24"]
    archive.delete(made[1:])
    assert list(tmp_path.iterdir()) == []


def test_nothing_outside_is_listed_or_deleted(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    others = put(outside, "door", 3)
    kept = put(inside, "yard", 1)
    (inside / "door").symlink_to(outside / "door")
    (inside / "yard" / "2026-11-20").symlink_to(outside / "door" / "2026-11-23")
    link = inside / "yard" / "2026-11-23" / Path(others[0].path).name.replace("235955", "235956")
    link.symlink_to(others[0].path)
    archive = SegmentArchive(inside)
    assert archive.cameras() == ["yard"]
    assert list(archive.segments("yard")) == kept
    assert retain(archive, {"door": timedelta(0), "yard": timedelta(0)}, total=0, free=1 << 60) == kept
    assert all(Path(one.path).exists() for one in others)
    through = segment.parse_path(inside / "door" / "2026-11-23" / Path(others[0].path).name)
    assert through is not None
    for one in (others[0], through, kept[0].__class__(*_video(tmp_path))):
        with pytest.raises(ValueError, match="nothing else is deleted here"):
            archive.delete([one])
    assert all(Path(one.path).exists() for one in others)


def _video(folder: Path) -> tuple[object, ...]:
    return "0" * 16, "door", str(folder / "holiday.mp4"), "video", BEGIN, Clock.GIVEN, 10.0


@pytest.mark.slow
def test_a_kill_loses_about_a_second(film: Callable[[str], Media], tmp_path: Path) -> None:
    """A real recorder is killed at random moments; everything but the last fragment can be played."""
    source = Path(film("mp4").path)
    rng = random.Random(7)
    for i, count in enumerate(rng.sample(range(20, 240), 10)):
        folder = tmp_path / str(i)
        told = _killed(source, folder, count)
        assert list(folder.rglob("*.tmp"))
        archive = SegmentArchive(folder)
        rescued = archive.recover()
        assert not list(folder.rglob("*.tmp"))
        segments = list(archive.segments("door"))
        assert set(rescued) <= set(segments)
        pictures = [picture for media in segments for picture in numbered_frames(media)]
        assert [number for _, number in pictures[:-3]] == list(range(len(pictures[:-3])))  # then B-frames may lack
        assert len(pictures) >= told - 1.2 * 25
        assert all(abs(time - BEGIN - timedelta(seconds=n / 25)) < timedelta(milliseconds=1) for time, n in pictures)
        assert all(one.end == two.start for one, two in pairwise(segments))
        assert not segments or segments[-1].end >= BEGIN + timedelta(seconds=len(pictures) / 25 - 0.001)
        assert archive.recover() == []


def _killed(source: Path, folder: Path, count: int) -> int:
    """Record in another process, which is killed when it has taken ``count`` packets; returns how many it took."""
    with subprocess.Popen([sys.executable, "-c", CHILD, source, folder], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = 0
        for line in child.stdout:
            told = int(line)
            if told == count:
                child.kill()
    return told


CHILD = """
import sys, time
from tests.stream.live.feeds import RecorderHarness, feed
from footage.stream.frame import Clock
from pathlib import Path
harness = RecorderHarness(Path(sys.argv[2]), length=4)
with feed(sys.argv[1]) as (streams, packets):
    harness.recorder.begin(streams, Clock.ARRIVAL)
    for i, (packet, at) in enumerate(packets):
        harness.recorder.packet(packet, at, packet.is_keyframe)
        print(i + 1, flush=True)
        time.sleep(0.002)
    time.sleep(60)
"""


def retain(archive, keep, **more):
    """Find expired segments and delete them, as retention does."""
    return archive.delete(archive.find_expired(keep, **more))


@pytest.fixture
def halves(film: Callable[[str], Media], tmp_path: Path) -> tuple[Path, bytes]:
    """A segment that is being written, and its bytes."""
    harness = RecorderHarness(tmp_path, length=60)
    with feed(film("mkv-longer-sound").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.RTCP)
        for packet, time in packets:
            harness.recorder.packet(packet, time, packet.is_keyframe)
        growing = harness.recorder.media
        assert growing is not None
        content = Path(growing.path).read_bytes()
        harness.recorder.end()
    return Path(growing.path), content


def test_a_file_truncated_anywhere_is_repaired(halves: tuple[Path, bytes], tmp_path: Path) -> None:
    path, content = halves
    for done in tmp_path.rglob("*.mp4"):
        done.unlink()
    counts = []
    for part in [0, 1, 7, 100, *range(500, len(content), len(content) // 25)]:
        path.write_bytes(content[:part])
        found = SegmentArchive(tmp_path).recover()
        for one in found:
            counts.append(len(numbered_frames(one)))
            assert one.duration == pytest.approx(counts[-1] / 25, abs=0.1)
            assert one.clock is Clock.RTCP
            Path(one.path).unlink()
        assert not list(tmp_path.rglob("*.mp4*"))
    assert counts == sorted(counts)
    assert counts[-1] >= 200


def test_a_truncated_matroska_file_is_repaired(film: Callable[[str], Media], tmp_path: Path) -> None:
    (media,) = RecorderHarness(tmp_path, length=60).record(film("webm").path)
    content = Path(media.path).read_bytes()
    Path(media.path).unlink()
    growing = Path(segment.new_segment(tmp_path, "door", media.start, media.clock, ".mkv").path)
    growing.write_bytes(content[: len(content) * 2 // 3])
    (found,) = SegmentArchive(tmp_path).recover()
    assert len(numbered_frames(found)) == pytest.approx(found.duration * 25, abs=2)
    assert found.duration > 5


def test_an_unreadable_file_is_removed_and_logged(
    archive: SegmentArchive, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    growing = Path(segment.new_segment(tmp_path, "door", BEGIN, Clock.RTCP, ".mp4").path)
    growing.parent.mkdir(parents=True)
    growing.write_bytes(bytes(5000))
    other = growing.with_name("notes.tmp")
    other.write_text("not ours")
    assert archive.recover() == []
    assert not growing.exists()
    assert other.exists()
    assert str(growing) in caplog.text


def test_a_repaired_segment_is_seekable(halves: tuple[Path, bytes], tmp_path: Path) -> None:
    (media,) = SegmentArchive(tmp_path).segments("door")
    with VideoFile(media.path) as made:
        at = made.origin + round(7.3 / made.time_base)
        first = next(iter(made.packets(at)))
        assert first.is_keyframe
        assert made.offset(first.pts or 0) == pytest.approx(6)
        picture = next(frame for packet in made.packets(at) for frame in made.decode(packet))
        assert films.number(made.to_image(picture, None)) == 150
