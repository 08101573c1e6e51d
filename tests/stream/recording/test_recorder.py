"""Tests recording real packets: nothing is lost between segments, and times are those of the stream."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Clock, Media
from footage.stream.recording.recorder import RecorderState
from tests import films
from tests.stream.live.feeds import BEGIN, RecorderHarness, feed, numbered_frames

FRAME = timedelta(seconds=1 / 25)
MILLISECOND = timedelta(milliseconds=1)
FILMS = ["mp4", "mp4-late-start", "ts-late-start", "mkv-longer-sound", "hevc", "avi-mjpeg", "webm"]


@pytest.mark.parametrize("name", FILMS)
def test_every_frame_is_recorded_at_its_time(film: Callable[[str], Media], name: str, tmp_path: Path) -> None:
    segments = RecorderHarness(tmp_path).record(film(name).path)
    pictures = [picture for media in segments for picture in numbered_frames(media)]
    lost = 250 - len(pictures)
    assert lost <= (len(segments) - 1 if name == "hevc" else 0)  # x265 makes pictures that lean over a keyframe
    for time, number in pictures:
        assert abs(time - (BEGIN + number * FRAME)) < MILLISECOND


@pytest.mark.parametrize("name", FILMS)
def test_segments_are_contiguous_and_named_with_their_duration(
    film: Callable[[str], Media], name: str, tmp_path: Path
) -> None:
    harness = RecorderHarness(tmp_path)
    segments = harness.record(film(name).path)
    assert len(segments) >= 2
    assert [m.id for m in harness.opened] == [m.id for m in segments]
    assert segments[0].start == BEGIN
    assert all(one.end == two.start for one, two in pairwise(segments))
    assert all(m.duration >= 2 for m in segments[:-1])
    assert abs(segments[-1].end - BEGIN - 250 * FRAME) < MILLISECOND
    assert all(Path(m.path).exists() for m in segments)
    assert not list(tmp_path.rglob("*.tmp"))


def test_an_open_gop_loses_only_frames_that_refer_to_the_segment_before(
    film: Callable[[str], Media], tmp_path: Path
) -> None:
    segments = RecorderHarness(tmp_path, length=4).record(film("mp4-open-gop").path)
    pictures = [picture for media in segments for picture in numbered_frames(media)]
    assert len(pictures) >= 250 - 3 * (len(segments) - 1)
    assert all(abs(time - (BEGIN + number * FRAME)) < MILLISECOND for time, number in pictures)


def test_the_growing_segment_can_be_read(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path, length=60)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.RTCP)
        assert harness.recorder.media is None
        for packet, time in packets:
            harness.recorder.packet(packet, time, packet.is_keyframe)
        growing = harness.recorder.media
        assert growing is not None
        assert (growing.duration, growing.clock) == (0, Clock.RTCP)
        assert len(numbered_frames(growing)) >= 250 - 30
        harness.recorder.end()
    assert harness.recorder.media is None
    assert len(numbered_frames(harness.closed[0])) == 250


def test_a_packet_can_be_decoded_after_it_was_recorded(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        numbers = []
        for packet, time in packets:
            before = packet.pts, packet.dts, packet.duration, packet.time_base, packet.stream, bytes(packet)
            harness.recorder.packet(packet, time, packet.is_keyframe)
            assert (packet.pts, packet.dts, packet.duration, packet.time_base, packet.stream, bytes(packet)) == before
            numbers += [films.number(f.to_ndarray(format="rgb24")) for f in packet.decode()]
        harness.recorder.end()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 200


@pytest.mark.parametrize(("codec", "suffix"), [("aac", ".mp4"), ("pcm_alaw", ".mov"), ("libopus", ".mp4")])
def test_audio_is_recorded(codec: str, suffix: str, tmp_path: Path) -> None:
    segments = RecorderHarness(tmp_path / "tape").record(_talking(tmp_path / f"talk{suffix}", codec))
    assert {Path(m.path).suffix for m in segments} == {suffix}
    heard = 0.0
    for media in segments:
        with av.open(media.path) as container:
            frames = list(container.decode(audio=0))
            heard += sum(f.samples / f.sample_rate for f in frames)
            assert abs(float(frames[0].pts * frames[0].time_base)) < 0.15
    assert heard == pytest.approx(6, abs=0.2)


def test_audio_with_mpeg_ts_headers_is_recorded(tmp_path: Path) -> None:
    source = films.encode(tmp_path / "talk.ts", films.numbered(150), audio=6)
    segments = RecorderHarness(tmp_path / "tape").record(source)
    with av.open(segments[0].path) as container:
        assert sum(f.samples for f in container.decode(audio=0)) / 16_000 == pytest.approx(2, abs=0.2)


def test_hevc_is_tagged_as_apple_wants(film: Callable[[str], Media], tmp_path: Path) -> None:
    with VideoFile(RecorderHarness(tmp_path).record(film("hevc").path)[0].path) as made:
        assert made.stream.codec_context.codec_tag == "hvc1"


def test_missing_or_constant_decoding_times_are_repaired(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for i, (packet, time) in enumerate(packets):
            if i % 7 == 3:
                packet.dts = None
            elif i % 5 == 2:
                packet.dts -= round(0.1 / packet.time_base)
            harness.recorder.packet(packet, time, packet.is_keyframe)
        harness.recorder.end()
    assert harness.recorder.error == ""
    pictures = [picture for media in harness.closed for picture in numbered_frames(media)]
    assert sorted(number for _, number in pictures) == list(range(250))
    assert all(abs(time - (BEGIN + number * FRAME)) < 2 * FRAME for time, number in pictures)


@pytest.mark.parametrize("jump", [-3.0, 30.0])
def test_a_jump_in_time_ends_the_segment(film: Callable[[str], Media], jump: float, tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path, length=60)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for i, (packet, time) in enumerate(packets):
            moved = time + timedelta(seconds=jump if i > 120 else 0)
            harness.recorder.packet(packet, moved, packet.is_keyframe)
        harness.recorder.end()
    one, two = harness.closed
    assert one.duration == pytest.approx(121 / 25, abs=0.1)
    assert two.start == BEGIN + timedelta(seconds=6 + jump)  # the next keyframe


def test_a_better_clock_begins_a_segment_at_the_next_keyframe(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path, length=60)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for i, (packet, time) in enumerate(packets):
            if i == 70:
                harness.recorder.clock = Clock.RTCP
            harness.recorder.packet(packet, time, packet.is_keyframe)
        harness.recorder.end()
    assert [(m.clock, m.duration) for m in harness.closed] == [(Clock.ARRIVAL, 4.0), (Clock.RTCP, 6.0)]


def test_times_follow_the_clock_instead_of_the_time_stamps(film: Callable[[str], Media], tmp_path: Path) -> None:
    """A camera that stamps 25 frames a second and sends 22.7."""
    harness = RecorderHarness(tmp_path)
    with feed(film("mkv-longer-sound").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for packet, time in packets:
            harness.recorder.packet(packet, BEGIN + (time - BEGIN) * 1.1, packet.is_keyframe)
        harness.recorder.end()
    pictures = [picture for media in harness.closed for picture in numbered_frames(media)]
    assert [number for _, number in pictures] == list(range(250))
    assert all(abs(time - BEGIN - number * FRAME * 1.1) < MILLISECOND for time, number in pictures)
    assert all(one.end == two.start for one, two in pairwise(harness.closed))


def test_a_single_frame_is_a_segment(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        packet, time = next(packets)
        packet.duration = 0
        harness.recorder.packet(packet, time, True)
        harness.recorder.end()
    (media,) = harness.closed
    assert 0 < media.duration < 0.1
    assert numbered_frames(media) == [(BEGIN, 0)]


def test_recording_continues_on_a_connection_with_another_codec(film: Callable[[str], Media], tmp_path: Path) -> None:
    harness = RecorderHarness(tmp_path, length=60)
    harness.record(film("mp4").path)
    harness.record(film("webm").path)
    assert [Path(m.path).suffix for m in harness.closed] == [".mp4", ".mkv"]


def test_raw_video_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = films.encode(tmp_path / "raw.avi", films.numbered(10), codec="rawvideo", bframes=0)
    harness = RecorderHarness(tmp_path / "tape")
    with feed(source) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for packet, time in packets:
            harness.recorder.packet(packet, time, True)
        assert harness.recorder.state is RecorderState.FAILED
    assert "door" in caplog.text
    assert "H.264" in harness.recorder.error
    assert not list((tmp_path / "tape").rglob("*"))


def test_recording_stops_before_the_disk_is_full_and_resumes(
    film: Callable[[str], Media], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    harness = RecorderHarness(tmp_path, length=60)
    states = set()
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for i, (packet, time) in enumerate(packets):
            harness.room = not 60 <= i < 140
            harness.recorder.packet(packet, time, packet.is_keyframe)
            states.add((harness.room, harness.recorder.state))
        assert harness.recorder.state is RecorderState.RECORDING
        harness.recorder.end()
    assert (False, RecorderState.FULL) in states
    one, two = harness.closed
    assert 2.3 <= one.duration <= 3.5  # within a second of picture time
    assert two.start == BEGIN + timedelta(seconds=6)  # the first keyframe with room
    assert [("the disk is full" in r.message, "again" in r.message) for r in caplog.records] == [
        (True, False),
        (False, True),
    ]


def test_a_disk_error_ends_only_the_segment(film: Callable[[str], Media], tmp_path: Path) -> None:
    """A child that may write no file beyond three quarters of it: a real failure of a real file."""
    command = [sys.executable, "-c", LIMITED, film("mp4").path, str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    state, error = child.stdout.strip().split("|")
    assert state == "failed"
    assert str(tmp_path / "door") in error
    (path,) = tmp_path.rglob("*.mp4")
    with VideoFile(path) as made:
        assert len(list(made.packets())) >= 25
    assert not list(tmp_path.rglob("*.tmp"))


LIMITED = """
import resource, sys
from pathlib import Path
from tests.stream.live.feeds import RecorderHarness, feed
from footage.stream.frame import Clock
harness = RecorderHarness(Path(sys.argv[2]), length=60)
most = Path(sys.argv[1]).stat().st_size * 3 // 4
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with feed(sys.argv[1]) as (streams, packets):
    harness.recorder.begin(streams, Clock.ARRIVAL)
    for packet, time in packets:
        harness.recorder.packet(packet, time, packet.is_keyframe)
    print(harness.recorder.state, harness.recorder.error.splitlines()[0], sep="|")
"""


def test_a_camera_folder_that_links_elsewhere_is_not_written_to(film: Callable[[str], Media], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = tmp_path / "tape"
    folder.mkdir()
    (folder / "door").symlink_to(elsewhere)
    harness = RecorderHarness(folder)
    with feed(film("mp4").path) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for packet, time in packets:
            harness.recorder.packet(packet, time, packet.is_keyframe)
        assert harness.recorder.state is RecorderState.FAILED
    assert not list(elsewhere.rglob("*.*"))


def _talking(path: Path, codec: str) -> Path:
    """A film with six seconds of sound in this codec."""
    rate = 8000 if codec == "pcm_alaw" else 48_000
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"preset": "veryfast", "g": "50", "bf": "0"})
        sound = container.add_stream(codec, rate=rate, layout="mono")
        video.width, video.height, video.pix_fmt = 192, 128, "yuv420p"
        for i, picture in enumerate(films.numbered(150)):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            wave = (np.sin(np.arange(rate // 25) * 0.3) * 9000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts = rate, i * rate // 25
            container.mux(sound.encode(frame))
        container.mux(video.encode())
        container.mux(sound.encode())
    return path
