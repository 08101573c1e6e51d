"""Measures what a hardware decoder saves next to the processor, and how many streams either decodes at once.

Run ``python -m bench.hardware`` on a machine with an NVIDIA card. Films of 1080p are made in H.264 and HEVC, with a
keyframe every 2 s and every 10 s, and sampled every 2 s and every 1 s: by the processor with one, two and four threads,
and by the card; turn by turn, and the least of the rounds counts. Then as many streams at once, sampled every second.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import numpy as np
from bench.films import make_video

from footage.stream.files.decode import read_frames
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Frame, Media
from footage.stream.hardware import SOFTWARE, Decoder, DecoderError, find_decoder
from footage.stream.source import identify_media

SIDE = 224  # pixels: what CLIP takes
ROUNDS = 2
WAYS = {"1 thread": 1, "2 threads": 2, "4 threads": 4, "cuda": 0}
"""Threads of the processor; 0: by the card."""


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Have the processor decode with so many threads, while the block runs."""
    opened = VideoFile._open

    def open_changed(video: VideoFile) -> None:
        opened(video)
        video.stream.codec_context.thread_count = count or 1

    with patch.object(VideoFile, "_open", open_changed):
        yield


def decode(media: Media, every: float, way: str) -> tuple[float, float, list[Frame]]:
    """Processor seconds, seconds and the frames of a film, decoded in one way."""
    decoder: Decoder = SOFTWARE if WAYS[way] else find_decoder("cuda")
    with threads(WAYS[way]):
        used, began = time.process_time(), time.perf_counter()
        frames = list(read_frames(media, every, SIDE, decoder=decoder))
        return time.process_time() - used, time.perf_counter() - began, frames


def compare(media: Media, every: float) -> None:
    """Print a line for each way to sample a film."""
    least: dict[str, tuple[float, float]] = {}
    frames: dict[str, list[Frame]] = {}
    for _ in range(ROUNDS):
        for way in WAYS:
            used, seconds, frames[way] = decode(media, every, way)
            before = least.get(way, (np.inf, np.inf))
            least[way] = min(used, before[0]), min(seconds, before[1])
    due = frames["1 thread"]
    for way, (used, seconds) in least.items():
        same = [f.offset for f in frames[way]] == [f.offset for f in due]
        apart = max(int(np.abs(a.image.astype(int) - b.image).max()) for a, b in zip(frames[way], due, strict=True))
        print(
            f"    every {every:g} s, {way:9}: {1000 * used / len(due):6.1f} ms of processor a sample "
            f"({least['1 thread'][0] / used:5.1f} x), {len(due) / seconds:6.1f} samples/s; "
            f"times {'equal' if same else 'DIFFER'}, pictures differ by {apart} of 255 at most",
            flush=True,
        )


def crowd(media: Media, counts: Sequence[int]) -> None:
    """Print how much faster than it plays a film is decoded, when so many threads do it at once."""
    for way in ("1 thread", "cuda"):
        for count in counts:
            decoder = SOFTWARE if WAYS[way] else find_decoder("cuda")
            with threads(1), ThreadPoolExecutor(count) as pool:
                used, began = time.process_time(), time.perf_counter()
                list(pool.map(lambda _, d=decoder: list(read_frames(media, 1.0, SIDE, decoder=d)), range(count)))
                used, seconds = time.process_time() - used, time.perf_counter() - began
            played = count * media.duration
            print(
                f"    {count:3} at once, {way:8}: {played / seconds:6.1f} x real time, "
                f"{used / played:6.3f} cores for each stream in real time",
                flush=True,
            )


def _make(place: str, codec: str, gop: int, seconds: int) -> tuple[str, Path]:
    return f"{codec}, a keyframe every {gop} s", make_video(Path(place), seconds, gop, b_frames=0, codec=codec, crf=18)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="length of the films")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 8, 16, 32], help="how many at once")
    args = parser.parse_args()
    try:
        began = time.perf_counter()
        find_decoder("cuda")
        print(f"the card's decoder was ready after {time.perf_counter() - began:.2f} s")
    except DecoderError as error:
        raise SystemExit(str(error)) from None
    with tempfile.TemporaryDirectory() as place, ProcessPoolExecutor(4, get_context("spawn")) as pool:
        jobs = [pool.submit(_make, place, codec, gop, args.seconds) for codec in ("h264", "hevc") for gop in (2, 10)]
        films = dict(job.result() for job in jobs)
        print(f"  {os.cpu_count()} cores")
        for name, path in films.items():
            media, probe = identify_media(path, "bench")
            print(f"  {name}, {probe.width}x{probe.height}, {path.stat().st_size * 8e-6 / args.seconds:.1f} Mbit/s")
            for every in (2.0, 1.0):
                compare(media, every)
        for name, path in films.items():
            if "10 s" in name:
                print(f"  {name}, every 1 s")
                crowd(identify_media(path, "bench")[0], args.streams)


if __name__ == "__main__":
    main()
