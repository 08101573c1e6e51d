"""Parses what the user names as a source (URL, webcam, file, glob, folder), and identifies files as media."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from footage.stream.address import LIVE_SCHEMES
from footage.stream.camera_name import camera_name, describe_invalid_name
from footage.stream.files import image_file
from footage.stream.files.probe import Probe, probe_file
from footage.stream.files.start_time import find_start_time
from footage.stream.files.video_file import MediaError
from footage.stream.frame import Media

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "dav", "flv", "gif", "h264", "h265", "hevc", "m2ts", "m4v", "mjpeg", "mjpg", "mkv"),
        *("mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv"),
    )
)
_BLOCK_SIZE = 64 * 1024
_BLOCK_COUNT = 5


class SourceError(Exception):
    """A source that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source to read: a live camera or files.

    Attributes:
        spec: as the user wrote it; it may hold a password, so it is not shown.
        name: default name of its camera.
        live: whether it is a live camera, which has no paths.
        paths: absolute paths of its files, in natural order.
    """

    spec: str = field(repr=False)
    name: str
    live: bool
    paths: tuple[Path, ...] = ()


def parse_source(spec: str) -> Source:
    """Parse a source: file, glob, folder, URL or webcam number.

    Raises:
        SourceError: nothing is there, or nothing in it is a video or a photograph.
    """
    scheme, _, _ = spec.partition("://")
    if scheme.lower() in LIVE_SCHEMES and "://" in spec:
        return Source(spec, camera_name(urlsplit(spec).hostname or scheme), True)
    if spec.isascii() and spec.isdigit():
        return Source(spec, f"webcam-{spec}", True)
    if spec.startswith("/dev/"):
        return Source(spec, camera_name(Path(spec).name), True)
    if scheme.lower() == "file" and "://" in spec:
        return _file_source(spec, unquote(urlsplit(spec).path))
    if "://" in spec:
        raise SourceError(f"{scheme}:// is not a source; use a file, a folder, rtsp://, rtmp:// or http(s)://")
    return _file_source(spec, spec)


def _file_source(spec: str, text: str) -> Source:
    path = Path(text).expanduser()
    if path.is_file():
        return Source(spec, camera_name(path.stem), False, (path.absolute(),))
    if path.is_dir():
        paths = _media_files(path.rglob("*"), path)
        if not paths:
            raise SourceError(f"{text}: no video or photograph in this folder")
        return Source(spec, camera_name(path.resolve().name), False, paths)
    if glob.has_magic(text):
        root = _plain_root(path)
        paths = _media_files(root.glob(str(path.relative_to(root))), root)
        if not paths:
            raise SourceError(f"{text}: no video or photograph matches; check the pattern")
        return Source(spec, camera_name(_common_folder(paths).name), False, paths)
    raise SourceError(f"{text}: there is no such file or folder")


def _plain_root(pattern: Path) -> Path:
    plain = [part for part in pattern.parts if not glob.has_magic(part)]
    return Path(*plain[: next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))])


def _common_folder(paths: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def is_media_file(path: Path, root: Path) -> bool:
    """Whether a file below ``root`` is named as a video or a photograph, and is not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.suffix.lower() in image_file.SUFFIXES | VIDEO_SUFFIXES


def _media_files(paths: Iterable[Path], root: Path) -> tuple[Path, ...]:
    found = {path.absolute() for path in paths if is_media_file(path, root) and path.is_file()}
    return tuple(sorted(found, key=_natural_key))


def _natural_key(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sort key that puts "clip 10" after "clip 9"."""
    return [
        [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece.casefold()) for piece in _split_numbers(part)]
        for part in path.parts
    ]


def _split_numbers(text: str) -> list[str]:
    return [piece for piece in re.split(r"(\d+)", text) if piece]


def check_camera_name(name: str) -> str:
    """Check a camera name, and return it.

    Raises:
        SourceError: it is not valid.
    """
    if problem := describe_invalid_name(name):
        raise SourceError(problem)
    return name


def identify_media(path: Path, camera: str, start: datetime | None = None) -> tuple[Media, Probe]:
    """Identify a file by camera and content, probe it, and find its start time.

    Args:
        camera: the view it belongs to.
        start: time of its first frame, where the user knows it.

    Raises:
        MediaError: it cannot be read.
    """
    path = path.absolute()
    probed = probe_file(path)
    try:
        time, clock = find_start_time(path, probed, start)
        identity = _fingerprint(path, camera)
    except OSError as error:
        raise MediaError(path, f"cannot be read: {error.strerror}") from error
    return Media(identity, camera, str(path), probed.kind, time, clock, probed.duration), probed


def _fingerprint(path: Path, camera: str) -> str:
    """16 hexadecimal digits from camera, size and blocks spread over the content, the first and last included."""
    size = path.stat().st_size
    digest = hashlib.blake2b(f"{camera}\0{size}\0".encode(), digest_size=8)
    with path.open("rb") as file:
        for i in range(_BLOCK_COUNT):
            file.seek(max(0, size - _BLOCK_SIZE) * i // (_BLOCK_COUNT - 1))
            digest.update(file.read(_BLOCK_SIZE))
    return digest.hexdigest()
