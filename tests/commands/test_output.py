"""Tests what is printed in the terminal."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.commands.output import describe_clip
from footage.query.clips.clip import Clip


def at(second):
    return datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(seconds=second)


def test_gaps_in_a_clip_are_counted_apart_from_time_outside_the_footage():
    gaps = ((at(0), at(1)), (at(4), at(5)), (at(8), at(10.5)))
    clip = Clip(Path("a.mp4"), at(0), at(10.5), at(1), at(8), 0.0, True, gaps, False, ((at(1), at(4)), (at(5), at(8))))
    assert describe_clip(clip).startswith("7.0 s from ")
    assert describe_clip(clip).endswith(
        "; 1 hole in the footage; 3.5 s of the requested time are before or after the footage"
    )
