"""Generates synthetic street-camera video with noise, changing light, wind and visitors, for the other benchmarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

from footage.stream.frame import Clock, Image, Kind, Media

SIZE = (1280, 720)
FPS = 5
SECONDS = 72
START = datetime(2026, 1, 1, tzinfo=UTC)
Picture = NDArray[np.float32]
Disturbance = Callable[[Picture, float], Picture]
"""Changes the clean scene at a time in seconds; never anything that enters it."""


@dataclass(frozen=True)
class Visit:
    """An object in the scene from ``start`` to ``end``; lengths are fractions of the image's height."""

    name: str
    start: float
    end: float
    height: float
    at: tuple[float, float]
    speed: float = 0.0
    opacity: float = 1.0


VISITS = (
    Visit("person 40/1080, walks", 4.3, 8.3, 40 / 1080, (0.2, 0.55), 20 / 1080),
    Visit("person 40/1080, stands", 13.3, 17.3, 40 / 1080, (0.3, 0.88)),
    Visit("cat 50/1080", 22.3, 26.3, 50 / 1080, (0.5, 0.8), 30 / 1080),
    Visit("person 80/1080, a quarter opaque", 31.3, 35.3, 80 / 1080, (0.35, 0.4), 20 / 1080, 0.25),
    Visit("person 60/1080, creeps", 40.3, 44.3, 60 / 1080, (0.6, 0.6), 2 / 1080),
    Visit("person 300/1080, walks", 49.3, 53.3, 300 / 1080, (0.3, 0.6), 100 / 1080),
    Visit("person 30/1080, stands", 58.3, 62.3, 30 / 1080, (0.93, 0.3)),
    Visit("person 40/1080, half opaque", 66.3, 70.3, 40 / 1080, (0.7, 0.9), 0.0, 0.5),
)


SEARCH_VISITS = (
    Visit("cat", 5.3, 10.3, 0.5, (0.1, 0.4)),
    Visit("coffee", 20.3, 25.3, 0.5, (0.5, 0.45)),
    Visit("rocket", 40.3, 45.3, 0.7, (0.7, 0.2)),
    Visit("person", 55.3, 60.3, 0.8, (0.3, 0.2), 0.05),
)


def photograph(name: str) -> Image:
    """A photograph that scikit-image ships."""
    photo = getattr(skimage.data, name)()
    return np.asarray(photo[0] if isinstance(photo, tuple) else photo, np.uint8)


def street_scene() -> Picture:
    """The empty scene: an enlarged photograph of a garage."""
    photo = photograph("stereo_motorcycle")
    return np.asarray(cv2.resize(photo, SIZE, interpolation=cv2.INTER_CUBIC), np.float32)


SPRITES = {
    "person": ("astronaut", np.s_[:, 130:310]),
    "cat": ("chelsea", np.s_[20:290, 80:400]),
    "coffee": ("coffee", np.s_[20:380, 120:520]),
    "rocket": ("rocket", np.s_[:, 220:420]),
}


