"""Tests live streams of unusual kinds: intra refresh in place of keyframes, and clocks that start again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from footage.commands.cameras import test_camera as camera_test
from footage.query.clips.clip import cut_clip
from footage.stream.files.frame_at import read_image_at
from footage.stream.frame import Clock, Kind, Media
from footage.stream.live.contracts import LivePacket
from footage.stream.live.reader import Reader
from footage.stream.source import identify_media
from tests import films
from tests.rtsp.fixture import Server
from tests.stream.live.feeds import BEGIN, RecorderHarness, numbered_frames
from tests.stream.live.livefeed import RecordingSink, until
from tests.stream.live.test_session import play, shift

ODD = Path(__file__).parents[2] / "files" / "odd"
FRAME = timedelta(seconds=1 / 25)


class RecordedSink(RecordingSink):
    """A sink that records too."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.harness = RecorderHarness(folder)

    def opened(self, video: VideoStream, audio: AudioStream | None, start: datetime, clock: Clock) -> None:
        super().opened(video, audio, start, clock)
        self.harness.recorder.begin([video], clock)

    def packet(self, packet: LivePacket, time: datetime, keyframe: bool) -> None:
        super().packet(packet, time, keyframe)
        self.harness.recorder.packet(packet, time, keyframe)

    def closed(self, cause: str, at: datetime) -> None:
        super().closed(cause, at)
        self.harness.recorder.end()


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds with one keyframe, a recovery point each second."""
    path = tmp_path_factory.mktemp("live") / "refresh.mp4"
    return films.encode(path, films.numbered(250), gop=25, bframes=0, x264="intra-refresh=1")


@pytest.fixture(scope="module")
def segments(refreshed: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Media]:
    return RecorderHarness(tmp_path_factory.mktemp("recordings")).record(refreshed)


def test_every_second_of_a_refreshed_stream_is_sampled(refreshed: Path) -> None:
    notes, status, _ = play(refreshed)
    assert [films.number(image) for _, image in notes.spans[0].frames] == list(range(0, 250, 25))
    assert status["keyframes_only"] is False
    dense, _, _ = play(refreshed, every=0.2)
    shown = [films.number(image) for _, image in dense.spans[0].frames]
    assert all(b - a <= 6 for a, b in pairwise(shown))
    assert shown[-1] > 240


def test_a_refreshed_stream_is_sampled_from_the_middle(refreshed: Path) -> None:
    notes, _, _ = play(refreshed, lambda i, p: p if i >= 40 else None)
    shown = [films.number(image) for _, image in notes.spans[0].frames]
    assert 50 <= shown[0] <= 80  # at a recovery point it begins, and is whole a second later
    assert all(b - a <= 30 for a, b in pairwise(shown))
    assert len(shown) >= 7


def test_segments_of_a_refreshed_stream_are_whole_from_their_first_frame(segments: list[Media]) -> None:
    assert len(segments) == 5
    assert all(one.end == two.start for one, two in pairwise(segments))
    for i, media in enumerate(segments):
        shown = numbered_frames(media)
        assert [n for _, n in shown] == list(range(50 * i, 50 * i + 50))
        assert all(abs(time - (BEGIN + n * FRAME)) < FRAME / 10 for time, n in shown)


@pytest.mark.parametrize("precise", [False, True])
@pytest.mark.parametrize(("start", "end"), [(0, 3), (1, 7), (4, 6), (5.2, 5.8)])
def test_clips_of_refreshed_segments_show_what_was_asked_for(
    segments: list[Media], tmp_path: Path, start: float, end: float, precise: bool
) -> None:
    begin, until_ = BEGIN + timedelta(seconds=start), BEGIN + timedelta(seconds=end)
    clip = cut_clip(segments, begin, until_, tmp_path / "clip.mp4", precise=precise)
    media, _ = identify_media(clip.path, "door", clip.start)
    numbers = [n for _, n in numbered_frames(media)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))  # none is missing or repeated
    assert clip.precise is (precise or start >= 2)  # a copy can only begin at the one keyframe
    assert films.number(read_image_at(clip.path, Kind.VIDEO, clip.offset(begin))) == round(25 * start)
    assert numbers[0] == (round(25 * start) if clip.precise else 0)
    assert 0 <= numbers[-1] + 1 - round(25 * end) <= 1


@pytest.mark.parametrize("jump", [-2.0, -8.0])
@pytest.mark.parametrize("at", [100, 110])
def test_a_clock_that_starts_again_loses_no_more_than_a_group(tmp_path: Path, jump: float, at: int) -> None:
    path = films.encode(tmp_path / "yard.mp4", films.numbered(200), gop=25, bframes=0)
    notes, _, session = play(path, lambda i, p: shift(p, jump) if i >= at else p)
    shown = [films.number(image) for span in notes.spans for _, image in span.frames]
    assert len(notes.spans) == 2
    assert notes.spans[0].cause == f"time stamps jumped by {jump:.0f} s"
    assert [n // 25 for n in shown] == list(range(8))
    assert session.dropped == 0
    assert all(a < b for a, b in pairwise(notes.times))


def test_joined_streams_with_b_frames_are_sampled_and_timed_on(tmp_path: Path) -> None:
    notes, _, _ = play(ODD / "restart.ts", arrival=lambda i: i / 10)
    assert len(notes.spans) == 2
    assert max((b - a).total_seconds() for a, b in pairwise(notes.frames)) < 1.5
    assert (notes.times[-1] - notes.times[0]).total_seconds() == pytest.approx(16, abs=0.6)


@pytest.mark.slow
def test_a_refreshed_camera_over_rtsp_is_sampled_and_recorded(
    rtsp: Callable[..., Server], films: dict[str, Path], tmp_path: Path
) -> None:
    sink = RecordedSink(tmp_path)
    reader = Reader("yard", rtsp({"refresh": films["refresh"]}).url("refresh"), sink, every=1.0, side=64)
    reader.start()
    until(lambda: len(sink.harness.closed) >= 3, 120)
    assert reader.stop(60)
    assert sink.faults == []
    assert all((b - a).total_seconds() < 2.1 for a, b in pairwise(sink.frames))  # one in each second
    assert len(sink.frames) >= 5
    for media in sink.harness.closed[:3]:
        numbers = [n for _, n in numbered_frames(media)]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert len(numbers) == pytest.approx(25 * media.duration, rel=0.3)  # as far as a line of times is bent


def test_a_password_may_hold_any_character(
    rtsp: Callable[..., Server], films: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    login = "viewer:p#a/s?s%@1"
    url = rtsp({"yard": films["yard"]}, login=login).url("yard", login)
    camera_test(
        name=url, data=tmp_path, seconds=60
    )  # as the command does, with the address of a camera that is not added yet
    told = capsys.readouterr()
    assert "h264, 320x192" in told.out
    assert "p#a" not in told.out + told.err
