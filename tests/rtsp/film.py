"""Encodes videos for the RTSP server: elementary streams that it can split into access units."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from tests.films import numbered

FPS = 25


def encode_elementary_stream(
    path: Path,
    gop: int,
    seconds: int = 4,
    size: tuple[int, int] = (320, 192),
    slices: int = 1,
    refresh: bool = False,
    fps: int = FPS,
) -> Path:
    """Encode numbered frames with access unit delimiters and without B-frames; ``.h264`` or ``.h265``.

    Args:
        gop: frames from keyframe to keyframe.
        slices: slices of each H.264 frame.
        refresh: in place of keyframes, refresh H.264 frames part by part.
    """
    common = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0:repeat-headers=1:aud=1"
    with av.open(str(path), "w") as container:
        if path.suffix == ".h265":
            stream = container.add_stream("libx265", rate=fps)
            stream.options = {"preset": "ultrafast", "x265-params": f"log-level=none:{common}"}
        else:
            stream = container.add_stream("libx264", rate=fps)
            common += ":intra-refresh=1" if refresh else ""
            stream.options = {"preset": "ultrafast", "x264-params": f"{common}:sliced-threads=0:slices={slices}"}
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i, picture in enumerate(numbered(seconds * fps, size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
