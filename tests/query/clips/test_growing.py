"""Tests pictures of a segment that is being written: they are waited for, and are not those of a moment before."""

import asyncio
from dataclasses import replace
from itertools import islice

import pytest

from footage.query.clips import service
from footage.query.clips.service import ClipService
from footage.query.values.ids import FrameId
from footage.stream.files.frame_at import read_image_at
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Clock, Kind
from tests import films
from tests.stream.live.feeds import RecorderHarness, feed


@pytest.fixture
def growing(tmp_path, monkeypatch):
    """A recorder to which four seconds were given, what is left of the film, and the time of the last frame given."""
    monkeypatch.setattr(service, "WRITING", 600.0)  # a busy machine may take longer than five seconds
    film = films.encode(tmp_path / "film.mp4", films.numbered(250), gop=25, bframes=0)
    harness = RecorderHarness(tmp_path / "recordings", length=60)
    with feed(film) as (streams, packets):
        harness.recorder.begin(streams, Clock.ARRIVAL)
        for packet, time in islice(packets, 110):
            harness.recorder.packet(packet, time, packet.is_keyframe)
        yield harness, packets, time
        harness.recorder.end()


def test_a_frame_that_is_not_written_yet_is_not_taken_for_the_one_before(growing):
    harness, _, last = growing
    media = harness.recorder.media
    at = (last - media.start).total_seconds()
    assert films.number(read_image_at(media.path, Kind.SEGMENT, at)) < 109
    with pytest.raises(MediaError, match="written"):
        read_image_at(media.path, Kind.SEGMENT, at, written=True)
    assert films.number(read_image_at(media.path, Kind.SEGMENT, 1.0, written=True)) == 25


async def test_a_picture_is_waited_for_until_it_is_written(growing, store, catalog, tmp_path):
    harness, packets, last = growing
    await catalog.add_media(replace(harness.recorder.media, duration=4.5), "live")
    clips = ClipService(store, catalog, tmp_path / "clips")
    asked = asyncio.create_task(clips.get_frame(FrameId("door", last, None)))
    await asyncio.sleep(0)
    for packet, time in packets:
        harness.recorder.packet(packet, time, packet.is_keyframe)
    assert films.number(await asked) == 109


async def test_a_picture_of_a_segment_that_ends_meanwhile_is_found_where_it_is_then(growing, store, catalog, tmp_path):
    harness, _, last = growing
    await catalog.add_media(replace(harness.recorder.media, duration=4.5), "live")
    harness.recorder.end()
    asked = asyncio.create_task(ClipService(store, catalog, tmp_path / "clips").get_frame(FrameId("door", last, None)))
    await asyncio.sleep(0)
    await catalog.update_media(harness.closed[0])
    assert films.number(await asked) == 109
