"""Simulates cameras with GStreamer's RTSP server, and reads CPU, memory and disk use; ``bench.live`` uses it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from bench import scenes

from footage.stream.frame import Image
from footage.stream.processors import read_processor_time

FPS, GOP, LENGTH = 25, 2, 12  # pictures a second; seconds from keyframe to keyframe; seconds of film, in a loop
KBITS = {720: 2500, 1080: 4500}
SCENES = {
    "busy": tuple(
        scenes.Visit("person", 0, LENGTH, size, (x, y), speed)
        for size, x, y, speed in ((0.3, 0.05, 0.6, 0.06), (0.12, 0.5, 0.4, 0.03), (0.2, 0.3, 0.5, -0.02))
    ),
    "calm": (),
}
SERVER = Path(__file__).parents[1] / "tests" / "rtsp" / "server.py"
TICKS = os.sysconf("SC_CLK_TCK")


def make_streams(height: int) -> dict[str, Path]:
    """An elementary stream of each scene; made once, kept in the temporary folder."""
    folder = Path(tempfile.gettempdir()) / "footage-bench-live"
    folder.mkdir(exist_ok=True)
    paths = {name: folder / f"{name}-{height}-{LENGTH}.h264" for name in SCENES}
    for name, path in paths.items():
        if not path.exists():
            part = path.with_name(f"part-{path.name}")
            _encode(part, SCENES[name], height)
            part.rename(path)
    return paths


def _encode(path: Path, visits: tuple[scenes.Visit, ...], height: int) -> None:
    """Encode as cameras do: H.264 at a constant bit rate without B-frames; the delimiters are for the server."""
    kbits = KBITS[height]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = height * 16 // 9, height, "yuv420p", kbits * 1000
        codec = f"keyint={GOP * FPS}:min-keyint={GOP * FPS}:scenecut=0:bframes=0:repeat-headers=1:aud=1"
        limits = {"maxrate": f"{kbits}k", "bufsize": f"{kbits}k"}
        stream.options = {"preset": "superfast", "x264-params": f"{codec}:sliced-threads=0", **limits}
        for i, picture in enumerate(_render_images(visits)):
            image = np.asarray(cv2.resize(picture, (stream.width, stream.height)), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _render_images(visits: tuple[scenes.Visit, ...]) -> Iterator[Image]:
    """The street at the full frame rate, with a sensor's noise."""
    rng = np.random.default_rng(0)
    width, height = scenes.SIZE
    grain = rng.standard_normal((2 * height, 2 * width, 3), np.float32) * 3
    clean = scenes.street_scene()
    for i in range(LENGTH * FPS):
        scene = clean.copy()
        for visit in visits:
            scenes.draw_visit(scene, visit, i / FPS)
        x, y = rng.integers(width), rng.integers(height)
        yield np.clip(scene + grain[y : y + height, x : x + width], 0, 255).astype(np.uint8)


@contextmanager
def serve_cameras(count: int, height: int) -> Iterator[tuple[list[str], int]]:
    """Serve ``count`` cameras, every other one busy, while the block runs; yields URLs and the server's process."""
    paths = list(make_streams(height).values())
    with run_server({f"camera{i}": paths[i % len(paths)] for i in range(count)}, FPS) as served:
        yield served


@contextmanager
def run_server(streams: dict[str, Path], fps: int) -> Iterator[tuple[list[str], int]]:
    """Serve elementary streams by name while the block runs; yields their URLs and the server's process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mounts = [f"{name}={path}" for name, path in streams.items()]
    command = ["/usr/bin/python3", str(SERVER), "--port", str(port), "--fps", str(fps), *mounts]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("no RTSP server: apt-get install what tests/rtsp/fixture.py names")
            yield [f"rtsp://127.0.0.1:{port}/{name}" for name in streams], process.pid
        finally:
            process.kill()


def cpu_seconds(where: str | int) -> float:
    """CPU seconds that a process ("self", or its number; "self/task/NUMBER" for a thread) has used."""
    fields = Path(f"/proc/{where}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_cpu_seconds() -> float:
    """CPU seconds that all processes have used on the processors that this one may use."""
    return sum(read_processor_time())


def memory_mb() -> float:
    """MB that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def written_mb() -> float:
    """MB that this process has had written to the disk."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"]) / 1e6
