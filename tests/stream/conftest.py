"""Provides videos that several tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from footage.stream.frame import Media
from footage.stream.source import identify_media
from tests import films

COUNT = 250  # frames of each video: ten seconds at 25 a second

MAKERS: dict[str, Callable[[Path], Path]] = {
    "mp4": lambda d: films.encode(d / "plain.mp4", films.numbered(COUNT)),
    "mp4-late-start": lambda d: films.encode(d / "late.mp4", films.numbered(COUNT), start=7.5),
    "ts-late-start": lambda d: films.encode(d / "late.ts", films.numbered(COUNT), start=100),
    "mkv-longer-sound": lambda d: films.encode(d / "sound.mkv", films.numbered(COUNT), audio=15),
    "mp4-open-gop": lambda d: films.encode(d / "open.mp4", films.numbered(COUNT), x264="open-gop=1:b-pyramid=normal"),
    "mp4-uneven-keyframes": lambda d: films.encode(
        d / "keys.mp4", films.numbered(COUNT), gop=[0, 25, 50, 75, 200, 225]
    ),
    "mp4-one-keyframe": lambda d: films.encode(d / "one.mp4", films.numbered(COUNT), gop=10_000, bframes=0),
    "hevc": lambda d: films.encode(d / "hevc.mp4", films.numbered(COUNT), codec="libx265"),
    "webm": lambda d: films.encode(d / "vp8.webm", films.numbered(COUNT), codec="libvpx"),
    "avi-mjpeg": lambda d: films.encode(d / "mjpeg.avi", films.numbered(COUNT), codec="mjpeg", bframes=0),
}


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Media]:
    """A video of ``MAKERS`` by name, encoded once."""
    made: dict[str, Media] = {}
    folder = tmp_path_factory.mktemp("films")

    def get(name: str) -> Media:
        if name not in made:
            made[name] = identify_media(MAKERS[name](folder), "door")[0]
        return made[name]

    return get


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Media:
    """A video of variable frame rate; its frames are at ``films.uneven(COUNT)``."""
    path = tmp_path_factory.mktemp("uneven") / "uneven.mp4"
    return identify_media(films.encode(path, films.numbered(COUNT), times=films.uneven(COUNT)), "door")[0]
