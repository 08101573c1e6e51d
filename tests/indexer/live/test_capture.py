"""Tests what a camera's capture notes, without a camera."""

from datetime import UTC, datetime, timedelta

import numpy as np

from footage.indexer.camera import Camera
from footage.indexer.live.capture import CameraCapture
from footage.indexer.pipeline.channel import Channel
from footage.indexer.store.base import CoverageState
from footage.stream.frame import Clock

START = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Notes:
    """What the catalog is told."""

    def __init__(self):
        self.media, self.coverage = {}, []

    def add_media(self, media):
        self.media[media.id] = media

    close_media = add_media

    def set_coverage(self, coverage):
        self.coverage.append(coverage)


async def test_the_last_frame_of_an_unrecorded_feed_is_part_of_it_even_if_nothing_came_after_it():
    notes = Notes()
    capture = CameraCapture(Camera("yard", "rtsp://127.0.0.1/yard", every=0.2), Channel(8), notes, None, None, print)
    capture.opened(None, None, START, Clock.ARRIVAL)
    last = START + timedelta(seconds=5)
    capture.frame(np.zeros((64, 96, 3), np.uint8), last)
    capture.closed("stopped", last)
    (feed,) = notes.media.values()
    assert feed.start <= last < feed.end


async def test_what_is_captured_after_the_pipeline_died_is_lost_also_when_the_clock_is_set_back():
    notes = Notes()
    capture = CameraCapture(Camera("yard", "rtsp://127.0.0.1/yard", every=0.2), Channel(8), notes, None, None, print)
    for start in (START, START - timedelta(hours=1)):
        capture.opened(None, None, start, Clock.ARRIVAL)
        capture.packet(None, start + timedelta(seconds=5), False)
        if start == START:
            capture.stop_watching(start + timedelta(seconds=2), "indexing failed")
        capture.closed("the clock was set back", start + timedelta(seconds=5))
    watched = [c for c in notes.coverage if c.state is CoverageState.WATCHED]
    assert [(c.start, c.end) for c in watched] == [(START, START + timedelta(seconds=2))]
    lost = [c for c in notes.coverage if c.cause == "indexing failed"]
    assert {c.start for c in lost} == {START + timedelta(seconds=2), START - timedelta(hours=1)}
