"""What is read: "rtsp://…", "0", a file, "clips/*.mp4", "photos/" -> Source; and a file -> Media."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from footage.stream.files import image_file
from footage.stream.files.probe import Probe, probe
from footage.stream.files.start_time import start_of
from footage.stream.files.video_file import MediaError
from footage.stream.frame import Media

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "dav", "flv", "gif", "h264", "h265", "hevc", "m2ts", "m4v", "mjpeg", "mjpg", "mkv"),
        *("mov", "mp4", "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "vob", "webm", "wmv"),
    )
)
LIVE_SCHEMES = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "rtp"})
CAMERA_NAME = re.compile(r"[\w.-]{1,64}")
_BLOCK = 64 * 1024
_BLOCKS = 5


class SourceError(Exception):
    """A source that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is read.

    Attributes:
        spec: as the person wrote it; it may hold a password, so it is not shown.
        name: default name of its camera.
        live: a feed, without paths.
        paths: absolute paths of its files, in natural order.
    """

    spec: str = field(repr=False)
    name: str
    live: bool
    paths: tuple[Path, ...] = ()


def parse(spec: str) -> Source:
    """Understand a source: file, glob, folder, URL or webcam number.

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
        return _files(spec, unquote(urlsplit(spec).path))
    if "://" in spec:
        raise SourceError(f"{scheme}:// is not a source; use a file, a folder, rtsp://, rtmp:// or http(s)://")
    return _files(spec, spec)


def _files(spec: str, text: str) -> Source:
    path = Path(text).expanduser()
    if path.is_file():
        return Source(spec, camera_name(path.stem), False, (path.absolute(),))
    if path.is_dir():
        paths = _media_files(path.rglob("*"), path)
        if not paths:
            raise SourceError(f"{text}: no video or photograph in this folder")
        return Source(spec, camera_name(path.resolve().name), False, paths)
    if glob.has_magic(text):
        root = _root(path)
        paths = _media_files(root.glob(str(path.relative_to(root))), root)
        if not paths:
            raise SourceError(f"{text}: no video or photograph matches; check the pattern")
        return Source(spec, camera_name(_common(paths).name), False, paths)
    raise SourceError(f"{text}: there is no such file or folder")


def _root(pattern: Path) -> Path:
    plain = [part for part in pattern.parts if not glob.has_magic(part)]
    return Path(*plain[: next(i for i, part in enumerate(pattern.parts) if glob.has_magic(part))])


def _common(paths: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in paths]))


def is_media(path: Path, root: Path) -> bool:
    """Whether a file below ``root`` is named as a video or a photograph is, and is not hidden."""
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return not hidden and path.suffix.lower() in image_file.SUFFIXES | VIDEO_SUFFIXES


def _media_files(paths: Iterable[Path], root: Path) -> tuple[Path, ...]:
    found = {path.absolute() for path in paths if is_media(path, root) and path.is_file()}
    return tuple(sorted(found, key=_natural))


def _natural(path: Path) -> list[list[tuple[int, int, str]]]:
    """Sorts "clip 10" behind "clip 9"."""
    return [
        [(0, int(piece), piece) if piece.isdecimal() else (1, 0, piece.casefold()) for piece in _pieces(part)]
        for part in path.parts
    ]


def _pieces(text: str) -> list[str]:
    return [piece for piece in re.split(r"(\d+)", text) if piece]


def camera_name(text: str) -> str:
    """The nearest valid camera name: letters, digits, "-", "_" and ".", at most 64 of them."""
    clean = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", text)).strip("-.")[:64].rstrip("-.")
    return clean or "camera"


def check_camera(name: str) -> str:
    """Return a valid camera name as it is.

    Raises:
        SourceError: it is not valid.
    """
    if not CAMERA_NAME.fullmatch(name) or set(name) <= {"."}:
        hint = camera_name(name)
        raise SourceError(f"{name!r} cannot name a camera; use letters, digits, '-', '_' and '.', as in {hint!r}")
    return name


def media(path: Path, camera: str, start: datetime | None = None) -> tuple[Media, Probe]:
    """Identify a file, look into it and date it.

    Args:
        camera: the view it belongs to.
        start: time of its first frame, where the person knows it.

    Raises:
        MediaError: it cannot be read.
    """
    path = path.absolute()
    seen = probe(path)
    try:
        time, clock = start_of(path, seen, start)
        identity = _fingerprint(path, camera)
    except OSError as error:
        raise MediaError(path, f"cannot be read: {error.strerror}") from error
    return Media(identity, camera, str(path), seen.kind, time, clock, seen.duration), seen


def _fingerprint(path: Path, camera: str) -> str:
    """16 hexadecimal digits from camera, size and blocks spread over the content, the first and last included."""
    size = path.stat().st_size
    digest = hashlib.blake2b(f"{camera}\0{size}\0".encode(), digest_size=8)
    with path.open("rb") as file:
        for i in range(_BLOCKS):
            file.seek(max(0, size - _BLOCK) * i // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
