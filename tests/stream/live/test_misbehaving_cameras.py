"""Tests that cameras which send garbage, little, or something else than before are told and do no harm."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from footage.stream.live.contracts import ConnectionState
from footage.stream.live.reader import Reader
from tests.rtsp.fake_camera import G711, METADATA, Send, fake_camera, play_video, rtp
from tests.rtsp.film import encode_elementary_stream
from tests.stream.live.livefeed import RecordingSink, until

FPS = 25


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode_elementary_stream(tmp_path_factory.mktemp("fake") / "yard.h264", gop=FPS, seconds=2)


def watch(url: str, **options: object) -> tuple[Reader, RecordingSink]:
    sink = RecordingSink()
    reader = Reader("yard", url, sink, every=1.0, side=64, **options)  # type: ignore[arg-type]
    reader.start()
    return reader, sink


def stop(reader: Reader, sink: RecordingSink) -> None:
    assert reader.stop(20)
    assert sink.faults == []


def garbage(seed: int, wrap: Callable[[bytes, int], tuple[int, bytes]]) -> Callable[[Send], None]:
    """Sends noise for as long as it is listened to, at most ten seconds."""

    def play(send: Send) -> None:
        noise = random.Random(seed)
        for number in range(1000):
            send(*wrap(noise.randbytes(noise.randrange(1, 900)), number))
            time.sleep(0.01)

    return play


WRAPPED: dict[str, Callable[[bytes, int], tuple[int, bytes]]] = {
    "no protocol at all": lambda data, _: (-1, data),
    "frames of noise": lambda data, _: (0, data),
    "packets of noise": lambda data, number: (0, rtp(data, number, 3600 * number)),
    "pieces of keyframes": lambda data, number: (0, rtp(b"\x7c\x85" + data, number, 3600 * number)),
    "parameters of noise": lambda data, number: (0, rtp(b"\x67" + data, number, 3600 * number)),
    "channels that were not set up": lambda data, number: (9, rtp(data, number, 3600 * number)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRAPPED)
def test_a_camera_that_sends_garbage_is_told_and_live_when_it_is_well(kind: str, yard: Path) -> None:
    with fake_camera(garbage(5, WRAPPED[kind]), play_video(yard)) as camera:
        reader, sink = watch(camera.url, stall=2.0)
        until(lambda: camera.connections >= 2 and len(sink.frames) >= 2)
        until(lambda: reader.snapshot().state is ConnectionState.LIVE)
        assert reader.snapshot().faults == 0, "an error of the connection, not of the reader"
        stop(reader, sink)


@pytest.mark.slow
def test_a_packet_a_minute_is_no_live_camera_and_stops_at_once(yard: Path) -> None:
    ended = threading.Event()

    def play(send: Send) -> None:
        send(0, rtp(b"\x41\x9a\x24", 0, 0))
        ended.wait(60)

    with fake_camera(play) as camera:
        reader, sink = watch(camera.url, stall=1.0)
        until(lambda: bool(reader.snapshot().error), 60)
        assert reader.snapshot().state is not ConnectionState.LIVE
        stop(reader, sink)
        ended.set()
    assert sink.frames == []


def test_another_codec_after_a_reconnection_is_taken(yard: Path, tmp_path: Path) -> None:
    gate = encode_elementary_stream(tmp_path / "gate.h265", gop=FPS, seconds=2)
    plays = (play_video(yard, frames=2 * FPS), play_video(gate, hevc=True))
    with fake_camera(*plays, codecs=("H264", "H265")) as camera:
        reader, sink = watch(camera.url)
        until(lambda: bool(sink.spans))
        until(lambda: reader.snapshot().codec == "hevc" and reader.snapshot().state is ConnectionState.LIVE, 60)
        before = len(sink.frames)
        until(lambda: len(sink.frames) > before, 60)
        stop(reader, sink)
    assert sink.frames == sorted(sink.frames)


def test_sound_in_g711_and_a_track_of_metadata_do_not_disturb(yard: Path) -> None:
    video = play_video(yard)

    def play(send: Send) -> None:
        lock, ended = threading.Lock(), threading.Event()

        def locked(channel: int, data: bytes) -> None:
            with lock:
                send(channel, data)

        def others() -> None:
            with suppress(OSError):  # the client has gone
                send_others()

        def send_others() -> None:
            number = 0
            while not ended.wait(0.02):
                locked(2, rtp(b"\xff" * 160, number, 160 * number, kind=0))
                if number % 25 == 0:
                    locked(4, rtp(b"<tt:MetadataStream/>", number, 1800 * number, kind=107))
                number += 1

        thread = threading.Thread(target=others, daemon=True)
        thread.start()
        try:
            video(locked)
        finally:
            ended.set()

    with fake_camera(play, more=G711 + METADATA) as camera:
        reader, sink = watch(camera.url)
        until(lambda: len(sink.frames) >= 3, 60)
        until(lambda: reader.snapshot().state is ConnectionState.LIVE)
        assert reader.snapshot().codec == "h264"
        assert camera.connections == 1
        stop(reader, sink)


@pytest.mark.slow
def test_pictures_of_8k_are_sampled(tmp_path: Path) -> None:
    film = encode_elementary_stream(tmp_path / "huge.h264", gop=2, seconds=1, size=(7680, 4320), fps=2)
    with fake_camera(play_video(film, 2.0)) as camera:
        reader, sink = watch(camera.url, stall=30.0)
        until(lambda: len(sink.frames) >= 2, 90)
        assert (reader.snapshot().width, reader.snapshot().height) == (7680, 4320)
        assert min(sink.spans[0].frames[0][1].shape[:2]) == 64
        stop(reader, sink)
