"""Photographs: one upright picture, scaled while decoding, and when it was taken."""

from __future__ import annotations

import io
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from footage.stream.files.video_file import MediaError, fitted
from footage.stream.frame import Image

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif"})
_ORIENTATION, _EXIF_IFD, _TAKEN, _TAKEN_ZONE = 0x0112, 0x8769, 0x9003, 0x9011  # Exif 2.31, tables 4 and 8
_BROKEN = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Pillow.DecompressionBombError)


def is_photo(path: Path) -> bool:
    """Whether the name is that of a photograph."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, side: int | None) -> Image:
    """Decode a photograph: RGB, upright, shorter side at most ``side``.

    Raises:
        MediaError: it cannot be read.
    """
    return _load(path, path, side)


def decode(data: bytes, name: str, side: int | None) -> Image:
    """As ``load``, from a file's bytes; ``name`` is what errors call it.

    Raises:
        MediaError: it cannot be read.
    """
    return _load(io.BytesIO(data), Path(name), side)


def _load(source: Path | io.BytesIO, path: Path, side: int | None) -> Image:
    try:
        with Pillow.open(source) as picture:
            size = fitted(*picture.size, side)
            picture.draft("RGB", size)  # a JPEG is scaled by 1/2, 1/4 or 1/8 inside its decoder
            upright = ImageOps.exif_transpose(picture)
            size = size if (upright.width > upright.height) == (size[0] > size[1]) else size[::-1]
            return np.array(upright.convert("RGB").resize(size, Pillow.Resampling.BICUBIC))
    except _BROKEN as error:
        raise _error(path, error) from error


def look(path: Path) -> tuple[str, int, int, int, datetime | None]:
    """Format, upright width and height, degrees turned counter-clockwise, and when it was taken; decodes nothing.

    Raises:
        MediaError: it is not a photograph.
    """
    try:
        with Pillow.open(path) as picture:
            exif = picture.getexif()
            turned = {3: 180, 4: 180, 5: 270, 6: 270, 7: 90, 8: 90}.get(exif.get(_ORIENTATION, 1), 0)
            width, height = picture.size if turned % 180 == 0 else picture.size[::-1]
            return (picture.format or "").lower(), width, height, turned, _taken(dict(exif.get_ifd(_EXIF_IFD)))
    except _BROKEN as error:
        raise _error(path, error) from error


def _taken(exif: dict[int, object]) -> datetime | None:
    """DateTimeOriginal with its offset; without one, a camera means the local time where it was."""
    text, zone = str(exif.get(_TAKEN, "")).strip("\0 "), str(exif.get(_TAKEN_ZONE, "")).strip("\0 ")
    for words, form in ((text + zone, "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
        try:
            return datetime.strptime(words, form).astimezone()
        except (ValueError, OverflowError, OSError):
            continue
    return None


def _error(path: Path, error: BaseException) -> MediaError:
    return MediaError(path, f"cannot be opened as a photograph ({error}): it is damaged or of an unknown format")
