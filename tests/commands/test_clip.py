"""What is said of a clip that was cut."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from footage.commands.clip import told
from footage.query.clips.clip import Clip


def at(second):
    return datetime(2026, 5, 4, 12, tzinfo=UTC) + timedelta(seconds=second)


def test_holes_are_told_from_what_lies_outside_the_footage():
    gaps = ((at(0), at(1)), (at(4), at(5)), (at(8), at(10.5)))
    made = Clip(Path("a.mp4"), at(0), at(10.5), at(1), at(8), 0.0, True, gaps, False, ((at(1), at(4)), (at(5), at(8))))
    assert told(made).startswith("7.0 s from ")
    assert told(made).endswith("; 1 hole in the footage; 3.5 s of what was asked for lie before or after the footage")
