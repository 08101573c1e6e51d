"""Tests times in the names of files and folders."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from footage.stream.files.named_time import time_in_name
from footage.stream.frame import Clock
from footage.stream.source import identify_media
from tests import films


def local(*numbers: int) -> datetime:
    return datetime(*numbers).astimezone(UTC)  # type: ignore[arg-type]


WHEN = local(2026, 5, 4, 13, 30)


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("front_20260504_133000.mp4", WHEN),
        ("cam 2026-05-04 13-30-00.mp4", WHEN),
        ("1080p_2026-05-04_13-30.mp4", WHEN),
        ("192.168.1.20_20260504133000_1.mp4", WHEN),
        ("20260504133000_20260504134500.dav", WHEN),
        ("VID_20260504_133000123.mp4", WHEN),
        ("2026-05-04T13:30:00Z.mkv", datetime(2026, 5, 4, 13, 30, tzinfo=UTC)),
        ("2026-05-04_13.30.00+0200.mp4", datetime(2026, 5, 4, 11, 30, tzinfo=UTC)),
        ("2026-05-04/13.30.00.mp4", WHEN),
        ("20260504/ch01_133000_134500.mp4", WHEN),
        ("2026/05/04/13/30.ts", WHEN),
        ("2026/05/04/13/30-15.ts", local(2026, 5, 4, 13, 30, 15)),
        ("IMG_20260504.jpg", None),
        ("20260504/clip.mp4", None),
        ("2026-05-04/img_2048.jpg", None),
        ("2026-05-04/1080p.mp4", None),
        ("Movie 2019 1080p.mp4", None),
        ("20261399_250000.mp4", None),
        ("20260231_120000.mp4", None),
        ("120260504_1330001.mp4", None),
    ],
)
def test_times_in_names(name: str, time: datetime | None) -> None:
    assert time_in_name(Path("/nvr") / name) == time


def test_a_name_is_believed_more_than_the_time_of_the_file(tmp_path: Path) -> None:
    path = films.encode(tmp_path / "front_20200504_133000.mkv", films.numbered(25))
    os.utime(path, (0, 1_700_000_000))
    media, _ = identify_media(path, "front")
    assert (media.start, media.clock) == (local(2020, 5, 4, 13, 30), Clock.NAME)
    given, _ = identify_media(path, "front", WHEN)
    assert (given.start, given.clock) == (WHEN, Clock.GIVEN)


def test_a_name_in_the_future_is_no_time(tmp_path: Path) -> None:
    later = datetime.now() + timedelta(days=400)
    media, _ = identify_media(films.encode(tmp_path / f"{later:%Y%m%d_%H%M%S}.mkv", films.numbered(25)), "front")
    assert media.clock is Clock.MTIME
