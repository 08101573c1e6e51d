"""Tests that a hardware decoder gives what the processor gives, and that the processor steps in where it fails."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.error import InvalidDataError

from footage.stream.files.decode import ReadReport, read_frames
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Frame, Media
from footage.stream.hardware import SOFTWARE, Decoder, DecoderError, HardwareFailureError, find_decoder
from footage.stream.live.sampler import MAX_HARDWARE_ERRORS, Sampler
from footage.stream.source import identify_media
from tests import films
from tests.require import require

FILMS = ("mp4", "mp4-open-gop", "mp4-uneven-keyframes", "mp4-one-keyframe", "ts-late-start", "hevc", "avi-mjpeg")


def read(media: Media, every: float, decoder: Decoder, earlier: Sequence[float] = ()) -> tuple[list[Frame], ReadReport]:
    """The frames of a film behind those that an earlier run took, and what reading it showed."""
    report = ReadReport(earlier)
    return list(read_frames(media, every, 96, earlier[-1] if earlier else None, report, decoder)), report


def assert_same(got: tuple[list[Frame], ReadReport], due: tuple[list[Frame], ReadReport], tolerance: int = 0) -> None:
    """Compare times, pictures and what was not looked at."""
    assert [f.offset for f in got[0]] == [f.offset for f in due[0]]
    differences = [int(np.abs(a.image.astype(int) - b.image).max()) for a, b in zip(got[0], due[0], strict=True)]
    assert max(differences, default=0) <= tolerance
    assert (got[1].gaps, got[1].notes) == (due[1].gaps, due[1].notes)


@pytest.fixture
def cuda() -> Decoder:
    try:
        return find_decoder("cuda")
    except DecoderError as error:
        require("cuda", str(error))


class Failing(Decoder):
    """Stands for hardware that fails after some packets; until then the processor decodes for it."""

    def __init__(self, packets: int) -> None:
        super().__init__("cuda")
        self.left = packets

    def open_keywords(self) -> dict[str, Any]:
        return {}

    def count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise HardwareFailureError("the card fell off the bus")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Failing]:
    decode = VideoFile.decode

    def fail(video: VideoFile, *args: Any) -> Any:
        if isinstance(video.decoder, Failing):
            video.decoder.count()
        return decode(video, *args)

    monkeypatch.setattr(VideoFile, "decode", fail)
    return Failing


@pytest.mark.parametrize("name", ["mp4", "mp4-open-gop", "mp4-one-keyframe", "hevc"])
@pytest.mark.parametrize("every", [0.3, 2.0])
@pytest.mark.parametrize("packets", [0, 1, 4, 60])
def test_the_processor_goes_on_where_hardware_fails(
    film: Callable[[str], Media],
    failing: Callable[[int], Failing],
    caplog: pytest.LogCaptureFixture,
    name: str,
    every: float,
    packets: int,
) -> None:
    decoder = failing(packets)
    assert_same(read(film(name), every, decoder), read(film(name), every, SOFTWARE))
    failed = decoder.left < 0
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * failed
    assert all(film(name).path in r.getMessage() and "fell off the bus" in r.getMessage() for r in caplog.records)


def test_an_interrupted_run_goes_on_where_hardware_fails(
    film: Callable[[str], Media], failing: Callable[[int], Failing]
) -> None:
    earlier = [frame.offset for frame in read(film("mp4"), 0.3, SOFTWARE)[0]][:15]
    assert_same(read(film("mp4"), 0.3, failing(30), earlier), read(film("mp4"), 0.3, SOFTWARE, earlier))


def test_damage_is_what_the_processor_says_it_is(tmp_path: Path, failing: Callable[[int], Failing]) -> None:
    whole = films.encode(tmp_path / "film.mp4", films.numbered(100), bframes=0)
    media, _ = identify_media(films.corrupt(whole, 0.4, 0.6), "door")
    assert_same(read(media, 0.3, failing(20)), read(media, 0.3, SOFTWARE))


def test_a_decoder_that_is_not_there_is_told_once_and_the_processor_decodes(
    film: Callable[[str], Media], caplog: pytest.LogCaptureFixture
) -> None:
    """FFmpeg knows this device, and has no H.264 decoder for it."""
    gone = Decoder("drm")
    for _ in range(2):
        assert_same(read(film("mp4"), 2.0, gone), read(film("mp4"), 2.0, SOFTWARE))
    (warning,) = (r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING)
    assert "processor decodes in place of drm" in warning
    with pytest.raises(DecoderError, match="decoder: drm cannot be used here") as error:
        gone.check()
    assert "software" in str(error.value)
    assert error.value.exit_code == 5


def test_what_a_setting_names_is_used_or_refused(caplog: pytest.LogCaptureFixture) -> None:
    assert find_decoder("software") is SOFTWARE
    find_decoder.cache_clear()
    automatic = find_decoder("auto")
    try:
        assert find_decoder("cuda").device == automatic.device == "cuda"
    except DecoderError:
        assert automatic is SOFTWARE
        assert ["no hardware decoder works here" in r.getMessage() for r in caplog.records] == [True]


def test_hardware_that_gives_no_pictures_of_a_camera_is_given_up(film: Callable[[str], Media]) -> None:
    def fail(_: object) -> None:
        raise InvalidDataError(1, "no decoder surfaces left")

    with av.open(film("mp4").path) as container:
        packets = [p for p in container.demux(video=0) if p.size][: 2 * MAX_HARDWARE_ERRORS]
    for hardware in (True, False):
        context = SimpleNamespace(
            name="hevc", extradata=None, is_open=False, is_hwaccel=hardware, width=1, height=1, decode=fail
        )
        sampler = Sampler(SimpleNamespace(codec_context=context), 0.0, 64)  # type: ignore[arg-type]
        taken = [image for i, packet in enumerate(packets) for image in sampler.add(packet, float(i))]
        assert (taken, sampler.hardware_failed) == ([], hardware)


@pytest.mark.parametrize("name", FILMS)
@pytest.mark.parametrize("every", [0.0, 0.3, 2.0])
def test_pictures_and_times_are_the_same_from_hardware(
    film: Callable[[str], Media], cuda: Decoder, name: str, every: float
) -> None:
    assert_same(read(film(name), every, cuda), read(film(name), every, SOFTWARE), tolerance=2)


@pytest.mark.parametrize("transfer", ["hlg", "pq"])
def test_high_dynamic_range_is_mapped_alike(tmp_path: Path, cuda: Decoder, transfer: str) -> None:
    media, _ = identify_media(films.gray_steps(tmp_path / "film.mp4", transfer), "door")
    assert_same(read(media, 0.3, cuda), read(media, 0.3, SOFTWARE), tolerance=2)


@pytest.mark.parametrize("pixels", ["yuv420p10le", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_hardware_cannot_decode_the_processor_does(tmp_path: Path, cuda: Decoder, codec: str, pixels: str) -> None:
    path = films.encode(tmp_path / "film.mp4", films.numbered(60, (320, 240)), codec=codec, pixels=pixels)
    media, _ = identify_media(path, "door")
    assert_same(read(media, 0.3, cuda), read(media, 0.3, SOFTWARE), tolerance=2)


def sample(path: str, decoder: Decoder, every: float) -> tuple[list[tuple[float, int]], Sampler]:
    """Times and drawn numbers of what a live camera's sampler takes of a film, and the sampler."""
    with av.open(path, **decoder.open_keywords()) as container:
        stream = container.streams.video[0]
        sampler, taken = Sampler(stream, every, 96), []
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                taken += list(sampler.add(packet, 1e6 + float(packet.pts * packet.time_base)))
    return [(time, films.number(image)) for image, time in taken], sampler


@pytest.mark.parametrize("every", [0.0, 0.3, 2.0])
def test_a_camera_is_sampled_alike_by_hardware(film: Callable[[str], Media], cuda: Decoder, every: float) -> None:
    due, _ = sample(film("mp4-one-keyframe" if every < 2 else "mp4").path, SOFTWARE, every)
    got, sampler = sample(film("mp4-one-keyframe" if every < 2 else "mp4").path, cuda, every)
    assert got[: len(due)] == due  # what is still in the decoder at the end of a connection is lost
    assert len(due) > 3
    assert not sampler.hardware_failed


def test_a_camera_of_a_kind_that_hardware_cannot_decode_is_noticed(tmp_path: Path, cuda: Decoder) -> None:
    path = films.encode(tmp_path / "film.mp4", films.numbered(60, (320, 240)), pixels="yuv444p", bframes=0)
    taken, sampler = sample(str(path), cuda, 0.3)
    assert (taken, sampler.hardware_failed) == ([], True)
