"""Decodes photographs upright and scaled, and reads when they were taken."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from footage.stream.files.video_file import MediaError, fit_size
from footage.stream.frame import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"})
_ORIENTATION, _EXIF_IFD, _TAKEN, _TAKEN_ZONE = 0x0112, 0x8769, 0x9003, 0x9011  # Exif 2.31, tables 4 and 8
_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations that swap width and height
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pillow.DecompressionBombError)


def is_photo(path: Path) -> bool:
    """Whether a file is named as a photograph is."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, side: int | None) -> Image:
    """Decode a photograph: RGB, upright, shorter side at most ``side``.

    Raises:
        MediaError: it cannot be read.
    """
    return _load(path, path, side)


def decode(data: bytes, name: str, side: int | None) -> Image:
    """Decode a photograph from its bytes, as ``load`` does; errors call it ``name``.

    Raises:
        MediaError: it cannot be read.
    """
    return _load(io.BytesIO(data), Path(name), side)


def _load(source: Path | io.BytesIO, path: Path, side: int | None) -> Image:
    try:
        with Pillow.open(source) as picture:
            size = fit_size(*picture.size, side)
            picture.draft("RGB", size)  # a JPEG is scaled by 1/2, 1/4 or 1/8 inside its decoder
            upright = ImageOps.exif_transpose(picture)
            size = size if (upright.width > upright.height) == (size[0] > size[1]) else size[::-1]
            return np.array(upright.convert("RGB").resize(size, Pillow.Resampling.BICUBIC))
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def read_header(path: Path) -> tuple[int, int, datetime | None]:
    """Upright width and height, and when it was taken; decodes nothing.

    Raises:
        MediaError: it is not a photograph.
    """
    try:
        with Pillow.open(path) as picture:
            exif = picture.getexif()
            width, height = picture.size[::-1] if exif.get(_ORIENTATION, 1) in _SIDEWAYS else picture.size
            return width, height, _time_taken(dict(exif.get_ifd(_EXIF_IFD)))
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def _time_taken(exif: dict[int, object]) -> datetime | None:
    """DateTimeOriginal with its UTC offset; without one it is taken as this machine's local time."""
    text, zone = str(exif.get(_TAKEN, "")).strip("\0 "), str(exif.get(_TAKEN_ZONE, "")).strip("\0 ")
    for value, form in ((text + zone, "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
        try:
            return datetime.strptime(value, form).astimezone()
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _error(path: Path, error: BaseException) -> MediaError:
    return MediaError(path, f"cannot be opened as a photograph ({error}): it is damaged or of an unknown format")
