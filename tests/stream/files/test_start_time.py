"""Tests finding the UTC time of a file's first frame."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from footage.stream.frame import Clock, Kind
from footage.stream.source import identify_media
from tests import films

MTIME = datetime(2024, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def film(folder: Path, **tags: str) -> Path:
    path = films.encode(folder / "a.mp4", films.numbered(50), metadata=tags, options={"movflags": "use_metadata_tags"})
    os.utime(path, (MTIME.timestamp(), MTIME.timestamp()))
    return path


def photo(folder: Path, taken: str, zone: str | None = None) -> Path:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = taken
    if zone:
        exif.get_ifd(0x8769)[0x9011] = zone
    path = folder / "a.jpg"
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    os.utime(path, (MTIME.timestamp(), MTIME.timestamp()))
    return path


def test_the_creation_time_of_the_container_is_used(tmp_path: Path) -> None:
    found, _ = identify_media(film(tmp_path, creation_time="2023-02-03T04:05:06.000000Z"), "door")
    assert (found.start, found.clock) == (datetime(2023, 2, 3, 4, 5, 6, tzinfo=UTC), Clock.CONTAINER)


def test_the_creation_time_of_a_phone_video_has_its_zone(tmp_path: Path) -> None:
    tags = {"com.apple.quicktime.creationdate": "2023-02-03T04:05:06+0200"}
    found, _ = identify_media(film(tmp_path, **tags), "door")
    assert (found.start, found.clock) == (datetime(2023, 2, 3, 2, 5, 6, tzinfo=UTC), Clock.CONTAINER)


@pytest.mark.parametrize("absurd", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
def test_an_implausible_creation_time_is_ignored(tmp_path: Path, absurd: str) -> None:
    found, _ = identify_media(film(tmp_path, creation_time=absurd), "door")
    assert (found.start, found.clock) == (MTIME - timedelta(seconds=2), Clock.MTIME)


def test_the_modification_time_is_the_end_of_the_last_frame(tmp_path: Path) -> None:
    found, _ = identify_media(film(tmp_path), "door")
    assert (found.start, found.clock) == (MTIME - timedelta(seconds=2), Clock.MTIME)
    assert found.end == MTIME


@pytest.mark.usefixtures("tokyo")
def test_a_given_time_takes_precedence_and_is_local(tmp_path: Path) -> None:
    path = film(tmp_path, creation_time="2023-02-03T04:05:06Z")
    found, _ = identify_media(path, "door", datetime(2024, 1, 1, 9))
    assert (found.start, found.clock) == (datetime(2024, 1, 1, tzinfo=UTC), Clock.GIVEN)


@pytest.mark.usefixtures("tokyo")
@pytest.mark.parametrize(("zone", "hour"), [(None, 3), ("+02:00", 10), ("nonsense", 3)])
def test_the_exif_time_of_a_photograph_is_used(tmp_path: Path, zone: str | None, hour: int) -> None:
    found, _ = identify_media(photo(tmp_path, "2023:02:03 12:05:06", zone), "door")
    assert (found.start, found.clock) == (datetime(2023, 2, 3, hour, 5, 6, tzinfo=UTC), Clock.CONTAINER)
    assert (found.kind, found.duration) == (Kind.PHOTO, 0)


@pytest.mark.parametrize("taken", ["0000:00:00 00:00:00", "1980:01:01 00:00:00", "yesterday", ""])
def test_a_photograph_without_a_plausible_time_uses_its_modification_time(tmp_path: Path, taken: str) -> None:
    found, _ = identify_media(photo(tmp_path, taken), "door")
    assert (found.start, found.clock) == (MTIME, Clock.MTIME)