def load_sprite(name: str, height: int) -> tuple[Picture, Picture]:
    """An object and its opacity: an oval cut out of a photograph."""
    source, part = SPRITES[name.split()[0]]
    photo = photograph(source)[part]
    size = (max(2, round(height * photo.shape[1] / photo.shape[0])), max(2, height))
    mask = np.zeros((size[1], size[0], 1), np.uint8)
    cv2.ellipse(mask, (size[0] // 2, size[1] // 2), (size[0] // 2, size[1] // 2), 0, 0, 360, (1,), -1)
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.float32), mask.astype(np.float32)


def draw_visit(scene: Picture, visit: Visit, time: float) -> None:
    """Draw a visitor at its position at this time."""
    if not visit.start <= time < visit.end:
        return
    height = SIZE[1]
    figure, mask = load_sprite(visit.name, round(visit.height * height))
    x = round(visit.at[0] * SIZE[0] + visit.speed * (time - visit.start) * height)
    y = round(visit.at[1] * height)
    view = scene[y : y + figure.shape[0], x : x + figure.shape[1]]
    mask = mask[: view.shape[0], : view.shape[1]] * visit.opacity
    view += (figure[: view.shape[0], : view.shape[1]] - view) * mask


def calm(scene: Picture, _time: float) -> Picture:
    """Noise and compression alone."""
    return scene


def dusk(scene: Picture, time: float) -> Picture:
    """From full light to half of it."""
    return np.asarray(scene * (1 - 0.5 * time / SECONDS), np.float32)


def exposure(scene: Picture, time: float) -> Picture:
    """The camera changes its exposure every 10 s."""
    return np.asarray(np.minimum(scene * (1.0, 1.35, 0.75)[int(time / 10) % 3], 255), np.float32)


def clouds(scene: Picture, time: float) -> Picture:
    """Soft shadows drift over it, half as bright."""
    width, height = SIZE
    x = np.arange(width, dtype=np.float32)[None] / height - 0.05 * time
    y = np.arange(height, dtype=np.float32)[:, None] / height
    cover = np.sin(4 * x + 1) * np.cos(3 * y + x) + np.sin(2.3 * x + 1.7 * y)
    return np.asarray(scene * (0.75 + 0.25 * np.tanh(3 * cover))[..., None], np.float32)


def shake(scene: Picture, time: float) -> Picture:
    """Wind shakes the pole: two pixels of 1080p in each direction."""
    dx, dy = np.random.default_rng(round(time * FPS)).normal(0, 2 * SIZE[1] / 1080, 2)
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float32)
    return np.asarray(cv2.warpAffine(scene, matrix, SIZE, borderMode=cv2.BORDER_REPLICATE), np.float32)


def leaves(scene: Picture, time: float) -> Picture:
    """The left upper part, a seventh of the picture, sways by 12 pixels of 1080p."""
    width, height = SIZE
    h, w = height // 3, width * 2 // 5
    y, x = np.mgrid[:h, :w].astype(np.float32)
    sway = 8 * np.sin(2.1 * time + x / 60 + y / 45) * np.minimum(1, (np.minimum(w - x, h - y)) / 30)
    scene = scene.copy()
    scene[:h, :w] = cv2.remap(scene, x + sway.astype(np.float32), y + 0.5 * sway.astype(np.float32), cv2.INTER_LINEAR)
    return scene


TREE = ((0.0, 0.0), (0.41, 0.0), (0.41, 0.34), (0.0, 0.34))


def infrared(scene: Picture, time: float) -> Picture:
    """Halfway the camera switches to infrared: gray, darker, another contrast."""
    if time < SECONDS / 2:
        return scene
    gray = scene @ np.array([0.7, 0.3, 0.0], np.float32)
    return np.repeat((200 * (gray / 255) ** 0.6 * 0.8 + 10)[..., None], 3, 2)


DISTURBANCES: dict[str, Disturbance] = {n.__name__: n for n in (calm, dusk, exposure, clouds, shake, leaves, infrared)}


def render_images(disturbance: Disturbance, visits: tuple[Visit, ...] = VISITS, seed: int = 0) -> Iterator[Image]:
    """The scene as the sensor gives it, frame by frame; noise of 3 gray levels, three times that in infrared."""
    rng = np.random.default_rng(seed)
    width, height = SIZE
    grain = rng.standard_normal((height * 2, width * 2, 1), np.float32) * 3 + rng.standard_normal(
        (height * 2, width * 2, 3), np.float32
    )
    clean = street_scene()
    for i in range(SECONDS * FPS):
        time = i / FPS
        scene = clean.copy()
        for visit in visits:
            draw_visit(scene, visit, time)
        scene = disturbance(scene, time)
        x, y = rng.integers(width), rng.integers(height)
        loud = 3.0 if disturbance is infrared and time >= SECONDS / 2 else 1.0
        yield np.clip(scene + grain[y : y + height, x : x + width] * loud, 0, 255).astype(np.uint8)


def encode_video(path: Path, frames: Iterator[Image], kbits: int) -> Media:
    """Encode as a camera does: H.264, a keyframe every 2 s, a constant rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.bit_rate, stream.codec_context.gop_size = kbits * 1000, 2 * FPS
        stream.time_base = Fraction(1, FPS)
        stream.options = {"preset": "superfast", "maxrate": f"{kbits}k", "bufsize": f"{kbits}k", "bf": "0"}
        for i, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Media("0" * 16, path.stem, str(path), Kind.VIDEO, START, Clock.GIVEN, float(SECONDS))
