"""The folder of segments: found by name, rescued after real kills, expired oldest first."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from footage.stream.files.video_file import Film
from footage.stream.frame import Clock, Media
from footage.stream.recording import segment
from footage.stream.recording.archive import Shelf
from tests import films
from tests.stream.live.feeds import BEGIN, Taped, feed, shown

LENGTH = timedelta(seconds=10)
SIZE = 1000


def put(folder: Path, camera: str, count: int, start: datetime = BEGIN, size: int = SIZE) -> list[Media]:
    """Finished segments of ``size`` bytes, one after another."""
    made = []
    for i in range(count):
        one = segment.finished(segment.begun(folder, camera, start + i * LENGTH, Clock.RTCP, ".mp4"), 10.0)
        Path(one.path).parent.mkdir(parents=True, exist_ok=True)
        Path(one.path).write_bytes(bytes(size))
        made.append(one)
    return made


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.mark.parametrize("clock", list(Clock))
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_name_says_everything(clock: Clock, suffix: str) -> None:
    folder = Path("/rec")
    open_one = segment.begun(folder, "yard.2", BEGIN, clock, suffix)
    done = segment.finished(open_one, 10.04)
    assert segment.parse(open_one.path) == open_one
    assert segment.parse(done.path) == done
    assert done.id == open_one.id != segment.begun(folder, "yard", BEGIN, clock, suffix).id
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
def test_other_names_are_no_segments(name: str) -> None:
    assert segment.parse(f"/rec/yard/2026-11-23/{name}") is None


def test_segments_are_listed_by_camera_and_time(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 12)  # midnight comes after the first
    put(tmp_path, "yard", 3)
    assert shelf.cameras() == ["door", "yard"]
    assert list(shelf.segments("door")) == made
    assert list(shelf.segments("door", BEGIN + 2.5 * LENGTH, BEGIN + 5 * LENGTH)) == made[2:5]
    assert list(shelf.segments("door", BEGIN + 0.9 * LENGTH, BEGIN + 1.1 * LENGTH)) == made[:2]
    assert list(shelf.segments("nobody")) == []


def test_what_is_recorded_is_what_is_listed(film: Callable[[str], Media], tmp_path: Path) -> None:
    segments = Taped(tmp_path).tape(film("mp4").path)
    assert list(Shelf(tmp_path).segments("door")) == segments


def test_age_is_told_for_each_camera(shelf: Shelf, tmp_path: Path) -> None:
    door, yard, gate = (put(tmp_path, name, 6) for name in ("door", "yard", "gate"))
    gone = retain(shelf, {"door": 3 * LENGTH, "yard": 5 * LENGTH, "gate": None}, now=door[-1].end)
    assert gone == [door[0], yard[0], door[1], door[2]]
    assert [list(shelf.segments(name)) for name in ("door", "yard", "gate")] == [door[3:], yard[1:], gate]


def test_the_oldest_of_all_cameras_go_when_the_total_is_too_large(shelf: Shelf, tmp_path: Path) -> None:
    old, young = put(tmp_path, "yard", 4), put(tmp_path, "door", 4, BEGIN + 2.5 * LENGTH)
    assert retain(shelf, {}, total=5 * SIZE) == old[:3]
    assert retain(shelf, {}, total=5 * SIZE) == []
    assert shelf.size() == 5 * SIZE
    assert retain(shelf, {}, total=3 * SIZE) == [young[0], old[3]]


def test_the_size_follows_what_others_do(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    assert shelf.size() == 6 * SIZE
    Path(made[3].path).unlink()
    put(tmp_path, "door", 2, made[-1].end, size=10)
    assert shelf.size() == 5 * SIZE + 20
    shelf.delete(made[:2])
    assert shelf.size() == 3 * SIZE + 20 == Shelf(tmp_path).size()


def test_the_oldest_go_until_enough_of_the_disk_is_free(tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    shelf = Shelf(tmp_path, free=lambda folder: 4500 - sum(p.stat().st_size for p in folder.rglob("*.mp4")) + 6000)
    assert shelf.room(4500)
    assert not shelf.room(4501)
    assert retain(shelf, {}, free=4500) == []
    assert retain(shelf, {}, free=6000) == made[:2]
    assert shelf.room(6000)


def test_age_counts_towards_the_rest(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 6)
    assert retain(shelf, {"door": 4 * LENGTH}, total=3 * SIZE, now=made[-1].end) == made[:3]


def test_what_is_played_or_busy_or_open_stays(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 4)
    growing = segment.begun(tmp_path, "door", BEGIN - LENGTH, Clock.RTCP, ".mp4")
    Path(growing.path).write_bytes(b"...")
    with shelf.playing(made[0].path), shelf.playing(made[0].path):
        with shelf.playing(made[2].path):
            assert retain(shelf, {}, total=0, busy={Path(made[1].path)}) == [made[3]]
            assert shelf.delete([made[2]]) == []
        assert retain(shelf, {}, total=0, busy={Path(made[1].path)}) == [made[2]]
    assert retain(shelf, {"door": timedelta(0)}, total=0, free=1 << 60) == made[:2]
    assert Path(growing.path).exists()


def test_what_expires_is_known_before_it_is_deleted(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 3)
    assert shelf.expired({}, total=SIZE) == made[:2] == shelf.expired({}, total=SIZE)
    Path(made[0].path).unlink()  # a delete that was killed half way is done again
    assert shelf.delete(made[:2]) == made[:2]


def test_empty_folders_go(shelf: Shelf, tmp_path: Path) -> None:
    made = put(tmp_path, "door", 3)
    shelf.delete(made[:1])
    assert [p.name for p in (tmp_path / "door").iterdir()] == ["2026-11-24"]
    shelf.delete(made[1:])
    assert list(tmp_path.iterdir()) == []


def test_nothing_outside_is_listed_or_deleted(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    others = put(outside, "door", 3)
    kept = put(inside, "yard", 1)
    (inside / "door").symlink_to(outside / "door")
    (inside / "yard" / "2026-11-20").symlink_to(outside / "door" / "2026-11-23")
    link = inside / "yard" / "2026-11-23" / Path(others[0].path).name.replace("235955", "235956")
    link.symlink_to(others[0].path)
    shelf = Shelf(inside)
    assert shelf.cameras() == ["yard"]
    assert list(shelf.segments("yard")) == kept
    assert retain(shelf, {"door": timedelta(0), "yard": timedelta(0)}, total=0, free=1 << 60) == kept
    assert all(Path(one.path).exists() for one in others)
    through = segment.parse(inside / "door" / "2026-11-23" / Path(others[0].path).name)
    assert through is not None
    for one in (others[0], through, kept[0].__class__(*_video(tmp_path))):
        with pytest.raises(ValueError, match="nothing else is deleted here"):
            shelf.delete([one])
    assert all(Path(one.path).exists() for one in others)


def _video(folder: Path) -> tuple[object, ...]:
    return "0" * 16, "door", str(folder / "holiday.mp4"), "video", BEGIN, Clock.GIVEN, 10.0


def test_a_kill_costs_about_a_second(film: Callable[[str], Media], tmp_path: Path) -> None:
    """A real recorder is killed at random moments; everything but the last fragment can be played."""
    source = Path(film("mp4").path)
    rng = random.Random(7)
    for i, count in enumerate(rng.sample(range(20, 240), 10)):
        folder = tmp_path / str(i)
        told = _killed(source, folder, count)
        assert list(folder.rglob("*.tmp"))
        shelf = Shelf(folder)
        rescued = shelf.recover()
        assert not list(folder.rglob("*.tmp"))
        segments = list(shelf.segments("door"))
        assert set(rescued) <= set(segments)
        pictures = [picture for media in segments for picture in shown(media)]
        assert [number for _, number in pictures[:-3]] == list(range(len(pictures[:-3])))  # then B-frames may lack
        assert len(pictures) >= told - 1.2 * 25
        assert all(abs(time - BEGIN - timedelta(seconds=n / 25)) < timedelta(milliseconds=1) for time, n in pictures)
        assert all(one.end == two.start for one, two in pairwise(segments))
        assert not segments or segments[-1].end >= BEGIN + timedelta(seconds=len(pictures) / 25 - 0.001)
        assert shelf.recover() == []


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
from tests.stream.live.feeds import Taped, feed
from footage.stream.frame import Clock
from pathlib import Path
taped = Taped(Path(sys.argv[2]), length=4)
with feed(sys.argv[1]) as (streams, packets):
    taped.recorder.begin(streams, Clock.ARRIVAL)
    for i, (packet, at) in enumerate(packets):
        taped.recorder.packet(packet, at, packet.is_keyframe)
        print(i + 1, flush=True)
        time.sleep(0.002)
    time.sleep(60)
"""


