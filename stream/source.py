"""Parses what the user names as a source (URL, webcam, file, glob, folder), and identifies files as media."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from footage.stream.address import LIVE_SCHEMES
from footage.stream.camera_name import camera_name, describe_invalid_name
from footage.stream.errors import FootageError
from footage.stream.files.file_filter import FileFilter
from footage.stream.files.probe import Probe, probe_file
from footage.stream.files.start_time import find_start_time
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Media

_BLOCK_SIZE = 64 * 1024
_BLOCK_COUNT = 5


class SourceError(FootageError):
    """A source that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A source to read: a live camera or files.

    Attributes:
        spec: as the user wrote it; it may hold a password, so it is not shown.
        name: default name of its camera.
        live: whether it is a live camera, which has no paths.
        paths: absolute paths of its files, in natural order.
        not_read: photographs of kinds that are not read, for the user to be told of.
    """

    spec: str = field(repr=False)
    name: str
    live: bool
    paths: tuple[Path, ...] = ()
    not_read: tuple[Path, ...] = ()


def parse_source(spec: str, exclude: Sequence[str] = ()) -> Source:
    """Parse a source: file, glob, folder, URL or webcam number.

    Args:
        exclude: patterns of files and folders in a folder or a glob that are left out; see `FileFilter`.

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
        return _file_source(spec, unquote(urlsplit(spec).path), exclude)
    if "://" in spec:
        raise SourceError(f"{scheme}:// is not a source; use a file, a folder, rtsp://, rtmp:// or http(s)://")
    return _file_source(spec, spec, exclude)


def _file_source(spec: str, text: str, exclude: Sequence[str]) -> Source:
    path = Path(text).expanduser()
    if _is_file(path):
        return Source(spec, camera_name(path.stem), False, (path.absolute(),))
    if path.is_dir():
        paths, not_read = _media_files(path.rglob("*"), FileFilter(path, exclude))
        if not paths:
            raise SourceError(f"{text}: no video or photograph in this folder{_describe_not_read(not_read)}")
        return Source(spec, camera_name(path.resolve().name), False, paths, not_read)
    if glob.has_magic(text):
        root = _plain_root(path)
        paths, not_read = _media_files(root.glob(str(path.relative_to(root))), FileFilter(root, exclude))
        if not paths:
            raise SourceError(
                f"{text}: no video or photograph matches{_describe_not_read(not_read)}; check the pattern"
            )
        return Source(spec, camera_name(_common_folder(paths).name), False, paths, not_read)
    raise SourceError(f"{text}: there is no such file or folder")


def _plain_root(pattern: Path) -> Path:
    plain = [part for part in pattern.parts if not glob.has_magic(part)]
    return Path(*plain[: next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))])


def _common_folder(paths: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def _media_files(paths: Iterable[Path], chosen: FileFilter) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The media among these files, and the photographs that are not read."""
    found, not_read = set(), set()
    for path in paths:
        if chosen.is_media(path) and _is_file(path):
            found.add(path.absolute())
        elif chosen.is_not_read(path) and _is_file(path):
            not_read.add(path.absolute())
    return tuple(sorted(found, key=_natural_key)), tuple(sorted(not_read, key=_natural_key))


def _is_file(path: Path) -> bool:
    """Whether it is a file; what cannot be looked at (no permission, a link to itself, a long name) is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _describe_not_read(paths: Sequence[Path]) -> str:
    kinds = ", ".join(sorted({path.suffix.lower() for path in paths}))
    return f" that is read, but {len(paths)} of {kinds}: save them as JPEG" if paths else ""


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
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise MediaError(path, "its name is not valid text (UTF-8), so an index cannot hold it: rename it") from None
    try:
        probed = probe_file(path)
        time, clock = find_start_time(path, probed, start)
        identity = identify_file(path, camera)
    except OSError as error:
        raise MediaError(path, f"cannot be read: {error.strerror or error}") from error
    return Media(identity, camera, str(path), probed.kind, time, clock, probed.duration), probed


def identify_file(path: Path, camera: str, size: int | None = None) -> str:
    """16 hexadecimal digits from camera, size and blocks spread over the content, the first and last included.

    Args:
        size: bytes at the beginning that count; None for the whole file.

    Raises:
        OSError: it cannot be read.
    """
    size = path.stat().st_size if size is None else size
    digest = hashlib.blake2b(f"{camera}\0{size}\0".encode(), digest_size=8)
    with path.open("rb") as file:
        for i in range(_BLOCK_COUNT):
            begin = max(0, size - _BLOCK_SIZE) * i // (_BLOCK_COUNT - 1)
            file.seek(begin)
            digest.update(file.read(min(_BLOCK_SIZE, size - begin)))
    return digest.hexdigest()
