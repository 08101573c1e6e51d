"""Tests times in the names of files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import tzset

import pytest

from footage.stream.files.named_time import time_in_name
from footage.stream.frame import Clock
from footage.stream.source import identify_media
from tests import films


def local(*numbers: int) -> datetime:
    return datetime(*numbers).astimezone(UTC)  # type: ignore[arg-type]


WHEN = local(2026, 5, 4, 13, 30)


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone whose clocks are put back on 2026-10-25 at 01:00 UTC, and were put forward on 2026-03-29 at 01:00 UTC."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    tzset()
    yield
    monkeypatch.undo()
    tzset()


@pytest.mark.parametrize(
    ("name", "written", "begun"),
    [
        ("yard_20261025_015000.mp4", "2026-10-25T00:00Z", "2026-10-24T23:50Z"),
        ("yard_20261025_023000.mp4", "2026-10-25T00:40Z", "2026-10-25T00:30Z"),
        ("yard_20261025_023000.mp4", "2026-10-25T01:40Z", "2026-10-25T01:30Z"),
        ("yard_20261025_023000.mp4", "2026-11-20T10:00Z", "2026-10-25T00:30Z"),  # copied later: nobody knows
        ("yard_2026-10-25T02-30-00+0100.mp4", "2026-10-25T00:40Z", "2026-10-25T01:30Z"),
        ("yard_20261025_030000.mp4", "2026-10-25T02:10Z", "2026-10-25T02:00Z"),
        ("yard_20260329_023000.mp4", "2026-03-29T01:40Z", "2026-03-29T01:30Z"),  # a time that did not exist
    ],
)
def test_the_hour_that_comes_twice(berlin: None, tmp_path: Path, name: str, written: str, begun: str) -> None:
    path = tmp_path / name
    path.touch()
    at = datetime.fromisoformat(written).timestamp()
    os.utime(path, (at, at))
    assert time_in_name(path) == datetime.fromisoformat(begun)


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
