"""Measures indexing next to rivals in the same run: decoding, embedding, and both.

Run ``python -m bench.index``. Ratios carry over to other machines; seconds do not.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data
import supervision as sv
from av.video.stream import VideoStream
from bench.throughput import measure_throughput

from footage.stream.files.decode import read_frames
from footage.stream.frame import Image
from footage.stream.source import identify_media

SIDE = 224  # pixels: what CLIP takes


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="length of the film that is made")
    parser.add_argument("--film", type=Path, help="measure on this file instead")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = measure_decoding(Path(folder), args.seconds, args.film)
        _, probe = identify_media(path, "bench")
        measure_throughput(path, (probe.width, probe.height))


def measure_decoding(folder: Path, seconds: int, given: Path | None) -> Path:
    """Sampling of a file: ours against supervision's generator with a stride, at the same rate; returns a film."""
    videos = [(given, "given")] if given else [(make_video(folder, seconds, gop), f"GOP {gop} s") for gop in (2, 10)]
    print("Decoding: CPU seconds for the same sampling rate; frames scaled to what the model takes")
    for path, name in videos:
        for every in (2.0, 1.0):
            _print_comparison(path, name, every)
    return videos[0][0]


def _print_comparison(path: Path, name: str, every: float) -> None:
    found, probe = identify_media(path, "bench")
    stride = max(1, round(every * (probe.fps or 30)))
    ours, count = cpu(lambda: sum(1 for _ in read_frames(found, every, SIDE)))
    theirs, rival = cpu(lambda: _supervision(path, stride))
    print(
        f"  {name:9} {probe.width}x{probe.height} every {every:g} s: {ours:6.2f} s for {count} frames;"
        f" supervision {theirs:6.2f} s for {rival}: {theirs / ours:5.1f} times as much"
    )


def _supervision(path: Path, stride: int) -> int:
    """The generator, and the scaling that the model needs."""
    count = 0
    for frame in sv.get_video_frames_generator(str(path), stride=stride):
        scale = SIDE / min(frame.shape[:2])
        cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        count += 1
    return count


def cpu(work: Callable[[], int]) -> tuple[float, int]:
    """CPU seconds that this process spent on some work, and what it returned."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, result


def make_video(
    folder: Path, seconds: int, gop: int, size: tuple[int, int] = (1920, 1080), fps: int = 30, b_frames: int = 2
) -> Path:
    """A pan over photographs with sensor noise, in H.264 with B-frames as telephones write it, or without."""
    path = folder / f"gop{gop}-{b_frames}.mp4"
    scene, noise = _scene(size), np.random.default_rng(0).integers(0, 9, (8, size[1], size[0], 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        every = {"g": str(gop * fps), "sc_threshold": "0", "bf": str(b_frames)}
        stream.options = {"preset": "veryfast", "crf": "26", **every}
        for i in range(seconds * fps):
            left = 2 * i % (scene.shape[1] - size[0])
            picture: Image = cv2.add(scene[:, left : left + size[0]], noise[i % len(noise)]).astype(
                np.uint8, copy=False
            )
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _scene(size: tuple[int, int]) -> Image:
    names = ("astronaut", "coffee", "chelsea", "rocket")
    pictures = [cv2.resize(getattr(skimage.data, name)(), size, interpolation=cv2.INTER_AREA) for name in names]
    return np.hstack(pictures)


if __name__ == "__main__":
    main()
