"""Tests where a match begins and ends: at three tenths of a peak, across one bad frame but not two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from footage.indexer.store.base import Record
from footage.indexer.store.row_arrays import from_records
from footage.query.moments.streaming import StreamingSegmenter
from footage.query.scoring.hysteresis import find_edge, find_segments
from footage.query.watches.trigger import Trigger
from footage.stream.frame import Clock, Kind, Media

START = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROWS = [
    ([0.1, 0.9, 0.1], [(1, 2)]),
    ([0.9, 0.0, 0.9], [(0, 3)]),  # one bad frame
    ([0.9, 0.0, 0.0, 0.9], [(0, 1), (3, 4)]),  # two
    ([0.0, 0.0, 0.9, 0.0, 0.8, 0.0, 0.9, 0.0, 0.0], [(2, 7)]),
    ([1.0, 0.4, 0.32, 0.28, 0.28], [(0, 3)]),  # three tenths of the peak
    ([0.0, 0.28, 0.35, 1.0], [(2, 4)]),
    ([0.6, 0.19, 0.17, 0.17], [(0, 2)]),
    ([0.4, 0.4], []),
]


@pytest.mark.parametrize(("p", "segments"), ROWS)
def test_segments_reach_to_three_tenths_of_their_peak_over_one_bad_frame(
    p: list[float], segments: list[tuple[int, int]]
) -> None:
    assert find_segments(np.array(p), 0.5) == segments


@pytest.mark.parametrize(("p", "segments"), ROWS)
def test_a_stream_of_records_gives_the_same_segments(p: list[float], segments: list[tuple[int, int]]) -> None:
    media = Media("m", "yard", "/m.mp4", Kind.VIDEO, START, Clock.GIVEN, float(len(p)))
    records = [Record("yard", media.at(i), "m", float(i), np.zeros(1, np.float32)) for i in range(len(p))]
    segmenter = StreamingSegmenter(0.5)
    segmenter.add_media([media])
    moments = [
        m for i, record in enumerate(records) for m in segmenter.feed(from_records([record], 1), np.array([p[i]]))
    ]
    found = [(m.start, m.end) for m in [*moments, *segmenter.flush()]]
    assert found == [(media.at(a), media.at(b)) for a, b in segments]


def test_an_edge_is_searched_in_free_indices_only() -> None:
    row = [0.9, 0.9, 0.9, 0.0, 0.9]
    assert find_edge(row, 0.5, 0, +1) == 4
    assert find_edge(row, 0.5, 4, -1) == 0
    assert find_edge(row, 0.5, 0, +1, [True, True, False, True, True]) == 1


@pytest.mark.parametrize(
    ("p", "starts"),
    [
        ([0.9, 0.0, 0.9], [0]),
        ([0.9, 0.0, 0.0, 0.9], [0, 3]),
        ([0.9, 0.2, 0.2, 0.2, 0.9], [0]),  # above three tenths of the threshold
        ([0.9, 0.14, 0.14, 0.9], [0, 3]),
        ([0.9, 0.16, 0.16, 0.9], [0]),
    ],
)
def test_a_watch_begins_a_new_moment_after_two_frames_below_three_tenths_of_its_threshold(
    p: list[float], starts: list[int]
) -> None:
    trigger = Trigger()
    frames = [SimpleNamespace(time=START + timedelta(seconds=i), p=value, region=None) for i, value in enumerate(p)]
    fired = [i for i, frame in enumerate(frames) if trigger.step(frame, 0.5, timedelta())]
    assert fired == starts
