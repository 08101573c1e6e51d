"""Opens pictures that anyone may have made: formats from a list, and no more decoded than memory allows.

A picture's header tells what decoding will take, so that what is too large is refused before: 500 kB of PNG can hold
177 million pixels, which took 2 GB. JPEG is scaled inside its decoder, and so may be larger than other formats.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from PIL import Image as Pillow
from PIL import UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from footage.stream.files.frame_image import fit_size
from footage.stream.files.unreadable import MediaError

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF")
"""As Pillow names them. It reads many more, some by running other programs (EPS), some of which hold others (ICO)."""
DISK_FORMATS = (*FORMATS, "JPEG2000")
"""Of the user's own files."""
STREAMED = ("JPEG", "PNG", "TIFF", "BMP")
"""Of these, Pillow reads a header without reading all of the file."""
MAX_FILE = 128 << 20
"""Most bytes of a file that is read as a whole."""
MAX_PIXELS = 1 << 28
"""Most pixels of any picture; telephones take photographs of 200 million."""
MAX_MEMORY = 512 << 20
"""Most bytes that decoding one picture may take."""
MAX_DISK_MEMORY = 1 << 30
"""The same for the user's own files: photographs of 200 million pixels are read, and converted and scaled in strips."""
SMALL = 32 << 20
"""A picture that takes more bytes than this is decoded alone."""
MAX_RESULT = 1 << 25
"""Most pixels of the scaled picture: a frame of 8K."""
MAX_SCANS = 100
"""Most scans of a JPEG, each a pass over the whole picture: a few hundred bytes more. Encoders write about ten."""

# Bytes per pixel, as measured at 49 million pixels: decoded, converted to RGB and scaled (docs/security.md).
_RGB, _OTHER_MODES, _WEBP, _AVIF = 4.5, 8.5, 16.5, 12.0
# The same in strips, by Pillow's modes: as decoded, and little more
_STRIPPED = {"1": 1.1, "L": 1.1, "P": 1.1, "I;16": 2.2, "I;16B": 2.2}
_TILE_WIDTH, _TILE_LENGTH = 322, 323  # TIFF 6.0, section 15
_START_OF_SCAN = b"\xff\xda"  # ITU T.81, table B.1; in coded data FF is never followed by DA
_large_picture = threading.Lock()

Pillow.MAX_IMAGE_PIXELS = MAX_PIXELS  # its own is a third of that, and it would only warn
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damage, which names no file


class UnsupportedImage(MediaError):
    """It is of no format that is read."""


class ImageTooLarge(MediaError):
    """It would take too much memory or time to decode."""


def open_header(source: Path | io.BytesIO, path: Path) -> ImageFile:
    """Open a picture and decode nothing. The caller closes it.

    Args:
        path: what errors call it.

    Raises:
        UnsupportedImage: it is of another format, or damaged at its beginning.
        ImageTooLarge: decoding it would take too much.
    """
    size = source.stat().st_size if isinstance(source, Path) else len(source.getbuffer())
    try:
        formats = DISK_FORMATS if isinstance(source, Path) else FORMATS
        picture = Pillow.open(source, formats=formats if size <= MAX_FILE else STREAMED)
    except UnidentifiedImageError:
        reason = f"cannot be opened as a photograph: it is damaged, or not one of {', '.join(FORMATS)}"
        raise UnsupportedImage(path, reason) from None
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning):
        raise ImageTooLarge(path, f"has more than {MAX_PIXELS // 10**6} million pixels: save it smaller") from None
    try:
        _check_size(picture, path, isinstance(source, Path))
    except BaseException:
        picture.close()
        raise
    return picture


