"""Serves real footage as three small RTSP cameras, for ``bench.soak``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from bench import feeds
from bench.real_footage import need_clip

from footage.stream.frame import Image

FPS, SIZE, FRAMES = 5, (320, 240), 300  # pictures a second, width and height, pictures at most in a loop
CLIPS = {"crossing": "vtest.avi", "road": "bikes.mp4", "phone": "carphone_pristine.mp4"}


@contextmanager
def serve(folder: Path, clips: Path) -> Iterator[dict[str, str]]:
    """Serve the clips in a loop while the block runs; yields the cameras' URLs by name.

    Raises:
        SystemExit: a clip is not here.
    """
    streams = {}
    for name, clip in CLIPS.items():
        streams[name] = _encode(need_clip(clip, clips), folder / f"{name}.h264")
    with feeds.run_server(streams, FPS) as (urls, _):
        yield dict(zip(streams, urls, strict=True))


def _encode(source: Path, path: Path) -> Path:
    """Encode as cameras do: H.264 without B-frames, a keyframe every 2 s; the delimiters are for the server."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        codec = f"keyint={2 * FPS}:min-keyint={2 * FPS}:scenecut=0:bframes=0:repeat-headers=1:aud=1:sliced-threads=0"
        stream.options = {"preset": "superfast", "x264-params": codec}
        for i, image in enumerate(_read(source)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _read(source: Path) -> Iterator[Image]:
    """Its pictures, as many a second as the camera has."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        step = max(1, round(float(stream.average_rate or FPS) / FPS))
        for frame in islice(container.decode(stream), 0, step * FRAMES, step):
            yield np.asarray(cv2.resize(frame.to_ndarray(format="rgb24"), SIZE, interpolation=cv2.INTER_AREA), np.uint8)
