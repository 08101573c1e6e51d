"""Measures what could make long GOPs cheaper to decode, and what each does to the vectors.

Run ``python -m bench.decoding [FILM...]``; ``bench.index`` has the rival. Without a file two films of 20 s at 1080p are
made, with a keyframe every 10 s: as cameras write (no B-frames) and as telephones do. Each way to decode samples once a
second, turn by turn, three times, and the least processor time counts. ``cosine`` is the least of any vector of the
built-in model to that of the frame as it should be: 1 means the same picture.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from bench.films import make_video
from bench.index import cpu

from footage.indexer.embed.base import Vectors
from footage.indexer.embed.lite import IMAGE_SIDE, LiteEmbedder
from footage.stream.files.decode import read_frames
from footage.stream.files.video_file import VideoFile
from footage.stream.frame import Image
from footage.stream.source import identify_media

ROUNDS = 3
WAYS: dict[str, Callable[[Any], None]] = {
    "as it is": lambda _: None,
    "one thread": lambda stream: setattr(stream.codec_context, "thread_count", 1),
    "threads by slice": lambda stream: setattr(stream, "thread_type", "SLICE"),
    "threads by frame": lambda stream: setattr(stream, "thread_type", "FRAME"),
    "skip_loop_filter noref": lambda stream: _set(stream, skip_loop_filter="noref"),
    "skip_loop_filter nokey": lambda stream: _set(stream, skip_loop_filter="nokey"),
    "skip_loop_filter all": lambda stream: _set(stream, skip_loop_filter="all"),
    "flags2 fast": lambda stream: _set(stream, flags2="+fast"),
    "lowres 1": lambda stream: _set(stream, lowres="1"),
}


def _set(stream: Any, **options: str) -> None:
    stream.codec_context.options = {**stream.codec_context.options, **options}


def decode(path: Path, way: Callable[[Any], None]) -> tuple[float, float, list[Image]]:
    """Processor seconds, seconds and the images of a film, decoded in one way."""
    media, _ = identify_media(path, "bench")
    opened = VideoFile._open

    def open_changed(video: VideoFile) -> None:
        opened(video)
        way(video.stream)

    images: list[Image] = []

    def read() -> int:
        images.extend(frame.image for frame in read_frames(media, 1.0, IMAGE_SIDE))
        return len(images)

    with patch.object(VideoFile, "_open", open_changed):
        began = time.perf_counter()
        used, _ = cpu(read)
        return used, time.perf_counter() - began, images


async def compare(path: Path, lite: LiteEmbedder) -> None:
    """Print a line for each way."""
    least: dict[str, tuple[float, float]] = {}
    cosine: dict[str, float] = {}
    expected: Vectors | None = None
    for _ in range(ROUNDS):
        for name, way in WAYS.items():
            try:
                used, seconds, images = decode(path, way)
            except Exception as error:
                print(f"    {name:24} cannot be used: {error}")
                continue
            vectors = await lite.images(images)
            expected = vectors if expected is None else expected
            least[name] = min((used, seconds), least.get(name, (np.inf, np.inf)))
            same = vectors.shape == expected.shape
            cosine[name] = float((vectors * expected).sum(axis=1).min()) if same else float("nan")
    base = least["as it is"][0]
    for name, (used, seconds) in least.items():
        print(f"    {name:24} {used:5.2f} s of processor ({base / used:4.2f} x), {seconds:5.2f} s;", end=" ")
        print(f"least cosine {cosine[name]:.5f}")


async def main(films: Sequence[Path]) -> None:
    """Measure and print."""
    lite = LiteEmbedder()
    with tempfile.TemporaryDirectory() as folder:
        given = {path.name: path for path in films}
        for name, path in (given or _make_films(Path(folder))).items():
            print(f"  {name}")
            await compare(path, lite)
    await lite.close()


def _make_films(folder: Path) -> dict[str, Path]:
    return {f"{n or 'no'} B-frames": make_video(folder, 20, 10, b_frames=n) for n in (0, 2)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="*")
    asyncio.run(main(parser.parse_args().films))
