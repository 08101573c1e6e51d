"""Encodes videos for tests with PyAV, whose frames show their number, and damages or rotates them."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from functools import wraps
from hashlib import blake2b
from itertools import chain, pairwise
from pathlib import Path
from typing import Concatenate, ParamSpec

import av
import cv2
import numpy as np
import skimage.data

from footage.stream.frame import Image

TICK = Fraction(1, 30_000)
BITS = 12  # of a frame's number, drawn as black and white blocks
BLACK = "black"


def numbered(count: int, size: tuple[int, int] = (192, 128)) -> Iterator[Image]:
    """Images that show their number (see ``number``); the top left corner is red, the top right one green."""
    width, height = size
    for i in range(count):
        image = np.full((height, width, 3), 96, np.uint8)
        image[: height // 4, : width // 4] = (255, 0, 0)
        image[: height // 4, -width // 4 :] = (0, 255, 0)
        for bit in range(BITS):
            left = width * bit // BITS
            image[height // 2 :, left : width * (bit + 1) // BITS] = 255 * (i >> bit & 1)
        yield image


def number(image: Image) -> int:
    """The number that ``numbered`` drew, at whatever size."""
    height, width, _ = image.shape
    middle = [int(width * (bit + 0.5) / BITS) for bit in range(BITS)]
    return sum(int(image[height * 3 // 4, x].mean() > 127) << bit for bit, x in enumerate(middle))


def photograph(name: str, size: tuple[int, int] = (320, 240)) -> Image:
    """One of scikit-image's photographs ("astronaut", "cat", "coffee", "rocket"...) filling a frame, or ``BLACK``."""
    width, height = size
    if name == BLACK:
        return np.zeros((height, width, 3), np.uint8)
    image = getattr(skimage.data, name)()
    image = np.repeat(image[..., None], 3, 2) if image.ndim == 2 else image[..., :3]
    rows, columns = image.shape[:2]
    scale = max(width / columns, height / rows)
    image = cv2.resize(image, (round(columns * scale), round(rows * scale)), interpolation=cv2.INTER_AREA)
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def compose(
    path: Path, shots: Sequence[tuple[str, float]], size: tuple[int, int] = (320, 240), fps: int = 10, gop: int = 20
) -> Path:
    """A video of still photographs, each shown for its number of seconds."""
    stills = [(photograph(name, size), round(seconds * fps)) for name, seconds in shots]
    return encode(path, (still for still, count in stills for _ in range(count)), fps=fps, gop=gop)


P = ParamSpec("P")
Writer = Callable[Concatenate[Path, Iterable[Image], P], Path]
MOST = 64_000_000
"""Bytes of the images of a video that may be kept."""
_written: dict[bytes, bytes] = {}


def _once(write: Writer[P]) -> Writer[P]:
    """Write the same images with the same options once in a process, and copy them later; long videos are not kept."""

    @wraps(write)
    def write_or_copy(path: Path, images: Iterable[Image], *args: P.args, **options: P.kwargs) -> Path:
        coming, kept, size = iter(images), list[Image](), 0
        key = blake2b(pickle.dumps((path.suffix, args, options)))
        for image in coming:
            key.update(b"again" if kept and image is kept[-1] else f"{image.shape}".encode() + image.tobytes())
            kept.append(image)
            size += image.nbytes
            if size > MOST:
                return write(path, chain(kept, coming), *args, **options)
        if known := _written.get(key.digest()):
            path.write_bytes(known)
        else:
            write(path, kept, *args, **options)
            _written[key.digest()] = path.read_bytes()
        return path

    return write_or_copy


