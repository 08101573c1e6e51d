"""Decodes photographs upright and scaled, and reads when they were taken."""

from __future__ import annotations

import io
import struct
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from footage.stream.files.image_bounds import open_header, open_image
from footage.stream.files.video_file import MediaError
from footage.stream.frame import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"})
_ORIENTATION, _EXIF_IFD, _TAKEN, _TAKEN_ZONE = 0x0112, 0x8769, 0x9003, 0x9011  # Exif 2.31, tables 4 and 8
_TURNS = {  # Exif 2.31, section 4.6.4: where the first row and column are
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})  # orientations that swap width and height
# What Pillow's readers raise on damaged files
_DECODE_ERRORS = (OSError, EOFError, ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, struct.error)


def is_photo(path: Path) -> bool:
    """Whether a file is named as a photograph is."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, side: int | None) -> Image:
    """Decode a photograph: RGB, upright, shorter side at most ``side``, at most 33 million pixels in all.

    Raises:
        MediaError: it cannot be read; ``decode`` tells which kinds there are.
    """
    return _load(path, path, side)


def decode(data: bytes, name: str, side: int | None) -> Image:
    """Decode a photograph from its bytes, as ``load`` does; errors call it ``name``.

    Raises:
        UnsupportedImage: it is of no format that is read.
        ImageTooLarge: decoding it would take too much memory or time.
        MediaError: it is damaged.
    """
    return _load(io.BytesIO(data), Path(name), side)


def _load(source: Path | io.BytesIO, path: Path, side: int | None) -> Image:
    try:
        with open_image(source, path, side) as (picture, size):
            picture.load()
            turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
            colored = picture if picture.mode == "RGB" else picture.convert("RGB")
            small = colored if colored.size == size else colored.resize(size, Pillow.Resampling.BICUBIC)
            return np.array(small if turn is None else small.transpose(turn))
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def read_header(path: Path) -> tuple[int, int, datetime | None]:
    """Upright width and height, and when it was taken; decodes nothing.

    Raises:
        MediaError: it is not a photograph.
    """
    try:
        with open_header(path, path) as picture:
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