@contextmanager
def open_image(source: Path | io.BytesIO, path: Path, side: int | None) -> Iterator[tuple[ImageFile, tuple[int, int]]]:
    """Open a picture to decode it in the block, scaled by its decoder if that can; large ones one at a time.

    Args:
        path: what errors call it.
        side: length in pixels of the shorter side that is wanted; None for as much as memory allows.

    Yields:
        The picture, and the (width, height) to scale it to.

    Raises:
        UnsupportedImage, ImageTooLarge: as ``open_header``.
    """
    with open_header(source, path) as picture:
        size = _bound(*fit_size(*picture.size, side))
        if (least := _least_scale(picture)) > 1:
            size = min(size[0], picture.width // least), min(size[1], picture.height // least)
        scale = max(s for s in (1, 2, 4, 8) if s <= max(1, min(picture.width // size[0], picture.height // size[1])))
        memory = _memory(picture, scale, isinstance(source, Path))
        picture.draft("RGB", size)  # a JPEG is scaled by 1/2, 1/4 or 1/8 inside its decoder
        with _large_picture if memory > SMALL else nullcontext():
            yield picture, size


def _bound(width: int, height: int) -> tuple[int, int]:
    """The size with at most ``MAX_RESULT`` pixels and the same aspect ratio."""
    scale = min(1.0, (MAX_RESULT / (width * height)) ** 0.5)
    return max(1, int(width * scale)), max(1, int(height * scale))


def _check_size(picture: ImageFile, path: Path, own: bool) -> None:
    width, height = picture.size
    if _memory(picture, _least_scale(picture), own) > (MAX_DISK_MEMORY if own else MAX_MEMORY):
        advice = "save it smaller" if isinstance(picture, JpegImageFile) else "save it smaller, or as JPEG"
        raise ImageTooLarge(path, f"has {width} x {height} pixels, too many to decode from {picture.format}: {advice}")
    if isinstance(picture, JpegImageFile) and _is_buffered(picture):
        scans = _read_start(picture, MAX_FILE).count(_START_OF_SCAN)
        if scans > MAX_SCANS:
            raise ImageTooLarge(path, f"has {scans} scans, far more than encoders write: save it again")


def _least_scale(picture: ImageFile) -> int:
    """The divisor by which its decoder must scale it at least."""
    if not isinstance(picture, JpegImageFile):
        return 1
    return next((scale for scale in (1, 2, 4) if _memory(picture, scale) <= MAX_MEMORY), 8)


def _memory(picture: ImageFile, scale: int, own: bool = False) -> float:
    """Bytes that decoding takes when the decoder scales by 1 / ``scale``; ``own``: of a file on disk, in strips."""
    pixels, by_mode = picture.width * picture.height, _RGB if picture.mode == "RGB" else _OTHER_MODES
    if own:
        by_mode = _STRIPPED.get(picture.mode, _RGB)
    if isinstance(picture, JpegImageFile):
        return pixels / scale**2 * by_mode + (pixels * _coefficients(picture) if _is_buffered(picture) else 0)
    tags = getattr(picture, "tag_v2", {})
    if _TILE_WIDTH in tags and _TILE_LENGTH in tags:  # a tile may be larger than the picture
        pixels = max(pixels, tags[_TILE_WIDTH] * tags[_TILE_LENGTH])
    return pixels * {"WEBP": _WEBP, "AVIF": _AVIF, "TIFF": _OTHER_MODES, "JPEG2000": _WEBP}.get(
        picture.format or "", by_mode
    )


def _is_buffered(picture: JpegImageFile) -> bool:
    """Whether the decoder keeps all coefficients: they come in several scans, in progressive JPEG and in some other."""
    if "progressive" in picture.info:
        return True
    head, at = _read_start(picture, 1 << 20), 2
    while head[at : at + 1] == b"\xff" and head[at : at + 2] != _START_OF_SCAN:
        is_fill = head[at + 1 : at + 2] == b"\xff"
        at += 1 if is_fill else 2 + int.from_bytes(head[at + 2 : at + 4])
    return head[at + 4 : at + 5] != bytes([picture.layers])  # components in the first scan


def _coefficients(picture: JpegImageFile) -> float:
    """Bytes of coefficients per pixel: two for each sample."""
    factors = [(vertical, horizontal) for _, vertical, horizontal, _ in picture.layer]
    largest = max(v for v, _ in factors) * max(h for _, h in factors)
    return 2.0 * sum(v * h for v, h in factors) / max(largest, 1)


def _read_start(picture: JpegImageFile, size: int) -> bytes:
    """The first bytes of its file."""
    file = picture.fp
    assert file is not None  # until it is decoded
    at = file.tell()
    file.seek(0)
    data = file.read(size)
    file.seek(at)
    return data
