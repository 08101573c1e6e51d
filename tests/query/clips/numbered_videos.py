"""Makes videos whose frames show their number and whose audio encodes its second, and reads both back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from footage.stream.frame import Clock, Kind, Media

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
RATE = 30
BLOCK = 32
BITS = 12
WIDTH, HEIGHT = 4 * BLOCK, 3 * BLOCK
SAMPLES = 48_000
DISPLAY_CLOCKWISE = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30], ">i4").tobytes()


@dataclass
class Recipe:
    """How a video is made.

    ``times`` are seconds from the first frame; ``first`` is the number in the first frame,
    ``first_second`` the second that its audio encodes.
    """

    times: Sequence[float] = field(default_factory=lambda: [i / RATE for i in range(12 * RATE)])
    codec: str = "libx264"
    gop: int = 60
    bframes: int = 3
    origin: float = 0.0
    first: int = 0
    audio: str | None = None
    first_second: float = 0.0
    size: tuple[int, int] = (WIDTH, HEIGHT)
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)


def make_video(path: Path, recipe: Recipe | None = None, *, kind: Kind = Kind.VIDEO, start: datetime = START) -> Media:
    """Makes a video file and its media; one of the same recipe and format is encoded once in a run of the tests."""
    recipe = recipe or Recipe()
    key = f"{path.suffix} {recipe}"
    if key not in _ENCODED:
        _encode(path, recipe)
        _ENCODED[key] = path.read_bytes()
    path.write_bytes(_ENCODED[key])
    duration = recipe.times[-1] + 1 / RATE
    return Media("0" * 16, "yard", str(path), kind, start, Clock.GIVEN, duration)


_ENCODED: dict[str, bytes] = {}


def _encode(path: Path, recipe: Recipe) -> None:
    with av.open(str(path), "w", options=recipe.container) as output:
        video = output.add_stream(recipe.codec, rate=RATE, options=_options(recipe))
        video.width, video.height = recipe.size
        video.pix_fmt = "yuvj420p" if recipe.codec == "mjpeg" else "yuv420p"
        video.codec_context.gop_size = recipe.gop
        if recipe.codec != "mjpeg":
            video.codec_context.max_b_frames = recipe.bframes
        tick = Fraction(1, 3000) if recipe.codec in ("libx264", "libx265") else Fraction(1, RATE)
        video.codec_context.time_base = tick
        audio = output.add_stream(recipe.audio, rate=SAMPLES, layout="mono") if recipe.audio else None
        heard = 0
        for index, time in enumerate(recipe.times):
            frame = VideoFrame.from_ndarray(_numbered(recipe.first + index, recipe.size), format="rgb24")
            frame.pts, frame.time_base = round((recipe.origin + time) / tick), tick
            output.mux(video.encode(frame))
            while audio and heard / SAMPLES <= time:
                output.mux(audio.encode(_tone(heard, recipe)))
                heard += 1024
        output.mux(video.encode(None))
        if audio:
            output.mux(audio.encode(None))


def rotate_video(media: Media) -> Media:
    """Writes a quarter turn into the track header, as a phone held upright does."""
    data = bytearray(Path(media.path).read_bytes())
    box = data.index(b"tkhd") - 4
    end = box + int.from_bytes(data[box : box + 4], "big")
    data[end - 44 : end - 8] = DISPLAY_CLOCKWISE
    Path(media.path).write_bytes(data)
    return media


def tone_frequency(second: int) -> float:
    """Returns the frequency (Hz) that encodes a second."""
    return 400.0 + 150.0 * (second % 12)


def read_numbers(path: Path) -> list[int]:
    """Returns the numbers in the frames of a file, in presentation order."""
    return [number for _, number in read_numbered_frames(path)]


def read_numbered_frames(path: Path) -> list[tuple[float, int]]:
    """Returns time (s, the file's clock) and number of each frame in a file."""
    with av.open(str(path)) as container:
        return [(float(frame.pts * frame.time_base), _number(_upright(frame))) for frame in container.decode(video=0)]


def read_pitches(path: Path, step: float = 0.01) -> Callable[[float], float]:
    """Returns a function from time (s, the file's clock) to the frequency (Hz) of the audio; 0 where it is silent."""
    with av.open(str(path)) as container:
        heard: dict[int, NDArray[np.float32]] = {}
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()
            scale = 1.0 if samples.dtype.kind == "f" else 32768.0
            assert frame.time is not None
            heard[round(frame.time * frame.sample_rate)] = (samples.reshape(-1)[: frame.samples] / scale).astype("f4")
            rate = frame.sample_rate
    low = min(heard)
    track = np.zeros(max(at + len(s) for at, s in heard.items()) - low, np.float32)
    for at, samples in heard.items():
        track[at - low : at - low + len(samples)] = samples

    def pitch(time: float) -> float:
        at = round(time * rate) - low
        window = track[max(0, at - round(rate * step)) : at + round(rate * step)]
        if len(window) < rate * step or np.abs(window).max() < 0.01:
            return 0.0
        spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window)), 16 * rate // 10))
        return float(spectrum.argmax()) * rate / (16 * rate // 10)

    return pitch


def _options(recipe: Recipe) -> dict[str, str]:
    if recipe.codec == "libx264":
        return {"preset": "ultrafast", "sc_threshold": "0", "bf": str(recipe.bframes), **recipe.options}
    if recipe.codec == "libx265":
        return {"preset": "ultrafast", "x265-params": "log-level=none", **recipe.options}
    return recipe.options


def _tone(at: int, recipe: Recipe) -> AudioFrame:
    times = np.arange(at, at + 1024)
    pitch = np.array([tone_frequency(int(second)) for second in times / SAMPLES + recipe.first_second])
    wave = (0.4 * np.sin(2 * np.pi * pitch * times / SAMPLES) * 32767).astype(np.int16)
    frame = AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.time_base = SAMPLES, Fraction(1, SAMPLES)
    frame.pts = at + round(recipe.origin * SAMPLES)
    return frame


def _numbered(number: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size
    image = np.full((height, width, 3), 60, np.uint8)
    image[:, (number * 3) % width] = (250, 120, 0)  # something moves
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        tone = 235 if number >> bit & 1 else 20
        image[row * BLOCK + 4 : (row + 1) * BLOCK - 4, column * BLOCK + 4 : (column + 1) * BLOCK - 4] = tone
    return image


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.rot90(frame.to_ndarray(format="gray"), round(frame.rotation / 90) % 4)


def _number(image: NDArray[np.uint8]) -> int:
    """Reads the number; an image taller than wide is a frame after its quarter turn clockwise."""
    if image.shape[0] > image.shape[1]:
        image = np.rot90(image)
    number = 0
    for bit in range(BITS):
        row, column = divmod(bit, 4)
        block = image[row * BLOCK + 8 : (row + 1) * BLOCK - 8, column * BLOCK + 8 : (column + 1) * BLOCK - 8]
        number |= int(block.mean() > 128) << bit
        assert block.std() < 40, "a broken frame"
    return number
