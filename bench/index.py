"""Measures indexing next to rivals in the same run: decoding, embedding, and both.

Run ``python -m bench.index``. Ratios carry over to other machines; seconds do not.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import supervision as sv
from bench.films import make_video
from bench.throughput import measure_throughput

from footage.stream.files.decode import read_frames
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


if __name__ == "__main__":
    main()