def retain(shelf, keep, **more):
    """As retention does: what has to go, and then it goes."""
    return shelf.delete(shelf.expired(keep, **more))


@pytest.fixture
def halves(film: Callable[[str], Media], tmp_path: Path) -> tuple[Path, bytes]:
    """A segment that is being written, and its bytes."""
    taped = Taped(tmp_path, length=60)
    with feed(film("mkv-longer-sound").path) as (streams, packets):
        taped.recorder.begin(streams, Clock.RTCP)
        for packet, time in packets:
            taped.recorder.packet(packet, time, packet.is_keyframe)
        growing = taped.recorder.media
        assert growing is not None
        content = Path(growing.path).read_bytes()
        taped.recorder.end()
    return Path(growing.path), content


def test_a_file_cut_anywhere_becomes_whole(halves: tuple[Path, bytes], tmp_path: Path) -> None:
    path, content = halves
    for done in tmp_path.rglob("*.mp4"):
        done.unlink()
    counts = []
    for part in [0, 1, 7, 100, *range(500, len(content), len(content) // 25)]:
        path.write_bytes(content[:part])
        found = Shelf(tmp_path).recover()
        for one in found:
            counts.append(len(shown(one)))
            assert one.duration == pytest.approx(counts[-1] / 25, abs=0.1)
            assert one.clock is Clock.RTCP
            Path(one.path).unlink()
        assert not list(tmp_path.rglob("*.mp4*"))
    assert counts == sorted(counts)
    assert counts[-1] >= 200


def test_a_torn_matroska_file_becomes_whole(film: Callable[[str], Media], tmp_path: Path) -> None:
    (media,) = Taped(tmp_path, length=60).tape(film("webm").path)
    content = Path(media.path).read_bytes()
    Path(media.path).unlink()
    growing = Path(segment.begun(tmp_path, "door", media.start, media.clock, ".mkv").path)
    growing.write_bytes(content[: len(content) * 2 // 3])
    (found,) = Shelf(tmp_path).recover()
    assert len(shown(found)) == pytest.approx(found.duration * 25, abs=2)
    assert found.duration > 5


def test_rubbish_is_removed_and_told(shelf: Shelf, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    growing = Path(segment.begun(tmp_path, "door", BEGIN, Clock.RTCP, ".mp4").path)
    growing.parent.mkdir(parents=True)
    growing.write_bytes(bytes(5000))
    other = growing.with_name("notes.tmp")
    other.write_text("not ours")
    assert shelf.recover() == []
    assert not growing.exists()
    assert other.exists()
    assert str(growing) in caplog.text


def test_a_rescued_segment_can_be_sought(halves: tuple[Path, bytes], tmp_path: Path) -> None:
    (media,) = Shelf(tmp_path).segments("door")
    with Film(media.path) as made:
        at = made.origin + round(7.3 / made.tick)
        first = next(iter(made.packets(at)))
        assert first.is_keyframe
        assert made.offset(first.pts or 0) == pytest.approx(6)
        picture = next(frame for packet in made.packets(at) for frame in made.decode(packet))
        assert films.number(made.picture(picture, None)) == 150
