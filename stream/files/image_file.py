"""Decodes photographs upright and scaled, and reads when they were taken."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL.ImageFile import ImageFile

from footage.stream.files.image_bounds import open_header, open_image
from footage.stream.files.unreadable import MediaError
from footage.stream.frame import Image
from footage.stream.instants import from_local

SUFFIXES = frozenset(
    f".{name}" for name in ("avif", "bmp", "j2k", "jfif", "jp2", "jpe", "jpeg", "jpg", "png", "tif", "tiff", "webp")
)
NOT_READ = frozenset(
    f".{name}" for name in ("arw", "cr2", "cr3", "dng", "heic", "heif", "hif", "jxl", "nef", "orf", "psd", "raf", "rw2")
)
"""Photographs that no part of Footage decodes; they are told, not passed over in silence."""
_SEVERAL = frozenset({".avif", ".png", ".tif", ".tiff", ".webp"})  # a JPEG's second picture is of the same moment
_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769  # Exif 2.31, table 4
_TIMES = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012), (0x0132, 0x9290, 0x9010))
"""When it was taken, digitized and changed: tags of time, fraction and offset from UTC (Exif 2.31, table 8)."""
_UNSET_CLOCKS = ("1904:01:01", "1970:01:01", "1980:01:01")  # days on which cameras wake up whose clock was never set
_STRIP = 1 << 22  # pixels that are converted at a time
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
_DECODE_ERRORS = (
    *(OSError, EOFError, ValueError, TypeError, SyntaxError, LookupError, ArithmeticError, struct.error),
    RuntimeError,  # of libavif
)

Converter: TypeAlias = "Callable[[Pillow.Image], Pillow.Image]"


def is_photo(path: Path) -> bool:
    """Whether a file is named as a photograph is."""
    return path.suffix.lower() in SUFFIXES


def load(path: Path, side: int | None) -> Image:
    """Decode a photograph: RGB, upright, shorter side at most ``side``, at most 33 million pixels in all.

    Of a damaged file it is what can be decoded. A range of more than 8 bits is stretched to 8.

    Raises:
        MediaError: it cannot be read; ``decode`` tells which kinds there are.
    """
    return load_part(path, side)[0]


def load_part(path: Path, side: int | None) -> tuple[Image, str]:
    """Decode a photograph as ``load`` does, and tell what is wrong with its file, or ""."""
    try:
        with open_image(path, path, side) as (picture, size):
            damage = _load_part(picture)
            return _finish(picture, size), damage
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def _load_part(picture: ImageFile) -> str:
    """Decode what is there; raises where that is nothing."""
    try:
        picture.load()
    except _DECODE_ERRORS as error:
        picture.tile = []  # else it would be decoded again
        extrema = np.ravel(np.array(picture.getextrema()))
        if extrema.min() == extrema.max():
            raise
        return f"is damaged ({error}); what can be decoded of it is indexed: copy it again"
    return ""


def describe_further_pictures(path: Path) -> str:
    """Tell how many pictures of a file are left out, as of an animation or of pages of a TIFF; "" where none is."""
    if path.suffix.lower() not in _SEVERAL:
        return ""
    with suppress(*_DECODE_ERRORS, MediaError), open_header(path, path) as picture:
        count = int(getattr(picture, "n_frames", 1))
        return f"it holds {count} pictures, of which the first is read: save the others as a video" if count > 1 else ""
    return ""


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
            return _finish(picture, size)
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def _finish(picture: Pillow.Image, size: tuple[int, int]) -> Image:
    """Scale a decoded picture, as RGB of 8 bits, and turn it upright."""
    turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    convert = _converter(picture)
    if picture.width * picture.height > 4 * _STRIP and picture.height >= 2 * size[1]:
        small = _scale_in_strips(picture, size, convert)
    else:
        colored = convert(picture)
        small = colored if colored.size == size else colored.resize(size, Pillow.Resampling.BICUBIC)
    return np.array(small if turn is None else small.transpose(turn))


def _scale_in_strips(picture: Pillow.Image, size: tuple[int, int], convert: Converter) -> Pillow.Image:
    """Convert and scale some rows at a time: a large picture takes little more memory than its own."""
    small, rows = Pillow.new("RGB", size), max(1, _STRIP * size[1] // (picture.width * picture.height))
    for top in range(0, size[1], rows):
        bottom = min(size[1], top + rows)
        first, last = top * picture.height // size[1], bottom * picture.height // size[1]
        strip = convert(picture.crop((0, first, picture.width, last)))
        small.paste(strip.resize((size[0], bottom - top), Pillow.Resampling.BOX), (0, top))
    return small


def _converter(picture: Pillow.Image) -> Converter:
    """What makes RGB of 8 bits of a picture, or of a part of it: a wider range is stretched, from darkest to brightest.

    The thousandth part at either end is left out: a thermal camera has pixels that are stuck.
    """
    if not picture.mode.startswith(("I", "F")):
        return lambda part: part if part.mode == "RGB" else part.convert("RGB")
    step = max(1, int((picture.width * picture.height / _STRIP) ** 0.5))
    few = picture.width // step or 1, picture.height // step or 1
    sample = np.asarray(picture if step <= 1 else picture.resize(few, Pillow.Resampling.NEAREST)).astype(np.float32)
    finite = sample[np.isfinite(sample)]
    low, high = np.percentile(finite, (0.1, 99.9)) if finite.size else (0.0, 1.0)
    if high <= low:
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)

    def stretch(part: Pillow.Image) -> Pillow.Image:
        values = np.nan_to_num(np.asarray(part).astype(np.float32), nan=low, posinf=high, neginf=low)
        levels = np.clip((values - low) * (255 / max(high - low, 1e-9)), 0, 255)
        return Pillow.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")

    return stretch


def read_header(path: Path) -> tuple[int, int, datetime | None]:
    """Upright width and height, and when it was taken; decodes nothing.

    Raises:
        MediaError: it is not a photograph.
    """
    try:
        with open_header(path, path) as picture:
            exif = picture.getexif()
            width, height = picture.size[::-1] if exif.get(_ORIENTATION, 1) in _SIDEWAYS else picture.size
            return width, height, _time_taken(dict(exif) | dict(exif.get_ifd(_EXIF_IFD)))
    except _DECODE_ERRORS as error:
        raise _error(path, error) from error


def _time_taken(exif: dict[int, object]) -> datetime | None:
    """When it was taken, else digitized, else changed; a time without an offset is in this machine's time zone."""
    for tags in _TIMES:
        text, fraction, zone = (str(exif.get(tag, "")).strip("\0 ") for tag in tags)
        if text.startswith(_UNSET_CLOCKS):
            continue
        micros = int(fraction.ljust(6, "0")[:6]) if fraction.isdecimal() and fraction.isascii() else 0
        for value, form in ((text + zone, "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
            try:
                return from_local(datetime.strptime(value, form)).replace(microsecond=micros)
            except (ValueError, OverflowError, OSError):
                continue
    return None


def _error(path: Path, error: BaseException) -> MediaError:
    return MediaError(path, f"cannot be opened as a photograph ({error}): it is damaged or of an unknown format")