@_once
def encode(
    path: Path,
    images: Iterable[Image],
    *,
    times: Sequence[float] | None = None,
    fps: int = 25,
    gop: int | Sequence[int] = 50,
    bframes: int = 3,
    start: float = 0.0,
    codec: str = "libx264",
    audio: float = 0.0,
    bt709: bool = False,
    x264: str = "",
    pixels: str = "",
    metadata: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a video.

    Args:
        times: seconds of each frame, for a variable rate; by default they follow ``fps``.
        gop: frames from keyframe to keyframe, or the numbers of all keyframes.
        start: seconds added to every time stamp.
        audio: seconds of sound.
        bt709: encode with the color matrix of high definition, and tag the stream with it.
        x264: more parameters of that encoder.
        pixels: FFmpeg's name of a pixel format other than the codec's usual one.
        options: of the muxer.
    """
    keys = set() if isinstance(gop, int) else set(gop)
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        video: av.VideoStream | None = None
        sound = container.add_stream("aac", rate=16_000, layout="mono") if audio else None
        for i, image in enumerate(images):
            if video is None:
                video = _video(container, codec, image, fps, gop if isinstance(gop, int) else 10_000, bframes)
                video.options = {**video.options, **({"x264-params": x264} if x264 else {})}
                video.codec_context.colorspace = 1 if bt709 else 2
                video.pix_fmt = pixels or video.pix_fmt
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if bt709:
                frame = frame.reformat(format="yuv420p", src_colorspace="ITU601", dst_colorspace="ITU709")
            frame.pts = round((start + (times[i] if times else i / fps)) / TICK)
            frame.time_base = TICK
            frame.pict_type = av.video.frame.PictureType.I if i in keys else av.video.frame.PictureType.NONE
            container.mux(video.encode(frame))
        assert video is not None
        container.mux(video.encode())
        if sound is not None:
            _add_tone(container, sound, audio, start)
    return path


def _video(
    container: av.container.OutputContainer, codec: str, image: Image, fps: int, gop: int, bframes: int
) -> av.VideoStream:
    stream = container.add_stream(codec, rate=fps)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    stream.codec_context.time_base = stream.time_base = TICK
    stream.codec_context.gop_size = gop
    stream.codec_context.max_b_frames = bframes
    if codec == "libx264":
        stream.options = {"preset": "veryfast", "sc_threshold": "0", "forced-idr": "1", "bf": str(bframes)}
    if codec == "libvpx":
        stream.options = {"deadline": "realtime", "cpu-used": "8"}
    if codec == "libx265":
        stream.options = {"preset": "ultrafast", "x265-params": f"log-level=none:keyint={gop}:min-keyint={gop}"}
    return stream


def _add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float, start: float) -> None:
    rate, size = 16_000, 1024
    for i in range(int(seconds * rate) // size):
        wave = np.sin(np.arange(i * size, (i + 1) * size) * (2 * np.pi * 440 / rate)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), round(start * rate) + i * size
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def gray_steps(path: Path, transfer: str) -> Path:
    """Two seconds of HEVC in high dynamic range: five bars of 0, 5, 50, 203 and 1000 cd/m2, from left to right.

    Args:
        transfer: "pq" or "hlg" (ITU-R BT.2100), whose signals for these are given here.
    """
    signal = {"pq": (0.0, 0.3023, 0.4403, 0.5807, 0.7518), "hlg": (0.0, 0.2033, 0.5252, 0.7493, 1.0)}[transfer]
    levels = np.repeat(np.round(np.array(signal) * 65535).astype(np.uint16), 40)
    image = np.repeat(np.tile(levels, (120, 1))[..., None], 3, axis=2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=10)
        stream.width, stream.height, stream.pix_fmt = image.shape[1], image.shape[0], "yuv420p10le"
        stream.options = {"x265-params": "log-level=none", "preset": "ultrafast", "crf": "12"}
        context = stream.codec_context
        context.color_primaries, context.colorspace, context.color_trc = 9, 9, 16 if transfer == "pq" else 18
        for i in range(20):
            frame = av.VideoFrame.from_ndarray(image, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9)
            frame.pts, frame.time_base = i, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def sound_first(path: Path, begin: float) -> Path:
    """Four seconds of pictures that begin so many seconds after the sound, which lasts ten seconds more."""
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        video: av.VideoStream | None = None
        for i, image in enumerate(numbered(100)):
            video = video or _video(container, "libx264", image, 25, 25, 0)
            if i == 0:
                _add_tone(container, sound, begin + 14, 0.0)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round((begin + i / 25) / TICK), TICK
            container.mux(video.encode(frame))
        assert video is not None
        container.mux(video.encode())
    return path


def sound_only(path: Path, seconds: float = 2.0) -> Path:
    """A file with an audio track and no video."""
    with av.open(str(path), "w") as container:
        _add_tone(container, container.add_stream("aac", rate=16_000, layout="mono"), seconds, 0.0)
    return path


def turn(path: Path, degrees: int) -> Path:
    """Mark an MP4 as to be shown turned clockwise by 90, 180 or 270 degrees, as a telephone held upright does."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    long = content[header] == 1  # version 1 has 64-bit times (ISO/IEC 14496-12, 8.3.2)
    struct.pack_into(
        ">9i",
        content,
        header + (52 if long else 40),
        *(cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30),
    )
    path.write_bytes(content)
    return path


def truncate(path: Path, part: float) -> Path:
    """Keep only this share of the file's bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    return path


def corrupt(path: Path, begin: float, end: float, seed: int = 0) -> Path:
    """Overwrite this share of the file's bytes with noise."""
    content = bytearray(path.read_bytes())
    first, last = int(len(content) * begin), int(len(content) * end)
    content[first:last] = np.random.default_rng(seed).bytes(last - first)
    path.write_bytes(content)
    return path


def uneven(count: int, seed: int = 0) -> list[float]:
    """Frame times of a variable rate: from 5 ms to 400 ms apart."""
    steps = np.random.default_rng(seed).choice([0.005, 0.033, 0.04, 0.1, 0.4], count - 1)
    return [0.0, *np.cumsum(steps).tolist()]


def expected(times: Sequence[float], every: float) -> list[int]:
    """Numbers of the frames that a grid picks: the first at or after each multiple of ``every``."""
    cells = [int(t / every + 1e-6) for t in times]
    return [0, *(i + 1 for i, (a, b) in enumerate(pairwise(cells)) if b > a)]
