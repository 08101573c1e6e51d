"""Tests that pictures made to take memory or time are refused before they are decoded."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from footage.stream.files import image_bounds, image_file
from footage.stream.files.image_bounds import ImageTooLarge, UnsupportedImage
from footage.stream.files.unreadable import MediaError


def encoded(size: tuple[int, int] = (320, 240), format: str = "JPEG", mode: str = "RGB", **how: object) -> bytes:
    out = io.BytesIO()
    Pillow.new(mode, size, 77 if mode == "L" else (200, 30, 30)[: len(mode)]).save(out, format, **how)
    return out.getvalue()


def png_header(width: int, height: int, color: int = 2) -> bytes:
    """A PNG that claims a size; its data are missing, since they must not be looked at."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def tiff_with_tile(side: int) -> bytes:
    """A TIFF of 16 x 16 pixels in one tile of ``side`` x ``side``."""
    tags = [(256, 16), (257, 16), (258, 8), (259, 8), (262, 1), (277, 1), (322, side), (323, side), (324, 8), (325, 9)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def test_what_a_header_claims_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    large = {
        "png": png_header(16_300, 16_300),
        "alpha.png": png_header(16_300, 16_200, color=6),
        "huge.png": png_header(2**31 - 1, 2**31 - 1),
        "line.png": png_header(1, 2**30),
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIIIII", 0, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "tile.tiff": tiff_with_tile(1 << 16),
    }
    for name, data in large.items():
        with pytest.raises(ImageTooLarge, match=r"x: has .* (too many to decode from|million).* save it smaller"):
            image_file.decode(data, "x", 448)
        (tmp_path / name).write_bytes(data)
        for read in (image_file.read_header, lambda path: image_file.load(path, 448)):
            with pytest.raises(ImageTooLarge, match=name):
                read(tmp_path / name)


def test_formats_that_take_more_memory_may_have_fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_bounds, "MAX_MEMORY", 8_000_000)
    assert image_file.decode(encoded((1000, 800), "PNG"), "x", 40).shape == (40, 50, 3)
    for format in ("WEBP", "AVIF"):
        with pytest.raises(ImageTooLarge, match="or as JPEG"):
            image_file.decode(encoded((1000, 800), format), "x", 40)


@pytest.mark.parametrize("format", ["GIF", "ICO", "PPM", "TGA", "PCX", "SGI", "PDF", "DDS", "JPEG2000"])
def test_other_formats_are_not_read(format: str) -> None:
    with pytest.raises(UnsupportedImage, match="not one of JPEG, PNG"):
        image_file.decode(encoded((32, 32), format), "x", 448)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
def test_photographs_are_read(format: str) -> None:
    assert image_file.decode(encoded((64, 48), format), "x", 24).shape == (24, 32, 3)


def test_no_program_is_run_for_an_eps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = tmp_path / "ran"
    gs = tmp_path / "gs"
    gs.write_text(f"#!/bin/sh\ntouch {ran}\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    picture = tmp_path / "photo.jpg"
    picture.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UnsupportedImage):
        image_file.load(picture, 448)
    assert not ran.exists()


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_of_many_frames_the_first_is_read(format: str) -> None:
    frames = [Pillow.new("RGB", (16, 16), (0, 200, i % 50)) for i in range(200)]
    out = io.BytesIO()
    Pillow.new("RGB", (16, 16), (200, 0, 0)).save(out, format, save_all=True, append_images=frames)
    image = image_file.decode(out.getvalue(), "x", 16)
    assert np.abs(image.astype(int) - (200, 0, 0)).max() < 30


def test_a_jpeg_is_scaled_while_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = encoded((2400, 1600))
    monkeypatch.setattr(image_bounds, "MAX_MEMORY", 5_000_000)
    assert image_file.decode(photo, "x", 448).shape == (448, 672, 3)
    assert image_file.decode(photo, "x", None).shape == (800, 1200, 3)  # all that memory allows
    with pytest.raises(ImageTooLarge, match=r"save it smaller$"):
        image_file.decode(encoded((2400, 1600), progressive=True), "x", 448)
    first_scan = photo.index(b"\xff\xda")
    one_by_one = photo[:first_scan] + bytes.fromhex("ffda0008010100003f00")
    with pytest.raises(ImageTooLarge):  # the decoder keeps all coefficients of it, too
        image_file.decode(one_by_one, "x", 448)


def test_a_jpeg_of_many_scans_is_refused() -> None:
    photo = encoded((64, 64), progressive=True)
    last = photo.rindex(b"\xff\xda")
    scan = photo[last:-2]
    assert image_file.decode(photo[:-2] + scan * 20 + photo[-2:], "x", 64).shape == (64, 64, 3)
    with pytest.raises(ImageTooLarge, match="scans"):
        image_file.decode(photo[:-2] + scan * 20_000 + photo[-2:], "x", 64)


def test_a_damaged_photograph_is_of_neither_kind() -> None:
    for format in ("PNG", "WEBP", "AVIF", "TIFF"):
        data = encoded((64, 64), format)
        with pytest.raises(MediaError) as caught:
            image_file.decode(data[: len(data) * 2 // 3], "x", 64)
        assert not isinstance(caught.value, ImageTooLarge)


def test_the_result_is_bounded_where_all_of_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_bounds, "MAX_RESULT", 10_000)
    assert image_file.decode(encoded((400, 100), "PNG"), "x", None).shape == (50, 200, 3)
    assert image_file.decode(encoded((40_000, 2), "PNG"), "x", 100).shape == (1, 14142, 3)


PEAK = """
import sys, threading
from footage.stream.files import image_file
data = open(sys.argv[1], "rb").read()
peak = lambda: int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1024
before = peak()
threads = [threading.Thread(target=image_file.decode, args=(data, "x", 448)) for _ in range(3)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(peak() - before)
"""


def test_large_pictures_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    picture = tmp_path / "x.png"
    picture.write_bytes(encoded((6000, 6000), "PNG", "L", compress_level=1))
    done = subprocess.run([sys.executable, "-c", PEAK, picture], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 300  # MiB; one takes 180
